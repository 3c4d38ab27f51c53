"""Intervals, their slots, and the day a bar belongs to.

A slot is a place on an interval's grid, numbered by an integer. Grids start at 1970-01-01T00:00Z, except that weeks
start on Mondays and months are the calendar's; the origin is explicit, so 4 x 37m nests in 148m.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from btc_pipeline.errors import UserError

MINUTES_PER_DAY: Final = 1440
MINUTES_PER_WEEK: Final = 7 * MINUTES_PER_DAY
# 1970-01-01 was a Thursday; weeks are counted from Monday 1969-12-29.
WEEK_ORIGIN: Final = -3 * MINUTES_PER_DAY

Int64Array = NDArray[np.int64]

_UNITS: Final = {"m": 1, "h": 60}
_NAME: Final = re.compile(r"([1-9][0-9]{0,3})([mh])", re.ASCII)
_LONG: Final = {"1d": (MINUTES_PER_DAY, 0), "3d": (3 * MINUTES_PER_DAY, 0), "1w": (MINUTES_PER_WEEK, WEEK_ORIGIN)}
_MONTH: Final = "1M"


@dataclass(frozen=True, slots=True)
class Interval:
    """A bar length: `minutes` long on a grid that starts at `origin` (epoch minutes); `minutes` 0 is a calendar month.

    Example:
        >>> Interval.parse("37m").slot(37 * 5 + 3)
        5
        >>> Interval.parse("60m").name
        '1h'
    """

    name: str
    minutes: int
    origin: int = 0

    @staticmethod
    def parse(name: str) -> Interval:
        """The interval of that name: any whole number of minutes from 1 to 1440, `Nh`, `1d`, `3d`, `1w`, `1M`.

        Spellings of one length are one interval: `60m` is `1h`, `1440m` and `24h` are `1d`.

        Raises:
            UserError: the name is no interval; the message says which are.
        """
        return _parse(name)

    @property
    def is_month(self) -> bool:
        return self.minutes == 0

    @overload
    def slot(self, minute: int) -> int: ...
    @overload
    def slot(self, minute: Int64Array) -> Int64Array: ...
    def slot(self, minute: int | Int64Array) -> int | Int64Array:
        """The slot that contains an epoch minute (int, or int64 array of any shape)."""
        if not self.is_month:
            return (minute - self.origin) // self.minutes
        days = np.floor_divide(minute, MINUTES_PER_DAY)
        months = np.asarray(days).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        return int(months) if np.ndim(months) == 0 else months

    @overload
    def open(self, slot: int) -> int: ...
    @overload
    def open(self, slot: Int64Array) -> Int64Array: ...
    def open(self, slot: int | Int64Array) -> int | Int64Array:
        """The first epoch minute of a slot."""
        if not self.is_month:
            return slot * self.minutes + self.origin
        days = np.asarray(slot).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        return int(days) * MINUTES_PER_DAY if np.ndim(days) == 0 else days * MINUTES_PER_DAY

    @overload
    def close(self, slot: int) -> int: ...
    @overload
    def close(self, slot: Int64Array) -> Int64Array: ...
    def close(self, slot: int | Int64Array) -> int | Int64Array:
        """The first epoch minute after a slot: a bar covers [open, close)."""
        return self.open(slot + 1)

    def slots_closing_in(self, first_day: int, end_day: int) -> range:
        """The slots whose bars belong to the days [first_day, end_day): those that close in (first 00:00, end 00:00].

        A bar belongs to the UTC day of its last minute. Days are counted from 1970-01-01.
        """
        return range(self.slot(first_day * MINUTES_PER_DAY), self.slot(end_day * MINUTES_PER_DAY))

    def day(self, slot: Int64Array) -> Int64Array:
        """The day (since 1970-01-01) that each slot's bar belongs to."""
        return (self.close(slot) - 1) // MINUTES_PER_DAY

    def __str__(self) -> str:
        return self.name


@lru_cache(maxsize=4096)
def _parse(name: str) -> Interval:
    if name == _MONTH:
        return Interval(_MONTH, 0)
    if name in _LONG:
        return Interval(name, *_LONG[name])
    match = _NAME.fullmatch(name)
    minutes = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 1 <= minutes <= MINUTES_PER_DAY:
        raise UserError(_unknown(name), field="interval")
    return _of_minutes(minutes)


def _of_minutes(minutes: int) -> Interval:
    if minutes == MINUTES_PER_DAY:
        return Interval("1d", minutes)
    # 90m stays 90m and 120m is 2h, as exchanges write them.
    name = f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
    return Interval(name, minutes)


def _unknown(name: str) -> str:
    shown = name if len(name) <= 20 else name[:20] + "..."
    near = _nearest(name)
    hint = f" Did you mean {near}?" if near else ""
    return f"interval {shown!r} is unknown: use 1m to 1440m, 1h to 24h, 1d, 3d, 1w or 1M.{hint}"


def _nearest(name: str) -> str | None:
    """The same in small letters, where that is an interval, or else the standard name that looks most like it."""
    small = name.lower()
    if small != name:
        try:
            _parse(small)
        except UserError:
            pass
        else:
            return small
    return next(iter(get_close_matches(name, STANDARD_NAMES, n=1, cutoff=0.5)), None)


STANDARD_NAMES: Final = (
    "1m", "3m", "5m", "15m", "30m", "37m", "1h", "2h", "4h", "8h", "12h", "148m", "1d", "3d", "1w", "1M",
)  # fmt: skip
MINUTE: Final = Interval("1m", 1)
DAY: Final = Interval("1d", MINUTES_PER_DAY)
