"""Minutes to bars: the one resampler, used by the pipeline, the live lane, the API and the tests' streams.

A bar's open, high, low and close come from its traded minutes alone. Sums are sums of scaled integers, so that they
are exact in any order. A bar without a traded minute has no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from btc_pipeline.market.candles import (
    UNKNOWN_TRADES,
    BoolArray,
    Candles,
    Float64Array,
    empty_candles,
    from_ticks,
    to_ticks,
)
from btc_pipeline.market.intervals import Int64Array, Interval
from btc_pipeline.market.spans import NO_SPANS, Spans

SAFE_SUM: Final = 2.0**62
HALF_BITS: Final = 31


@dataclass(frozen=True, slots=True)
class UsabilityRule:
    """When a bar may carry an opinion.

    Attributes:
        minimum_coverage_percent: share of its minutes that must be present or quiet.
        closing_minute_required: whether its last minute must be among them.
    """

    minimum_coverage_percent: float = 99.0
    closing_minute_required: bool = True


DEFAULT_USABILITY: Final = UsabilityRule()


def resample(
    minutes: Candles,
    interval: Interval,
    slots: range,
    *,
    vouched: Spans = NO_SPANS,
    rule: UsabilityRule = DEFAULT_USABILITY,
) -> Candles:
    """The bars of an interval in a range of slots.

    Args:
        minutes: 1m candles; those outside the slots are ignored.
        interval: any interval, 1m included.
        slots: the slots wanted, `Interval.slots_closing_in` for whole days.
        vouched: minutes without a row in which nothing traded for certain.
        rule: when a bar is usable.

    Returns:
        One row a slot that has at least one traded minute.
    """
    if not len(slots):
        return empty_candles(interval, minutes.scale)
    window = minutes.between(interval.open(slots.start), interval.open(slots.stop))
    quiet = window.quiet_minutes != 0
    traded = window.take(~quiet) if quiet.any() else window
    if not len(traded):
        return empty_candles(interval, minutes.scale)

    slot_of_traded = interval.slot(traded.time)
    first = np.flatnonzero(np.diff(slot_of_traded, prepend=slot_of_traded[0] - 1))
    last = np.append(first[1:], len(traded)) - 1
    slot = slot_of_traded[first]
    open_time, close_time = interval.open(slot), interval.close(slot)

    present, quiet = _minute_counts(window, vouched, open_time, close_time)
    expected = close_time - open_time
    closing_known = _is_known(window, vouched, close_time - 1)
    usable = present * 100 >= rule.minimum_coverage_percent * expected
    if rule.closing_minute_required:
        usable &= closing_known
    scale = minutes.scale
    return Candles(
        interval,
        scale,
        time=open_time,
        open=traded.open[first],
        high=np.maximum.reduceat(traded.high, first),
        low=np.minimum.reduceat(traded.low, first),
        close=traded.close[last],
        volume=_sum(traded.volume, first, scale.volume),
        quote_volume=_sum_if_all_known(traded.quote_volume, first, scale.quote),
        taker_buy_volume=_sum_if_all_known(traded.taker_buy_volume, first, scale.volume),
        trades=_count_if_all_known(traded.trades, first),
        minutes=present,
        quiet_minutes=quiet,
        expected_minutes=expected,
        usable=usable,
    )


def _minute_counts(
    window: Candles, vouched: Spans, open_time: Int64Array, close_time: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """(present, quiet) minutes of each bar; a vouched minute that has a row counts once."""
    first, last = np.searchsorted(window.time, open_time), np.searchsorted(window.time, close_time)
    rows = last - first
    quiet_rows_before = np.concatenate((np.zeros(1, np.int64), np.cumsum(window.quiet_minutes)))
    quiet_rows = quiet_rows_before[last] - quiet_rows_before[first]
    if not len(vouched):
        return rows, quiet_rows
    holes = vouched.count_before(close_time) - vouched.count_before(open_time)
    if np.any(np.searchsorted(window.time, vouched.end) > np.searchsorted(window.time, vouched.start)):
        vouched_rows = window.time[vouched.contains(window.time)]
        holes -= np.searchsorted(vouched_rows, close_time) - np.searchsorted(vouched_rows, open_time)
    return rows + holes, quiet_rows + holes


def _is_known(window: Candles, vouched: Spans, minute: Int64Array) -> BoolArray:
    """Which minutes have a row or are vouched for."""
    at = np.minimum(np.searchsorted(window.time, minute), len(window) - 1)
    return np.asarray((window.time[at] == minute) | vouched.contains(minute))


def _sum(values: Float64Array, first: Int64Array, decimals: int) -> Float64Array:
    """Exact sums of non-negative decimals, each as the nearest double over a power of ten."""
    ticks = to_ticks(values, decimals)
    if float(np.add.reduceat(values, first).max()) * 10.0**decimals < SAFE_SUM:
        return from_ticks(np.add.reduceat(ticks, first), decimals)
    # A month of the largest markets, in quote currency with eight decimals, is more than 64 bits hold.
    halves = (ticks >> HALF_BITS, ticks & ((1 << HALF_BITS) - 1))
    high, low = (np.add.reduceat(half, first).tolist() for half in halves)
    return (
        np.array([float((top << HALF_BITS) + bottom) for top, bottom in zip(high, low, strict=True)]) / 10.0**decimals
    )


def _sum_if_all_known(values: Float64Array, first: Int64Array, decimals: int) -> Float64Array:
    unknown = np.isnan(values)
    if unknown.all():
        return np.full(len(first), np.nan)
    total = _sum(np.where(unknown, 0.0, values), first, decimals)
    return np.where(np.logical_or.reduceat(unknown, first), np.nan, total)


def _count_if_all_known(counts: Int64Array, first: Int64Array) -> Int64Array:
    unknown = np.logical_or.reduceat(counts == UNKNOWN_TRADES, first)
    return np.where(unknown, UNKNOWN_TRADES, np.add.reduceat(counts, first))


class StreamingResampler:
    """Bars from minutes that come one at a time, as a live feed has them; equal to `resample` over all of them.

    Minutes come in ascending order. A bar is given out once, when a minute or the clock has passed its close.
    """

    def __init__(
        self, interval: Interval, *, vouched: Spans = NO_SPANS, rule: UsabilityRule = DEFAULT_USABILITY
    ) -> None:
        self._interval = interval
        self._vouched = vouched
        self._rule = rule
        self._pending: list[Candles] = []

    def push(self, minute: Candles) -> Iterator[Candles]:
        """Takes one minute (a frame of one row); yields the bar that it closes, if any.

        Raises:
            ValueError: the minute is not later than the one before.
        """
        time = int(minute.time[0])
        if self._pending and time <= int(self._pending[-1].time[0]):
            raise ValueError(f"minute {time} does not follow {int(self._pending[-1].time[0])}")
        yield from self._close_before(self._interval.slot(time))
        self._pending.append(minute)
        yield from self.advance(time + 1)

    def advance(self, now: int) -> Iterator[Candles]:
        """Yields the pending bar if its close is not after the epoch minute `now`."""
        yield from self._close_before(self._interval.slot(now))

    def _close_before(self, slot: int) -> Iterator[Candles]:
        if not self._pending:
            return
        pending = self._interval.slot(int(self._pending[0].time[0]))
        if pending >= slot:
            return
        minutes = Candles.concatenate(self._pending)
        self._pending = []
        bars = resample(minutes, self._interval, range(pending, pending + 1), vouched=self._vouched, rule=self._rule)
        if len(bars):
            yield bars
