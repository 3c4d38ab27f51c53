"""Oscillators between 0 and 100: RSI, Stochastic."""

from __future__ import annotations

from typing import Final

import numpy as np

from btc_pipeline.indicators.base import Indicator, Series
from btc_pipeline.indicators.parameters import Parameter
from btc_pipeline.indicators.recursions import restarted, settling_steps
from btc_pipeline.indicators.windows import trailing_mean, usable_bars
from btc_pipeline.market.candles import Candles, Float64Array, from_ticks, to_ticks
from btc_pipeline.market.intervals import Int64Array

RSI_ERROR: Final = 1e-12
"""What may be left of a restart of RSI's averages; see `rsi_window`."""


def rsi(bars: Candles, period: int) -> Series:
    """Wilder's relative strength index: 100 * gain / (gain + loss), averages of the rises and falls of the close.

    Source: TA-Lib's ta_RSI.c. The averages are Wilder's (alpha = 1 / period), seeded with the means of the window's
    first `period` changes. Where nothing moved in the whole window, gain + loss is 0 and RSI is 0, as TA-Lib has it
    (others say 50 or 100).
    """
    window = rsi_window(period)
    used = usable_bars(bars, window, period + 1)
    change = np.diff(bars.close_ticks, prepend=bars.close_ticks[:1])
    gain = _wilder(np.maximum(change, 0), used, period, bars.scale.price)
    loss = _wilder(np.maximum(-change, 0), used, period, bars.scale.price)
    return Series.of(_percent(gain, gain + loss), used, window)


def rsi_window(period: int) -> int:
    """W of `rsi`: the seed of `period` changes, and as many bars as it takes to forget what was before it.

    A restart leaves decay**k of the difference that both averages had there, and moves RSI by at most 100 * decay**k
    times the average move there over the average move now. So that 1e-7 holds while moves stay within a factor of
    1000, decay**k is at most 1e-12.
    """
    return period + 1 + settling_steps((period - 1) / period, error=RSI_ERROR)


def stochastic(bars: Candles, k_period: int, k_smoothing: int, d_period: int) -> dict[str, Series]:
    """The slow Stochastic: `value` is slow %K, `d` its mean over `d_period` bars.

    Fast %K is where the close lies between the lowest low (0) and the highest high (100) of `k_period` bars, and 0
    where those are equal; slow %K is its mean over `k_smoothing` bars.

    Source: TA-Lib's ta_STOCH.c with simple averages; both outputs begin together.
    """
    window = stochastic_window(k_period, k_smoothing, d_period)
    used = usable_bars(bars, window, window)
    high = _trailing_max(to_ticks(bars.high, bars.scale.price), k_period)
    low = -_trailing_max(-to_ticks(bars.low, bars.scale.price), k_period)
    fast_k = _percent((bars.close_ticks - low).astype(np.float64), (high - low).astype(np.float64))
    slow_k = _trailing_mean_in_order(fast_k, k_smoothing)
    d = _trailing_mean_in_order(slow_k, d_period)
    return {"value": Series.of(slow_k, used, window), "d": Series.of(d, used, window)}


def stochastic_window(k_period: int, k_smoothing: int, d_period: int) -> int:
    """W of `stochastic`, which is its warm-up as well."""
    return k_period + k_smoothing - 1 + d_period - 1


def _wilder(ticks: Int64Array, used: Int64Array, period: int, decimals: int) -> Float64Array:
    """Wilder's average of moves; a window's first bar has none of its own, its predecessor lies outside."""
    seeds = trailing_mean(ticks, period, decimals)
    return restarted(from_ticks(ticks, decimals), seeds, used, alpha=1.0 / period, seed_bars=period + 1)


def _percent(part: Float64Array, whole: Float64Array) -> Float64Array:
    """100 * part / whole, 0 where the whole is 0."""
    return 100.0 * np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


def _trailing_max(ticks: Int64Array, length: int) -> Int64Array:
    """The largest of the last `length` integers, int64[n]; of fewer at the beginning."""
    largest, covered = ticks.copy(), 1
    while covered < length:
        shift = min(covered, length - covered)
        largest[shift:] = np.maximum(largest[shift:], largest[:-shift])
        covered += shift
    return largest


def _trailing_mean_in_order(values: Float64Array, length: int) -> Float64Array:
    """The mean of the last `length` floats, added from the oldest on; the first length - 1 mean nothing."""
    total = np.zeros(len(values))
    for back in range(length - 1, -1, -1):
        total[back:] += values[: max(len(values) - back, 0)]
    return total / length


RSI: Final = Indicator(
    name="rsi",
    display_name="RSI",
    description="Wilder's relative strength index: rises as a share of all moves of the close.",
    parameters=(Parameter("period", int, 14, 2, 200, "Bars of Wilder's averages."),),
    outputs=("value",),
    overlay=False,
    warm_up=lambda p: int(p["period"]) + 1,
    window=lambda p: rsi_window(int(p["period"])),
    compute=lambda bars, p: {"value": rsi(bars, int(p["period"]))},
)
STOCHASTIC: Final = Indicator(
    name="stochastic",
    display_name="Stochastic",
    description="Where the close lies between the lowest low and the highest high: slow %K, and its mean %D.",
    parameters=(
        Parameter("k_period", int, 14, 1, 200, "Bars of the lowest low and highest high."),
        Parameter("k_smoothing", int, 3, 1, 200, "Bars averaged into slow %K."),
        Parameter("d_period", int, 3, 1, 200, "Values of slow %K averaged into %D."),
    ),
    outputs=("value", "d"),
    overlay=False,
    warm_up=lambda p: stochastic_window(int(p["k_period"]), int(p["k_smoothing"]), int(p["d_period"])),
    window=lambda p: stochastic_window(int(p["k_period"]), int(p["k_smoothing"]), int(p["d_period"])),
    compute=lambda bars, p: stochastic(bars, int(p["k_period"]), int(p["k_smoothing"]), int(p["d_period"])),
)
