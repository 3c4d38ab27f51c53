"""Landings for tests: minutes that are valid whatever is asked for, and what is stored as plain rows."""

from __future__ import annotations

from typing import Any

from btc_pipeline.collector.store import Landing, MinuteStatus
from btc_pipeline.exchanges.base import Minute
from btc_pipeline.market.candles import Scale
from btc_pipeline.storage.connection import Database

SYMBOL = "BTC"
SCALE = Scale(1, 5, 8)
FIRST = 29_700_000
"""2026-06-21 00:00 in epoch minutes."""
DAY = FIRST // 1440

PROVISIONAL, CONFIRMED = MinuteStatus.PROVISIONAL, MinuteStatus.CONFIRMED


def minute(time: int, close: float = 100.0, volume: float = 1.0, trades: int = 3, **others: Any) -> Minute:
    """A minute that opened at 100."""
    prices = (100.0, max(100.0, close), min(100.0, close), close)
    return Minute(time, *prices, volume, trades, **{"decimals": SCALE, **others})


def landing(time: int, status: MinuteStatus = CONFIRMED, reason: str = "test", **values: Any) -> Landing:
    return Landing(minute(time, **values), status, reason)


def rows(database: Database, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement, or none; committed."""
    with database.rows() as connection:
        cursor = connection.execute(statement, parameters or None)
        return [tuple(row.values()) for row in cursor.fetchall()] if cursor.description else []


def stored(database: Database) -> list[tuple[Any, ...]]:
    """(minutes since FIRST, close, volume, trades, status) of every stored minute."""
    return rows(
        database,
        "SELECT (extract(epoch FROM time) / 60 - %s)::int, close, volume, trades, status FROM candles "
        "WHERE interval = '1m' ORDER BY symbol, time",
        FIRST,
    )


def revisions(database: Database) -> list[tuple[Any, ...]]:
    """(minutes since FIRST, close, status, reason) of every superseded minute, in the order of superseding."""
    return rows(
        database,
        "SELECT (extract(epoch FROM time) / 60 - %s)::int, close, status, reason FROM candle_revisions "
        "ORDER BY superseded_at, time",
        FIRST,
    )


def touched(database: Database) -> dict[int, int]:
    """Minutes since FIRST from which each touched day (since DAY) is touched."""
    return dict(
        rows(
            database,
            "SELECT day - date '1970-01-01' - %s, (extract(epoch FROM touched_from) / 60 - %s)::int "
            "FROM partition_digests WHERE asset = 'candles_1m' AND content_digest IS NULL AND touched_at IS NOT NULL",
            DAY,
            FIRST,
        )
    )


def forget_touches(database: Database) -> None:
    """As if somebody had looked at every day."""
    rows(
        database,
        "UPDATE partition_digests "
        "SET content_digest = 'x', inputs_digest = 'x', touched_from = NULL, touched_at = NULL",
    )


def versions(database: Database) -> list[tuple[Any, ...]]:
    """Which transaction wrote each row: what is rewritten, though with equal values, shows here."""
    tables = ("candles", "candle_revisions", "partition_digests", "vouched_minutes", "data_quality")
    return [row for table in tables for row in rows(database, f"SELECT tableoid, ctid, xmin::text FROM {table}")]


def gaps(database: Database, *, resolved: bool = False) -> list[tuple[Any, ...]]:
    """(start, end in minutes since FIRST, reason, retries) of the open gaps, or of the resolved ones."""
    return rows(
        database,
        "SELECT (extract(epoch FROM start_time) / 60 - %s)::int AS first, "
        "(extract(epoch FROM end_time) / 60 - %s)::int, reason, retries "
        "FROM data_quality WHERE kind = 'gap' AND resolved = %s ORDER BY start_time, id",
        FIRST,
        FIRST,
        resolved,
    )
