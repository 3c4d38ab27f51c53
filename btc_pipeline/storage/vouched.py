"""The `vouched_minutes` table: a bitmap a day of minutes without a row in which nothing traded for certain."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.storage.digests import through_temporary_table
from btc_pipeline.storage.times import to_date, to_day

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

READ: Final = """
SELECT DISTINCT ON (day) day, minutes FROM vouched_minutes
WHERE symbol = $1 AND day >= $2 AND day < $3
ORDER BY day, recorded_at DESC
"""
READ_AS_OF: Final = """
SELECT DISTINCT ON (day) day, minutes FROM vouched_minutes
WHERE symbol = $1 AND day >= $2 AND day < $3 AND recorded_at <= $4
ORDER BY day, recorded_at DESC
"""
APPEND: Final = """
INSERT INTO vouched_minutes (symbol, day, minutes, source, recorded_at)
SELECT symbol, day, minutes, source, clock_timestamp() FROM new_vouched_minutes
"""


def read_vouched(
    cursor: Cursor, symbol: str, first_day: int, end_day: int, *, as_of: datetime | None = None
) -> Int64Array:
    """The vouched minutes of the days [first_day, end_day), now or as of then; ascending epoch minutes, int64[n]."""
    window = (symbol, to_date(first_day), to_date(end_day))
    if as_of is None:
        cursor.execute(READ, window)
    else:
        cursor.execute(READ_AS_OF, (*window, as_of))
    rows = cursor.fetch_arrow_table().to_pylist()
    if not rows:
        return np.empty(0, np.int64)
    bits = np.unpackbits(np.frombuffer(b"".join(row["minutes"] for row in rows), np.uint8))
    at = np.flatnonzero(bits)
    days = np.array([to_day(row["day"]) for row in rows], np.int64)
    minutes: Int64Array = days[at // MINUTES_PER_DAY] * MINUTES_PER_DAY + at % MINUTES_PER_DAY
    return minutes


def replace_vouched(cursor: Cursor, symbol: str, minutes: Int64Array, days: Int64Array, *, source: str) -> None:
    """Records what is vouched for in each of the given days; what was known before stays readable.

    Args:
        minutes: every vouched epoch minute of those days.
        days: days whose record changes.
    """
    if not len(days):
        return
    bits = np.zeros((len(days), MINUTES_PER_DAY), np.uint8)
    row = np.searchsorted(days, minutes // MINUTES_PER_DAY)
    bits[row, minutes % MINUTES_PER_DAY] = 1
    packed = np.packbits(bits, axis=1)
    table = pa.table(
        {
            "symbol": pa.repeat(symbol, len(days)),
            "day": pa.array([to_date(int(day)) for day in days], pa.date32()),
            "minutes": pa.array([line.tobytes() for line in packed], pa.binary()),
            "source": pa.repeat(source, len(days)),
        }
    )
    through_temporary_table(cursor, "new_vouched_minutes", table, APPEND)
