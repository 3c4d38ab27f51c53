"""The bounded window: which bars a value may rest on, and exact sums over them.

A value at bar t rests on the last m bars up to t, for the largest m from the warm-up to W that `usable_bars` allows,
and on nothing else. So a reader that has `lookback_slots(W)` slots up to t gets the bits that a reader of all history
gets, and behind a hole everything warms up again.
"""

from __future__ import annotations

from typing import Final

import numpy as np

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
    found = np.zeros(len(bars), dtype=np.int64)
    index = np.arange(len(bars), dtype=np.int64)
    missing_before = bars.slot - index
    unusable_before = np.concatenate((np.zeros(1, np.int64), np.cumsum(~bars.usable, dtype=np.int64)))

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
    return usable_bars(bars, window, window) > 0


def reaches_first(used: Int64Array, first: int) -> BoolArray:
    """Which values rest on one of the `first` bars or more, bool[n]; `used` is what `usable_bars` found, int64[n]."""
    return (used > 0) & (np.arange(len(used)) - used + 1 < first)


def slack(bars: Int64Array) -> Int64Array:
    """How many slots may be missing, and how many bars not usable, among so many bars: max(2, 5 %). int64[n]."""
    return np.maximum(LEAST_SLACK, bars // SLACK_DIVISOR)


def lookback_slots(window: int) -> int:
    """How many slots up to and including a bar's own must be read to have its value."""
    return window + max(LEAST_SLACK, window // SLACK_DIVISOR)


def trailing_sum(ticks: Int64Array, length: int) -> Int64Array:
    """The sum of the last `length` integers up to each, int64[n]; the first length - 1 are 0 and mean nothing.

    Exact if the sum of one window fits 64 bits, as 500 prices of 15 digits do: the running total may wrap, and its
    differences are right all the same.
    """
    total = np.concatenate((np.zeros(1, np.int64), np.cumsum(ticks, dtype=np.int64)))
    sums = np.zeros(len(ticks), dtype=np.int64)
    sums[length - 1 :] = total[length:] - total[:-length]
    return sums


def trailing_mean(ticks: Int64Array, length: int, decimals: int) -> Float64Array:
    """The mean of the last `length` decimals, float64[n]: the double nearest to it while the sum is below 2**53."""
    return trailing_sum(ticks, length).astype(np.float64) / float(length * 10**decimals)
