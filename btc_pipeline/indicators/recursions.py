"""Recursions that restart: averages that never forget, over a window that ends.

An exponential average is seeded with the plain mean of its first n values and then follows

    state += alpha * (value - state)        alpha = 2 / (n + 1), Wilder's: 1 / n

as TA-Lib computes it (ta_EMA.c, ta_ATR.c, ta_RSI.c). TA-Lib starts at the first bar there is; here every bar's value
restarts at the first bar of its own window, so that it depends on that window alone.

**How long the window must be.** Two such averages that differ by d differ by d * decay**k after k more values,
decay = 1 - alpha. At the restart one is the mean of n prices in the window and the other an average of earlier ones, so
while prices stay within a factor of 10, d is at most 10 x price. With decay**k <= 1e-11 (`PRICE_ERROR`) the restart
changes the value by less than 1e-10 of price. `settling_steps` counts k.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import Int64Array

PRICE_ERROR: Final = 1e-11
"""What may be left of a restart where the result is a price."""

BLOCK_BARS: Final = 8192  # a block's state stays in a small processor's cache


def restarted(
    values: Float64Array, seeds: Float64Array, bars_used: Int64Array, *, alpha: float, seed_bars: int
) -> Float64Array:
    """The recursion over each bar's own window, float64[n]; NaN where there is no window.

    Args:
        values: float64[n], what is averaged.
        seeds: float64[n], at each bar the state that a window whose `seed_bars`-th bar it is starts from.
        bars_used: int64[n], from `usable_bars` with a warm-up of at least `seed_bars`.
        alpha: the weight of a new value.
        seed_bars: bars of the window that the seed takes up.
    """
    result = np.full(len(values), np.nan)
    for block in blocks(bars_used, seed_bars):
        state = np.zeros(len(block))
        for left in range(block.steps, -1, -1):
            state += alpha * (block.back(values, left) - state)
            seeded = block.seeded(left)
            state[seeded] = seeds[block.first + seeded - left]
        result[block.first : block.end] = np.where(bars_used[block.first : block.end] > 0, state, np.nan)
    return result


@dataclass(frozen=True, slots=True)
class Block:
    """The bars first..end-1, whose windows are walked together, oldest step first.

    With `left` steps to go, bar t looks at bar t - left. The longest window has `steps` to go behind its seed; a
    shorter one joins later, and what its state held until then is overwritten by its seed.
    """

    first: int
    end: int
    steps: int
    seeds: dict[int, Int64Array]

    def __len__(self) -> int:
        return self.end - self.first

    def seeded(self, left: int) -> Int64Array:
        """Positions in the block whose seed is complete with `left` steps to go."""
        return self.seeds.get(left, _NOBODY)

    def back(self, values: Float64Array, left: int) -> Float64Array:
        """What each bar sees `left` bars ago, float64[len(block)]; 0 before the beginning, where no window reaches."""
        missing = min(max(left - self.first, 0), len(self))
        seen = values[max(self.first - left, 0) : max(self.end - left, 0)]
        return np.concatenate((np.zeros(missing), seen)) if missing else seen


def blocks(bars_used: Int64Array, seed_bars: int) -> Iterator[Block]:
    """The bars that have a window, in blocks; `seed_bars` of each window are taken up by its seed."""
    for first in range(0, len(bars_used), BLOCK_BARS):
        used = bars_used[first : first + BLOCK_BARS]
        positions = np.flatnonzero(used)
        if not len(positions):
            continue
        steps = used[positions] - seed_bars
        order = np.argsort(steps, kind="stable")
        distinct, starts = np.unique(steps[order], return_index=True)
        groups = np.split(positions[order], starts[1:])
        seeds = dict(zip(distinct.tolist(), groups, strict=True))
        yield Block(first, first + len(used), int(distinct[-1]), seeds)


@lru_cache(maxsize=4096)
def settling_steps(*decays: float, error: float = PRICE_ERROR) -> int:
    """How many values behind the seed leave at most `error` of a difference of 1 there.

    With several decays each average follows the one before it, all differ by 1 at the seed, and the sum of their
    differences counts: that of an average with decay q over values that differ by e becomes q * difference +
    (1 - q) * e. Only products and sums in a fixed order, so that every machine counts the same.
    """
    differences = [1.0] * len(decays)
    steps, total = 0, float(len(decays))
    while total > error:
        source = total = 0.0
        for i, decay in enumerate(decays):
            source = differences[i] = decay * differences[i] + (1.0 - decay) * source
            total += source  # not sum(), which rounds differently from Python 3.12 on
        steps += 1
    return steps


_NOBODY: Final = np.empty(0, dtype=np.int64)
