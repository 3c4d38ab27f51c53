"""The bars that Hyperliquid has, and where they begin: at multiples since 1970, so that weeks begin on Thursday."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_DAY: Final = 1440
MINUTES_OF: Final = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "8h": 480, "12h": 720,
    "1d": _DAY, "3d": 3 * _DAY, "1w": 7 * _DAY, "1M": 30 * _DAY,
}  # fmt: skip
"""Minutes of each interval; about, for the month."""


def bar_open(interval: str, minute: int) -> int:
    """The epoch minute at which the bar with this minute begins."""
    if interval != "1M":
        length = MINUTES_OF[interval]
        return minute // length * length
    moment = datetime.fromtimestamp(minute * 60, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) // 60


def bar_end(interval: str, start: int) -> int:
    """The epoch minute after a bar that begins at `start`."""
    if interval != "1M":
        return start + MINUTES_OF[interval]
    return bar_open(interval, start + 31 * _DAY)
