"""Real candles for tests, where the folder with them is there; a user's clone has none."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from btc_pipeline.market.candles import Candles, Scale, minute_candles

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

needs_real_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real candles: {DATA.name}/ is not next to the repo")

BITFINEX_SCALE = Scale(price=8, volume=8)
BINANCEUS_SCALE = Scale(price=2, volume=6)


@lru_cache(maxsize=4)
def bitfinex_minutes(year: int) -> Candles:
    """Bitfinex BTC/USD of 2015 or 2016; a minute without trades has no row. The file's order is close, high, low."""
    path = DATA / f"bitfinex_btcusd_1m_{year}.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.float64)
    time_ms, open_, close, high, low, volume = (np.ascontiguousarray(column) for column in table.T)
    minute = time_ms.astype(np.int64) // 60_000
    return minute_candles(BITFINEX_SCALE, minute, (open_, high, low, close), volume)


@lru_cache(maxsize=1)
def binanceus_minutes() -> Candles:
    """Binance.US BTC/USDT, 2023-03-01 to 03-21; minutes without trades are flat rows."""
    with gzip.open(DATA / "binanceus_btcusdt_1m_2023-03.csv.gz", "rt") as file:
        rows = list(csv.reader(file))[1:]
    minute = np.array([int(datetime.fromisoformat(row[0]).timestamp()) // 60 for row in rows], dtype=np.int64)
    open_, high, low, close, volume = np.array([row[1:6] for row in rows], dtype=np.float64).T.copy()
    return minute_candles(BINANCEUS_SCALE, minute, (open_, high, low, close), volume)
