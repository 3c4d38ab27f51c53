"""The `downloads` table: which files of venues' archives are stored, and by which checksum."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
