"""The clock, in the pipeline's own units."""

from __future__ import annotations

from datetime import UTC, datetime

from btc_pipeline.market.intervals import MINUTES_PER_DAY


def now_minute() -> int:
    """The epoch minute now running."""
    return int(datetime.now(UTC).timestamp()) // 60


def today() -> int:
    """The UTC day now running, in days since 1970-01-01."""
    return now_minute() // MINUTES_PER_DAY
