"""The candles that are measured with: two real years where they are at hand, seeded synthetic ones elsewhere."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from btc_pipeline.market.candles import Candles, Scale, minute_candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.pipeline.clock import now_minute
from btc_pipeline.pipeline.imports import ImportReport, import_candles
from btc_pipeline.pipeline.refresh import Report
from btc_pipeline.settings import load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import read_instruments, upsert_instrument
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline_tests.real_data import DATA

SYMBOL: Final = "BTCUSD.BITFINEX"
YEARS: Final = (2015, 2016)
FIRST_DAY: Final = 16_436  # 2015-01-01
END_DAY: Final = FIRST_DAY + 731
DAYS_A_YEAR: Final = 365
SYNTHETIC_SCALE: Final = Scale(price=2, volume=4)
TRADED_SHARE: Final = 0.63
"""Share of the two real years' minutes that have a row."""


@dataclass(frozen=True, slots=True)
class Market:
    """The files of both years, and a sentence on what they are."""

    files: tuple[Path, ...]
    description: str


def find_market(folder: Path) -> Market:
    """The real files, or synthetic ones of their size and form, written into the folder."""
    real = tuple(DATA / f"bitfinex_btcusd_1m_{year}.csv.gz" for year in YEARS)
    if all(path.is_file() for path in real):
        return Market(real, "real Bitfinex BTC/USD of 2015 and 2016")
    files = []
    for year, first, days in zip(YEARS, (FIRST_DAY, FIRST_DAY + 365), (365, 366), strict=True):
        path = folder / f"synthetic_{year}.csv.gz"
        _write(path, synthetic_minutes(first, days, seed=year, traded_share=TRADED_SHARE))
        files.append(path)
    return Market(tuple(files), "synthetic 2015 and 2016, because the real files are not next to the repository")


def import_both_years(database: Database, market: Market) -> list[ImportReport]:
    """The product's import of both files."""
    return [import_candles(database, path, SYMBOL, vouch=True) for path in market.files]


def refresh_all(database: Database, days: range) -> dict[str, Report]:
    """The product's whole chain over a range of days, without Dagster."""
    return chain_of(database).refresh(stored_instrument(database), days, now_minute())


def chain_of(database: Database) -> Chain:
    """The chain that the settings ask for."""
    settings = load_settings()
    return Chain(database, build_catalogue(settings), settings.rule)


def stored_instrument(database: Database) -> Instrument:
    """The one instrument of a bench database."""
    with database.arrow() as cursor:
        (instrument,) = read_instruments(cursor)
    return instrument


def store_synthetic(database: Database, first_day: int, days: int) -> None:
    """Synthetic minutes of whole days, each of them traded."""
    minutes = synthetic_minutes(first_day, days)
    with database.arrow() as cursor:
        upsert_instrument(cursor, SYMBOL, minutes.scale)
        write_minutes(cursor, SYMBOL, minutes, status="confirmed", reason="bench")


def synthetic_minutes(first_day: int, days: int, *, seed: int = 1, traded_share: float = 1.0) -> Candles:
    """A random walk; the same for the same arguments."""
    random = np.random.default_rng(seed)
    n = days * MINUTES_PER_DAY
    close = np.round(10_000 * np.exp(np.cumsum(random.normal(0, 5e-4, n))), 2)
    open_ = np.concatenate((close[:1], close[:-1]))
    spread = np.abs(random.normal(0, 3e-4, (2, n)))
    high = np.round(np.maximum(open_, close) * (1 + spread[0]), 2)
    low = np.round(np.minimum(open_, close) * (1 - spread[1]), 2)
    volume = np.round(random.exponential(3, n) + 1e-4, 4)
    time = np.arange(n, dtype=np.int64) + first_day * MINUTES_PER_DAY
    minutes = minute_candles(SYNTHETIC_SCALE, time, (open_, high, low, close), volume)
    return minutes if traded_share == 1 else minutes.take(random.random(n) < traded_share)


def _write(path: Path, minutes: Candles) -> None:
    """A file in the layout of the real ones: time in milliseconds, open, close, high, low, volume."""
    columns = (minutes.open, minutes.close, minutes.high, minutes.low, minutes.volume)
    rows = zip((minutes.time * 60_000).tolist(), *(column.tolist() for column in columns), strict=True)
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.writelines(",".join(map(repr, row)) + "\n" for row in rows)
