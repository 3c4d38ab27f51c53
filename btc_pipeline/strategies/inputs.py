"""What a strategy sees at the close of each bar: its inputs, those of other intervals as of their last closed bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from btc_pipeline.indicators.base import Series
from btc_pipeline.indicators.memo import remembered, remembered_lately
from btc_pipeline.indicators.registry import IndicatorSpec
from btc_pipeline.market.candles import BoolArray, Candles
from btc_pipeline.market.intervals import Int64Array, Interval

MAX_AGE_SLOTS: Final = 2
"""How many slots back the last closed bar of another interval may lie: the slack of a window of one bar."""


def locked(frames: Mapping[Interval, Candles]) -> dict[Interval, Candles]:
    """The same bars in columns that cannot be written to.

    What a strategy changed its snapshot would tell, and others would see: other parameters, and other strategies.
    """
    return {interval: remembered(bars, "locked", bars.locked) for interval, bars in frames.items()}


class LazyInputs(Mapping[str, Mapping[str, Series]]):
    """A strategy's inputs, each computed when it is asked for."""

    def __init__(
        self, bars: Candles, frames: Mapping[Interval, Candles], specs: Mapping[str, tuple[IndicatorSpec, Interval]]
    ) -> None:
        self._specs = specs
        self._bars, self._frames = bars, frames
        self._known: dict[str, Mapping[str, Series]] = {}

    def __getitem__(self, name: str) -> Mapping[str, Series]:
        if name not in self._known:
            self._known[name] = seen_at(self._bars, self._frames, *self._specs[name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def seen_at(
    bars: Candles, frames: Mapping[Interval, Candles], spec: IndicatorSpec, interval: Interval
) -> dict[str, Series]:
    """An input's outputs as seen at the close of every bar."""
    outputs = remembered_lately(frames[interval], spec, lambda: spec.compute(frames[interval]), _bytes)
    seen = dict(outputs) if interval == bars.interval else _as_of_close(outputs, frames[interval], bars)
    for one in seen.values():
        for column in (one.value, one.settled):
            column.flags.writeable = False
    return seen


def _bytes(outputs: Mapping[str, Series]) -> int:
    return sum(one.value.nbytes + one.settled.nbytes for one in outputs.values())


def _as_of_close(outputs: Mapping[str, Series], other: Candles, bars: Candles) -> dict[str, Series]:
    """Another interval's series as known at each close: of its last closed bar, if that one is recent and usable."""
    at, seen = last_closed(other, bars)
    if not len(other):
        return {name: Series(np.full(len(bars), np.nan), seen) for name in outputs}
    return {
        name: Series(np.where(seen, one.value[at], np.nan), seen & one.settled[at]) for name, one in outputs.items()
    }


def last_closed(other: Candles, bars: Candles) -> tuple[Int64Array, BoolArray]:
    """Of each bar the row of another interval's last bar that closed by its close, and whether that one is recent and
    usable. int64[n], bool[n].
    """
    _, at, seen = remembered(
        other, ("last closed", id(bars)), lambda: (bars, *_find_last_closed(other, bars.close_time))
    )
    return at, seen


def _find_last_closed(other: Candles, close_time: Int64Array) -> tuple[Int64Array, BoolArray]:
    if not len(other):
        return np.zeros(len(close_time), np.int64), np.zeros(len(close_time), np.bool_)
    last = np.searchsorted(other.close_time, close_time, side="right") - 1
    at = np.maximum(last, 0)
    age = other.interval.slot(close_time) - 1 - other.slot[at]
    return at, (last >= 0) & (age <= MAX_AGE_SLOTS) & other.usable[at]
