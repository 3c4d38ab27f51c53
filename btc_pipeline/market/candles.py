"""The candle frame: columns of one symbol's bars on one interval, minutes included.

One type for 1m and for every other interval, because a minute is a bar of one minute. Prices are doubles that hold
decimals of a declared scale exactly enough to be recovered as integers (`ticks`); sums and comparisons use those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from btc_pipeline.market.intervals import MINUTE, Int64Array, Interval

Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MAX_SIGNIFICANT_DIGITS: Final = 15
"""A double holds any decimal of 15 significant digits and gives it back; 16 are too many."""

UNKNOWN_TRADES: Final = -1
"""The `trades` of a venue that does not count them (NULL in the database)."""


def to_ticks(values: Float64Array, decimals: int) -> Int64Array:
    """Scaled integers of decimal values: `322.31` with 2 decimals is 32231. float64[n] -> int64[n].

    Exact for values that were decimals of at most `decimals` places and 15 significant digits: the product is off by
    less than one part in 2**52, so rounding recovers the integer.
    """
    return np.rint(values * 10.0**decimals).astype(np.int64)


def from_ticks(ticks: Int64Array, decimals: int) -> Float64Array:
    """The doubles nearest to scaled integers; one correctly rounded division for |ticks| < 2**53."""
    return ticks.astype(np.float64) / 10.0**decimals


@dataclass(frozen=True, slots=True)
class Scale:
    """Decimals of an instrument's columns, and thereby the integers its sums are made of."""

    price: int
    volume: int
    quote: int = 8


@dataclass(frozen=True, slots=True)
class Candles:
    """Bars of one symbol and interval, strictly ascending by time; all columns have the same length n.

    Columns:
        time: int64, open time in epoch minutes.
        open, high, low, close: float64, quote currency.
        volume: float64, base currency.
        quote_volume, taker_buy_volume: float64, NaN where the venue does not tell.
        trades: int64, UNKNOWN_TRADES where the venue does not tell.
        minutes: int64, minutes present, the quiet ones among them.
        quiet_minutes: int64, minutes known to have no trade.
        expected_minutes: int64, minutes of the slot.
        usable: bool, enough minutes present and the closing one among them.
    """

    interval: Interval
    scale: Scale
    time: Int64Array
    open: Float64Array
    high: Float64Array
    low: Float64Array
    close: Float64Array
    volume: Float64Array
    quote_volume: Float64Array
    taker_buy_volume: Float64Array
    trades: Int64Array
    minutes: Int64Array
    quiet_minutes: Int64Array
    expected_minutes: Int64Array
    usable: BoolArray

    def __len__(self) -> int:
        return len(self.time)

    @property
    def slot(self) -> Int64Array:
        """The slot of each bar, int64[n]."""
        return self.interval.slot(self.time)

    @property
    def close_time(self) -> Int64Array:
        """The first minute after each bar, int64[n]: when its decision is made."""
        return self.interval.close(self.slot)

    @property
    def day(self) -> Int64Array:
        """The UTC day (since 1970-01-01) each bar belongs to, int64[n]."""
        return self.interval.day(self.slot)

    @property
    def close_ticks(self) -> Int64Array:
        """Closes as scaled integers, int64[n]."""
        return to_ticks(self.close, self.scale.price)

    def take(self, rows: slice | BoolArray | Int64Array) -> Self:
        """The bars of those rows, in order."""
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in COLUMNS}
        return replace(self, **columns)

    def between(self, start: int, end: int) -> Self:
        """The bars that open in the epoch minutes [start, end)."""
        first, last = np.searchsorted(self.time, (start, end))
        return self.take(slice(int(first), int(last)))

    def locked(self) -> Self:
        """The same bars, in views of the columns that cannot be written to."""
        columns: dict[str, Any] = {name: getattr(self, name).view() for name in COLUMNS}
        for column in columns.values():
            column.flags.writeable = False
        return replace(self, **columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Bars of one symbol and interval, joined; the parts follow one another in time."""
        columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        return replace(parts[0], **columns)


COLUMNS: Final = tuple(f.name for f in fields(Candles) if f.name not in ("interval", "scale"))
"""The columns of `Candles`, in order."""


def minute_candles(
    scale: Scale,
    time: Int64Array,
    prices: tuple[Float64Array, Float64Array, Float64Array, Float64Array],
    volume: Float64Array,
    *,
    quote_volume: Float64Array | None = None,
    taker_buy_volume: Float64Array | None = None,
    trades: Int64Array | None = None,
) -> Candles:
    """1m candles as a source gives them: (open, high, low, close), volume, and what else the venue tells.

    A row with volume 0 and one price is a quiet minute; a row without volume whose price moved is not.
    """
    n = len(time)
    quiet = is_quiet(prices, volume).astype(np.int64)
    ones = np.ones(n, dtype=np.int64)
    return Candles(
        MINUTE,
        scale,
        time,
        *prices,
        volume,
        np.full(n, np.nan) if quote_volume is None else quote_volume,
        np.full(n, np.nan) if taker_buy_volume is None else taker_buy_volume,
        np.full(n, UNKNOWN_TRADES, dtype=np.int64) if trades is None else trades,
        minutes=ones,
        quiet_minutes=quiet,
        expected_minutes=ones,
        usable=np.ones(n, dtype=np.bool_),
    )


def is_quiet(prices: tuple[Float64Array, Float64Array, Float64Array, Float64Array], volume: Float64Array) -> BoolArray:
    """Which 1m rows say that nothing traded: volume 0 and open = high = low = close. bool[n]."""
    open_, high, low, close = prices
    return np.asarray((volume == 0) & (open_ == close) & (high == low) & (open_ == high))


def empty_candles(interval: Interval, scale: Scale) -> Candles:
    """No bars."""
    integers, floats = np.empty(0, np.int64), np.empty(0, np.float64)
    return Candles(
        interval, scale, integers, *(floats,) * 7, integers, integers, integers, integers, np.empty(0, np.bool_)
    )
