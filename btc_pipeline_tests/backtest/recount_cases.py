"""Runs whose result hashes are pinned: accounts on the two real years, and on a made-up market that every clone has."""

from __future__ import annotations

import sys
from datetime import date
from typing import Final

import numpy as np

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import simulate
from btc_pipeline.backtest.fees import Fee
from btc_pipeline.backtest.market_data import Funding
from btc_pipeline.strategies.base import Direction, Exits
from btc_pipeline_tests.backtest.recount_market import MadeMarket, made_market

FALLING_FEES: Final = (
    Fee(date(2014, 1, 1), 4.5, 1.5),
    Fee(date(2015, 9, 15), 2.5, 1.0),
    Fee(date(2016, 3, 1), 3.5, 1.0),
)
EVERYTHING: Final = {
    "leverage": 3.0,
    "size": 3.0,
    "fees": FALLING_FEES,
    "slippage_bps": 1.0,
    "exits": Exits(stop=0.02, target=0.05, trailing=0.03),
}
ACCOUNTS: Final = {
    "plain": Account(),
    "everything, both": Account(**EVERYTHING),
    "everything, long": Account(**EVERYTHING, direction=Direction.LONG),
    "everything, short": Account(**EVERYTHING, direction=Direction.SHORT),
    "fixed notional": Account(notional=2_500.0, leverage=3.0, fees=FALLING_FEES, slippage_bps=1.0),
    "no compounding": Account(compounding=False, size=0.5, fees=FALLING_FEES, slippage_bps=1.0),
    "liquidated": Account(leverage=20.0, size=20.0, fees=FALLING_FEES, slippage_bps=1.0),
}


def made_funding(days: range) -> Funding:
    """Hourly rates of either sign, up to 4 bps, without a random generator."""
    time = np.arange(days.start * 24, days.stop * 24 + 1, dtype=np.int64) * 60
    return Funding(time, ((time // 60 * 7_919) % 81 - 40) / 100_000)


def made_case() -> tuple[MadeMarket, np.ndarray]:
    """Forty days of 37m bars with holes, and targets that change now and then."""
    market = made_market(7, 37, 40 * 1440, volatility=0.15, tick=0.01, hole=2000, funding_every=60)
    bars = len(market.bars)
    return market, np.repeat(np.array([1, -1, 0, -128, -1, 1], np.int8), 9)[np.arange(bars) % 54]


def made_hash() -> str:
    """The result hash of everything at once on the made-up market."""
    market, targets = made_case()
    return simulate(market.data, targets, ACCOUNTS["everything, both"]).trades.result_hash


if __name__ == "__main__":
    sys.stdout.write(made_hash())
