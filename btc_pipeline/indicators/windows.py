"""The bounded window: which bars a value may rest on, and exact sums over them.

A value at bar t rests on the last m bars up to t, for the largest m from the warm-up to W that `usable_bars` allows,
and on nothing else. So a reader that has `lookback_slots(W)` slots up to t gets the bits that a reader of all history
gets, and behind a hole everything warms up again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from btc_pipeline.indicators.memo import remembered, scratch
from btc_pipeline.market.candles import BoolArray, Candles, Float64Array
from btc_pipeline.market.intervals import Int64Array

LEAST_SLACK: Final = 2
SLACK_DIVISOR: Final = 20  # 5 %


def usable_bars(bars: Candles, window: int, warm_up: int) -> Int64Array:
    """How many bars each value rests on, int64[n]: the largest m of warm_up..window whose bars hold, 0 if none does.

    The last m bars up to t hold if they span at most m + slack(m) slots and at most slack(m) of them are not usable.
    A value is settled where m == window.

    Notes:
        Slots missing within the last m bars, and bars not usable among them, only grow with m, and slack(m) is constant
        over stretches of m. So for a given slack a binary search gives the longest stretch of bars, `reach`. If reach
        has that slack itself, it is the answer; otherwise no m of this slack holds, and the answer is at most reach.
        Where nothing is missing the first round answers.
    """
    if warm_up == window:
        whole = np.full(len(bars), window, dtype=np.int64)
        whole[torn_windows(bars, window)] = 0
        return whole
    found = np.zeros(len(bars), dtype=np.int64)
    index = np.arange(len(bars), dtype=np.int64)
    missing_before, unusable_before = _counts(bars)

    todo = index[max(warm_up, 1) - 1 :]
    limit = np.minimum(todo + 1, window)
    while len(todo):
        allowed = slack(limit)
        first = np.maximum(
            np.searchsorted(missing_before, missing_before[todo] - allowed),
            np.searchsorted(unusable_before, unusable_before[todo + 1] - allowed),
        )
        reach = np.minimum(todo + 1 - first, limit)
        holds = slack(reach) == allowed
        enough = reach >= warm_up
        found[todo[holds & enough]] = reach[holds & enough]
        todo, limit = todo[~holds & enough], reach[~holds & enough]
    return found


def full_windows(bars: Candles, window: int) -> BoolArray:
    """Where the last `window` bars hold, bool[n]: where an indicator whose warm-up is its window has a value."""
    full = np.ones(len(bars), np.bool_)
    full[torn_windows(bars, window)] = False
    return full


def torn_windows(bars: Candles, window: int) -> Int64Array:
    """The rows where `full_windows` is false, ascending: those soon behind the start and behind holes."""
    allowed = _slack_of(window)
    rows, whole = remembered(bars, ("near_holes", allowed), lambda: _near_holes(bars, allowed))
    return rows[whole < window]


def without_window(bars: Candles, window: int, warm_up: int) -> Int64Array:
    """The rows where `usable_bars` finds none, ascending, at less cost."""
    return torn_windows(bars, window) if warm_up == window else np.flatnonzero(usable_bars(bars, window, warm_up) == 0)


def _slack_of(window: int) -> int:
    return max(LEAST_SLACK, window // SLACK_DIVISOR)


def _near_holes(bars: Candles, allowed: int) -> tuple[Int64Array, Int64Array]:
    """The rows, ascending, at which a window of that slack can be torn, and how many bars up to each lack at most so
    many slots, and hold at most so many bars not usable. int64[k] each.
    """

    def stretches() -> tuple[Int64Array, ...]:
        # From the start of one on, both counts stay as they are.
        missing_before, unusable_before = _counts(bars)
        counts = missing_before, unusable_before[1:]
        changes = [np.flatnonzero(np.diff(one, prepend=one[:1] - 1)) for one in counts]
        start = np.unique(np.concatenate(changes))
        return start, np.append(start[1:], len(bars))[: len(start)], *(one[start] for one in counts)

    start, end, missing, unusable = remembered(bars, "stretches", stretches)
    # A slot is missing before a stretch begins; a bar that is not usable is its first one.
    since_missing = start[np.searchsorted(missing, missing - allowed)]
    since_unusable = np.append(0, start + 1)[np.searchsorted(np.append(0, unusable), unusable - allowed)]
    since = np.maximum(since_missing, since_unusable)
    longest = (allowed + 1) * SLACK_DIVISOR - 1
    count = np.maximum(np.minimum(end, since + longest - 1) - start, 0)
    # Row by row from the start of each.
    rows = np.arange(count.sum()) + np.repeat(start - np.cumsum(count) + count, count)
    return rows, rows + 1 - np.repeat(since, count)


def _counts(bars: Candles) -> tuple[Int64Array, Int64Array]:
    """Slots missing before each bar (int64[n]), bars not usable before each of them and the end (int64[n + 1])."""

    def count() -> tuple[Int64Array, Int64Array]:
        missing = bars.slot - np.arange(len(bars), dtype=np.int64)
        return missing, np.concatenate((np.zeros(1, np.int64), np.cumsum(~bars.usable, dtype=np.int64)))

    return remembered(bars, "counts", count)


def reaches_first(used: Int64Array, first: int) -> BoolArray:
    """Which values rest on one of the `first` bars or more, bool[n]; `used` is what `usable_bars` found, int64[n]."""
    return (used > 0) & (np.arange(len(used)) - used + 1 < first)


def slack(bars: Int64Array) -> Int64Array:
    """How many slots may be missing, and how many bars not usable, among so many bars: max(2, 5 %). int64[n]."""
    return np.maximum(LEAST_SLACK, bars // SLACK_DIVISOR)


def lookback_slots(window: int) -> int:
    """How many slots up to and including a bar's own must be read to have its value."""
    return window + _slack_of(window)


