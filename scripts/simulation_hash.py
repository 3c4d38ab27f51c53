"""Prints the result hash of a made-up backtest: `check_no_avx.sh` compares two processors' answers."""

from __future__ import annotations

import numpy as np

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import simulate
from btc_pipeline.backtest.market_data import MarketData, Minutes, marks_of
from btc_pipeline.market.candles import Scale, minute_candles
from btc_pipeline.strategies.base import Exits

DAYS = 3

random = np.random.default_rng(5)
close = 40_000.0 + np.cumsum(random.integers(-3_000, 3_001, DAYS * 1440)) / 100
open_ = np.concatenate((close[:1], close[:-1]))
prices = (open_, np.maximum(open_, close), np.minimum(open_, close), close)
bars = minute_candles(Scale(2, 3), np.arange(DAYS * 1440), prices, random.integers(1, 999, DAYS * 1440) / 1000)
data = MarketData(bars, range(DAYS), marks_of(bars, range(DAYS)), lambda: Minutes.of(bars))
targets = np.repeat(random.integers(-1, 2, len(bars) // 20), 20).astype(np.int8)
account = Account(leverage=3.0, size=2.0, exits=Exits(stop=0.004, target=0.006, trailing=0.005))
outcome = simulate(data, targets, account)
print(len(outcome.trades), outcome.trades.result_hash)
