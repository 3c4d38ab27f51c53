"""Warm-up: bars of another venue in front of a symbol's own, so that a window reaches back past the first of these.

Nothing is copied from symbol to symbol: bars are put together when they are looked at, and what rests on them says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from btc_pipeline.market.candles import Candles, Scale
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Interval


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Where a symbol's windows may reach back to.

    Attributes:
        source: another symbol.
        until: epoch minute; of the source only bars that close by then are seen, and only at bars that close later.
    """

    source: str
    until: int

    def days(self, first: int, day: int) -> range:
        """The source's days that a day of something rests on whose own bars reach back to the day `first`.

        None where the day is before `until`, or what it looks back on begins behind it.
        """
        if not first * MINUTES_PER_DAY < self.until < (day + 1) * MINUTES_PER_DAY:
            return range(0)
        return range(first, min(day, (self.until - 1) // MINUTES_PER_DAY) + 1)


@dataclass(frozen=True, slots=True)
class WarmBars:
    """The source's bars as read for a warm-up: of each interval those that may be seen."""

    warm_up: WarmUp
    bars: Mapping[Interval, Candles]


@dataclass(frozen=True, slots=True)
class Spliced:
    """Bars of two symbols one after the other.

    Attributes:
        bars: the source's that close by `until`, then a symbol's own that close later; of both scales the finer one.
        warm: how many of them are the source's.
        own_first: the row of the first of the others among the symbol's own bars.
    """

    bars: Candles
    warm: int
    own_first: int


def splice(own: Candles, source: Candles | None, until: int) -> Spliced:
    """Puts a source's bars in front of a symbol's own on the same interval; its own from before give way to them.

    A bar across `until` is the symbol's own: made of its own minutes alone, it is rarely usable.
    """
    own_first = int(np.searchsorted(own.close_time, until, side="right"))
    later = own.take(slice(own_first, None))
    if source is None:
        return Spliced(later, 0, own_first)
    warm = int(np.searchsorted(source.close_time, until, side="right"))
    scale = common_scale(own.scale, source.scale)
    parts = [replace(source.take(slice(0, warm)), scale=scale), replace(later, scale=scale)]
    return Spliced(Candles.concatenate(parts), warm, own_first)


def common_scale(one: Scale, other: Scale) -> Scale:
    """The decimals that hold both symbols' values."""
    return Scale(max(one.price, other.price), max(one.volume, other.volume), max(one.quote, other.quote))