def close_against_mean(bars: Candles, length: int) -> NDArray[np.int8]:
    """The sign of close - mean of the last `length` closes, int8[n]; the first length - 1 are 0 and mean nothing.

    Exact: that of close * length - sum in integers, of 32 bits where the closes lie close enough together.
    """
    side = np.zeros(len(bars), np.int8)
    n = max(len(bars) - length + 1, 0)
    if n:
        ticks, total = _totals_to_compare(bars, length)
        # Each step may wrap; what they come to does not.
        difference = np.multiply(ticks[length - 1 :], length, out=scratch("difference", n, ticks.dtype))
        difference -= total[length:]
        difference += total[:n]
        side[length - 1 :] = np.sign(difference, out=difference)
    return side


def trailing_sum(ticks: Int64Array, length: int) -> Int64Array:
    """The sum of the last `length` integers up to each, int64[n]; the first length - 1 are 0 and mean nothing.

    Exact if the sum of one window fits 64 bits, as 500 prices of 15 digits do: the running total may wrap, and its
    differences are right all the same.
    """
    return _differences(_running_total(ticks), length, out=np.empty(len(ticks), np.int64))


def _close_totals(bars: Candles) -> tuple[Int64Array, Int64Array]:
    """The closes in ticks (int64[n]), and their running total (int64[n + 1])."""
    ticks = remembered(bars, "close_ticks", lambda: bars.close_ticks)
    return ticks, remembered(bars, "close_total", lambda: _running_total(ticks))


def _totals_to_compare(bars: Candles, length: int) -> tuple[NDArray[np.signedinteger], NDArray[np.signedinteger]]:
    """As `_close_totals`, but above the lowest close, in the largest step that all are multiples of, and of 32 bits if
    these are enough for the difference of a close times `length` and a sum of so many.
    """

    def find() -> tuple[int, tuple[NDArray[np.int32], NDArray[np.int32]], tuple[Int64Array, Int64Array]]:
        ticks = bars.close_ticks
        offsets = ticks - ticks.min()
        steps = offsets // max(int(np.gcd.reduce(offsets)), 1)
        total = _running_total(steps)
        return int(steps.max()), (steps.astype(np.int32), total.astype(np.int32)), (steps, total)

    most, narrow, wide = remembered(bars, "close_steps", find)
    return narrow if most * length < 1 << 31 else wide


def _running_total(ticks: Int64Array) -> Int64Array:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(ticks, dtype=np.int64)))


def _differences(total: Int64Array, length: int, out: Int64Array) -> Int64Array:
    out[: length - 1] = 0
    if length <= len(out):
        np.subtract(total[length:], total[:-length], out=out[length - 1 :])
    return out


def trailing_close_mean(bars: Candles, length: int) -> Float64Array:
    """The mean of the last `length` closes, float64[n], as `trailing_mean`."""
    sums = _differences(_close_totals(bars)[1], length, out=scratch("sums", len(bars), np.int64))
    return sums / float(length * 10**bars.scale.price)


def trailing_mean(ticks: Int64Array, length: int, decimals: int) -> Float64Array:
    """The mean of the last `length` decimals, float64[n]: the double nearest to it while the sum is below 2**53."""
    return trailing_sum(ticks, length).astype(np.float64) / float(length * 10**decimals)
