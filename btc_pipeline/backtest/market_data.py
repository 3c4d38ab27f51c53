"""What a simulation is given of the market: bars, the minutes inside them, a mark for every midnight, funding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import numpy as np

from btc_pipeline.market.candles import Candles, Float64Array
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Int64Array


@dataclass(frozen=True, slots=True)
class Funding:
    """Payments between sides: a long position pays `rate` of its value at each `time`, a short one receives it.

    Attributes:
        time: int64[f], epoch minutes, ascending.
        rate: float64[f], fractions.
    """

    time: Int64Array
    rate: Float64Array


NO_FUNDING = Funding(np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class Minutes:
    """Traded minutes, ascending: int64[m] epoch minutes and float64[m] prices."""

    time: Int64Array
    open: Float64Array
    high: Float64Array
    low: Float64Array

    @classmethod
    def of(cls, minutes: Candles) -> Minutes:
        """Those of 1m candles that traded."""
        traded = minutes.take(minutes.quiet_minutes == 0)
        return cls(traded.time, traded.open, traded.high, traded.low)


@dataclass(frozen=True)
class MarketData:
    """One symbol over whole days.

    Attributes:
        bars: those that open in the days; n of them.
        days: since 1970-01-01.
        mark: float64[len(days)], of every midnight that ends a day the last price by then.
        read_minutes: gives the minutes of all bars; asked once, and only where an exit lies inside a bar. Bars of 1m
            are their own minutes.
        funding: of those days; None where no history of it is known.
    """

    bars: Candles
    days: range
    mark: Float64Array
    read_minutes: Callable[[], Minutes]
    funding: Funding | None = None
    _reading: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    @property
    def midnight(self) -> Int64Array:
        """The ends of the days, int64[d], epoch minutes."""
        return np.arange(self.days.start + 1, self.days.stop + 1, dtype=np.int64) * MINUTES_PER_DAY

    @property
    def minutes(self) -> Minutes:
        """The minutes, read when first asked for; threads of a sweep share them."""
        with self._reading:
            return self._minutes

    @cached_property
    def _minutes(self) -> Minutes:
        return Minutes.of(self.bars) if self.bars.interval == MINUTE else self.read_minutes()

    @cached_property
    def minute_first(self) -> Int64Array:
        """The row of each bar's first minute, int64[n + 1]."""
        edges = np.append(self.bars.time, self.bars.close_time[-1:])
        first: Int64Array = np.searchsorted(self.minutes.time, edges).astype(np.int64)
        return first


def marks_of(minutes: Candles, days: range) -> Float64Array:
    """Of every midnight that ends a day, the close of the last traded minute by then; NaN before the first.

    Returns:
        float64[len(days)].
    """
    traded = minutes.take(minutes.quiet_minutes == 0)
    midnight = np.arange(days.start + 1, days.stop + 1, dtype=np.int64) * MINUTES_PER_DAY
    last = np.searchsorted(traded.time, midnight) - 1
    if not len(traded):
        return np.full(len(days), np.nan)
    return np.where(last >= 0, traded.close[np.maximum(last, 0)], np.nan)
