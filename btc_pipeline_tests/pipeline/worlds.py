"""What the pipeline's tests share: a chain over a database, real rows as files, and what is stored as plain rows."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from btc_pipeline.market.instruments import Instrument
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.pipeline.refresh import consecutive
from btc_pipeline.pipeline.staleness import read_symbol_digests, stale_days
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.real_data import DATA

SYMBOL = "BTCUSD.BITFINEX"
NOW = 30_000_000
"""An epoch minute long after all test data: every bar is closed."""

# Values alone: no recorded_at, no versions. Floats as PostgreSQL writes them, the shortest text that gives the bits.
CONTENT = {
    "candles": "SELECT symbol, interval, time, open, high, low, close, volume, quote_volume, taker_buy_volume, trades, "
    "minutes, quiet_minutes, expected_minutes, usable FROM candles "
    'ORDER BY symbol COLLATE "C", interval COLLATE "C", time',
    "indicators": "SELECT symbol, interval, indicator_name, time, value, settled FROM indicators "
    'ORDER BY symbol COLLATE "C", interval COLLATE "C", indicator_name COLLATE "C", time',
    "decisions": "SELECT symbol, interval, strategy, parameters, time, target, type, confidence, reasons, "
    "indicator_snapshot, input_digest FROM current_decisions "
    'ORDER BY symbol COLLATE "C", interval COLLATE "C", strategy COLLATE "C", parameters, time',
}
TABLES = ("candles", "indicators", "decisions", "partition_digests")


def day_of(text: str) -> int:
    """Days since 1970-01-01 of a date."""
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def minute_of(text: str) -> int:
    """The epoch minute of `2015-01-31 23:07`."""
    day, _, clock = text.partition(" ")
    hours, minutes = clock.split(":")
    return day_of(day) * 1440 + int(hours) * 60 + int(minutes)


def small_settings(**overrides: Any) -> Settings:
    """The product's settings with few intervals besides those that decide, so that a day is quick."""
    return load_settings(**{"standard_intervals": ("5m", "37m", "148m", "1d", "1w"), **overrides})


def chain_of(database: Database, settings: Settings | None = None) -> Chain:
    """The chain of those settings over a database."""
    chosen = settings or small_settings()
    return Chain(database, build_catalogue(chosen), chosen.rule)


@lru_cache(maxsize=2)
def _lines(year: int) -> tuple[list[int], list[str]]:
    with gzip.open(DATA / f"bitfinex_btcusd_1m_{year}.csv.gz", "rt") as file:
        lines = file.read().splitlines()
    return [int(line.partition(",")[0]) // 60_000 for line in lines], lines


def real_lines(first_day: str, end_day: str) -> list[str]:
    """The rows of the real files of whole days of one year, as written."""
    start, end = day_of(first_day) * 1440, day_of(end_day) * 1440
    return [line for minute, line in zip(*_lines(int(first_day[:4])), strict=True) if start <= minute < end]


def write_file(folder: Path, lines: Iterable[str], name: str = "candles.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def stale(chain: Chain, instrument: Instrument, days: range, now: int = NOW) -> dict[str, list[int]]:
    """The stale days of every asset, as `materialize --stale` finds them."""
    with chain.database.arrow() as cursor:
        digests = read_symbol_digests(cursor, instrument, chain.catalogue)
    return stale_days(digests, chain.catalogue, days, now)


def refresh_stale(chain: Chain, instrument: Instrument, days: range) -> dict[str, tuple[list[int], list[int]]]:
    """Refreshes stale days until none is; (recomputed, written) days of every asset that had any."""
    done: dict[str, tuple[set[int], set[int]]] = {}
    for _ in range(50):
        found = stale(chain, instrument, days)
        if not found:
            return {name: (sorted(recomputed), sorted(written)) for name, (recomputed, written) in done.items()}
        name = next(iter(found))
        for run in consecutive(found[name]):
            report = chain.refresh(instrument, run, NOW, assets=[name])[name]
            recomputed, written = done.setdefault(name, (set(), set()))
            recomputed.update(report.recomputed)
            written.update(report.written)
    raise AssertionError(f"still stale after 50 rounds: {found}")


def query(database: Database, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement, or none; committed."""
    with database.rows() as connection:
        cursor = connection.execute(statement, parameters or None)
        return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []


def content(database: Database, names: Sequence[str] = tuple(CONTENT)) -> dict[str, list[bytes]]:
    """All rows of what is derived, as text lines."""
    return {name: _copy(database, CONTENT[name]) for name in names}


def fingerprint(database: Database) -> dict[str, str]:
    """A digest of all rows of each kind."""
    return {
        name: hashlib.blake2b(b"".join(lines), digest_size=16).hexdigest() for name, lines in content(database).items()
    }


def row_versions(database: Database) -> dict[str, list[bytes]]:
    """Which transaction wrote each row of every table: what is rewritten, though with equal values, shows here."""
    return {table: sorted(_copy(database, f"SELECT tableoid, ctid, xmin FROM {table}")) for table in TABLES}


def _copy(database: Database, statement: str) -> list[bytes]:
    with database.rows() as connection:
        # The session's defaults may say otherwise; the text must not depend on them.
        connection.execute("SET extra_float_digits = 1; SET datestyle = 'ISO'")
        with connection.cursor().copy(f"COPY ({statement}) TO STDOUT") as rows:
            return b"".join(rows).splitlines(keepends=True)
