"""The `downloads` table: which files of venues' archives are stored, and by which checksum."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from btc_pipeline.errors import UserError
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.times import to_datetime, to_minute

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

READ: Final = """
SELECT DISTINCT ON (name) name, url, sha256, bytes, start_time, end_time, rows, first_time, last_time
FROM downloads WHERE symbol = $1
ORDER BY name, recorded_at DESC
"""
SAVE: Final = """
INSERT INTO downloads (symbol, name, url, sha256, bytes, start_time, end_time, rows, first_time, last_time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (symbol, name, sha256) DO UPDATE SET recorded_at = now()
"""
HELD: Final = """
SELECT name, (
    SELECT count(*) FROM candles c
    WHERE c.symbol = $1 AND c.interval = '1m' AND c.time >= d.start_time AND c.time < d.end_time
) + (
    SELECT count(DISTINCT r.time) FROM candle_revisions r
    WHERE r.symbol = $1 AND r.interval = '1m' AND r.time >= d.start_time AND r.time < d.end_time
      AND r.reason LIKE 'quarantined:%'
      AND NOT EXISTS (SELECT FROM candles c WHERE c.symbol = $1 AND c.interval = '1m' AND c.time = r.time)
) AS rows
FROM (
    SELECT DISTINCT name, start_time, end_time FROM downloads WHERE symbol = $1 AND end_time > $2 AND start_time < $3
) d
"""
STORED: Final = """
SELECT count(*) AS rows, min(time) AS first, max(time) AS last, now() AS moment FROM candles
WHERE symbol = $1 AND interval = '1m' AND time >= $2 AND time < $3
"""
REPLACED: Final = """
SELECT count(DISTINCT time) AS minutes FROM candle_revisions
WHERE symbol = $1 AND interval = '1m' AND time >= $2 AND time < $3 AND superseded_at >= $4
  AND (reason LIKE 'archive file %' OR reason LIKE 'download by REST %')
"""
TRY_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS locked"


@dataclass(frozen=True, slots=True)
class Download:
    """A file whose minutes are stored; times are epoch minutes.

    Attributes:
        start, end: what it is of, [start, end), whether or not it has a row there.
        first, last: its first and its last row.
    """

    name: str
    url: str
    sha256: str
    bytes: int
    start: int
    end: int
    rows: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stored:
    """How many minutes of a span were stored at a moment, and the first and the last of them, as epoch minutes."""

    rows: int
    first: int | None
    last: int | None
    moment: datetime


def read_downloads(cursor: Cursor, symbol: str) -> dict[str, Download]:
    """The files of a symbol by name; of one that was issued again, the last that was stored."""
    cursor.execute(READ, (symbol,))
    return {
        row["name"]: Download(
            row["name"],
            row["url"],
            row["sha256"],
            row["bytes"],
            to_minute(row["start_time"]),
            to_minute(row["end_time"]),
            row["rows"],
            to_minute(row["first_time"]),
            to_minute(row["last_time"]),
        )
        for row in cursor.fetch_arrow_table().to_pylist()
    }


def read_held(cursor: Cursor, symbol: str, start: int, end: int) -> dict[str, int]:
    """How many rows the spans of the files that touch [start, end) still have, by name; quarantined ones count."""
    cursor.execute(HELD, (symbol, to_datetime(start), to_datetime(end)))
    return {row["name"]: row["rows"] for row in cursor.fetch_arrow_table().to_pylist()}


def read_stored(cursor: Cursor, symbol: str, start: int, end: int) -> Stored:
    """What is stored of the epoch minutes [start, end)."""
    cursor.execute(STORED, (symbol, to_datetime(start), to_datetime(end)))
    (row,) = cursor.fetch_arrow_table().to_pylist()
    if not row["rows"]:
        return Stored(0, None, None, row["moment"])
    return Stored(row["rows"], to_minute(row["first"]), to_minute(row["last"]), row["moment"])


def count_replaced(cursor: Cursor, symbol: str, start: int, end: int, since: datetime) -> int:
    """How many of the epoch minutes [start, end) a download has replaced since then."""
    cursor.execute(REPLACED, (symbol, to_datetime(start), to_datetime(end), since))
    return int(cursor.fetch_arrow_table().to_pylist()[0]["minutes"])


def save_download(cursor: Cursor, symbol: str, download: Download) -> None:
    """Records a file, in the transaction that stores its minutes."""
    times = (download.start, download.end, download.first, download.last)
    start, end, first, last = map(to_datetime, times)
    told = (download.name, download.url, download.sha256, download.bytes)
    cursor.execute(SAVE, (symbol, *told, start, end, download.rows, first, last))


@contextmanager
def only_download(database: Database, symbol: str) -> Iterator[None]:
    """Keeps other downloads of the symbol away until the block ends, or this process does.

    Raises:
        UserError: one is at work.
    """
    with database.rows(autocommit=True) as connection:
        row = connection.execute(TRY_LOCK, [f"download/{symbol}"]).fetchone()
        if not row or not row["locked"]:
            raise UserError(
                f"symbol {symbol}: another download of it is at work; wait until it is done.", field="symbol"
            )
        yield
