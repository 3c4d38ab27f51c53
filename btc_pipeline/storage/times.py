"""The edge between epoch minutes and the database's timestamps and dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

import pyarrow as pa

from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array

MICROSECONDS_PER_MINUTE: Final = 60_000_000
TIMESTAMP: Final = pa.timestamp("us", tz="UTC")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DATE: Final = date(1970, 1, 1)


def to_datetime(minute: int) -> datetime:
    """The UTC datetime of an epoch minute."""
    return _EPOCH + timedelta(minutes=minute)


def to_minute(moment: datetime) -> int:
    """The epoch minute that contains a moment; a naive datetime is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(minutes=1)


def to_date(day: int) -> date:
    """The date of a day counted from 1970-01-01."""
    return _EPOCH_DATE + timedelta(days=day)


def to_day(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH_DATE).days


def day_start(day: int) -> datetime:
    """Midnight at the start of a day."""
    return to_datetime(day * MINUTES_PER_DAY)


def to_timestamps(minutes: Int64Array) -> pa.Array:
    """Epoch minutes as timestamp[us, UTC]."""
    return pa.array(minutes * MICROSECONDS_PER_MINUTE, pa.int64()).cast(TIMESTAMP)


def from_timestamps(column: pa.ChunkedArray | pa.Array) -> Int64Array:
    """timestamp[us, UTC] without nulls as epoch minutes."""
    minutes: Int64Array = column.cast(pa.int64()).to_numpy() // MICROSECONDS_PER_MINUTE
    return minutes
