"""How much the price moves: Bollinger bands with the squeeze, ATR."""

from __future__ import annotations

from typing import Final

import numpy as np

from btc_pipeline.indicators.base import Indicator, Series
from btc_pipeline.indicators.parameters import Parameter
from btc_pipeline.indicators.recursions import restarted, settling_steps
from btc_pipeline.indicators.windows import trailing_close_mean, trailing_mean, trailing_sum, usable_bars
from btc_pipeline.market.candles import Candles, Float64Array, from_ticks, to_ticks
from btc_pipeline.market.intervals import Int64Array


def bollinger(bars: Candles, period: int, deviations: float, keltner_multiple: float) -> dict[str, Series]:
    """Bollinger bands: `value` is the SMA, `upper` and `lower` lie so many standard deviations from it.

    `squeeze` is 1.0 where the bands lie inside the Keltner channel of the same period, that is where
    deviations * standard deviation < keltner_multiple * mean true range, and 0.0 elsewhere: John Carter's TTM squeeze
    as LazyBear wrote it down, with simple means. A true range needs the close before it, so the squeeze rests on one
    bar more than the bands and begins one bar later.

    Source: TA-Lib's ta_BBANDS.c (population standard deviation).
    """
    used = usable_bars(bars, period, period)
    used_by_squeeze = usable_bars(bars, period + 1, period + 1)
    middle = trailing_close_mean(bars, period)
    half = deviations * _standard_deviation(bars.close_ticks, period, bars.scale.price)
    channel = keltner_multiple * trailing_mean(_true_range(bars), period, bars.scale.price)
    return {
        "value": Series.of(middle, used, period),
        "upper": Series.of(middle + half, used, period),
        "lower": Series.of(middle - half, used, period),
        "squeeze": Series.of((half < channel).astype(np.float64), used_by_squeeze, period + 1),
    }


def atr(bars: Candles, period: int) -> Series:
    """Wilder's average true range: alpha = 1 / period, seeded with the mean of the window's first `period` ranges.

    Source: TA-Lib's ta_ATR.c. The true range is max(high, close before) - min(low, close before).
    """
    window = atr_window(period)
    used = usable_bars(bars, window, period + 1)
    ticks, decimals = _true_range(bars), bars.scale.price
    seeds = trailing_mean(ticks, period, decimals)
    average = restarted(from_ticks(ticks, decimals), seeds, used, alpha=1.0 / period, seed_bars=period + 1)
    return Series.of(average, used, window)


def atr_window(period: int) -> int:
    """W of `atr`: the close before the first true range, the seed, and as many bars as it takes to forget."""
    return period + 1 + settling_steps((period - 1) / period)


def _true_range(bars: Candles) -> Int64Array:
    """True ranges in ticks, int64[n]; the first bar's is 0 and lies in no window."""
    high, low = to_ticks(bars.high, bars.scale.price), to_ticks(bars.low, bars.scale.price)
    ranges = np.zeros(len(bars), dtype=np.int64)
    before = bars.close_ticks[:-1]
    ranges[1:] = np.maximum(high[1:], before) - np.minimum(low[1:], before)
    return ranges


def _standard_deviation(ticks: Int64Array, period: int, decimals: int) -> Float64Array:
    """The population standard deviation of the last `period` decimals, float64[n].

    n * x - sum is an exact integer (it fits 64 bits for 500 prices of 15 digits), and only the squares of these are
    added as floats, oldest first. So nothing cancels: the error is a few units in the last place times the period, of
    the deviation itself. TA-Lib subtracts the mean squared from the mean of squares and loses up to 1e-8 of price where
    a window hardly moves.
    """
    total = trailing_sum(ticks, period)
    squares = np.zeros(len(ticks))
    for back in range(period - 1, -1, -1):
        apart = (ticks[: max(len(ticks) - back, 0)] * period - total[back:]).astype(np.float64)
        squares[back:] += apart * apart
    return np.sqrt(squares / period) / float(period * 10**decimals)


BOLLINGER: Final = Indicator(
    name="bollinger",
    display_name="Bollinger bands",
    description="A moving average with bands some standard deviations away, and whether they squeeze.",
    parameters=(
        Parameter("period", int, 20, 2, 500, "Bars of the average, the deviation and the Keltner channel."),
        Parameter("deviations", float, 2.0, 0.1, 10.0, "Standard deviations from the average to each band."),
        Parameter("keltner_multiple", float, 1.5, 0.1, 10.0, "Mean true ranges to each side of the Keltner channel."),
    ),
    outputs=("value", "upper", "lower", "squeeze"),
    overlay=True,
    warm_up=lambda p: int(p["period"]),
    window=lambda p: int(p["period"]) + 1,
    compute=lambda bars, p: bollinger(bars, int(p["period"]), float(p["deviations"]), float(p["keltner_multiple"])),
)
ATR: Final = Indicator(
    name="atr",
    display_name="Average true range",
    description="Wilder's average of how far the price moved a bar, gaps between bars included.",
    parameters=(Parameter("period", int, 14, 2, 200, "Bars of Wilder's average."),),
    outputs=("value",),
    overlay=False,
    warm_up=lambda p: int(p["period"]) + 1,
    window=lambda p: atr_window(int(p["period"])),
    compute=lambda bars, p: {"value": atr(bars, int(p["period"]))},
)
