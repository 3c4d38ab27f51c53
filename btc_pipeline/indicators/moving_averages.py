"""Averages of the close and what is made of them: SMA, EMA, MACD."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from btc_pipeline.errors import UserError
from btc_pipeline.indicators.base import Indicator, Series
from btc_pipeline.indicators.parameters import Parameter, Values
from btc_pipeline.indicators.recursions import blocks, restarted, settling_steps
from btc_pipeline.indicators.windows import close_against_mean, torn_windows, trailing_close_mean, usable_bars
from btc_pipeline.market.candles import Candles


def sma(bars: Candles, period: int) -> Series:
    """The mean of the last `period` closes; the double nearest to it while their sum has at most 15 digits."""
    mean = trailing_close_mean(bars, period)
    return Series.of(mean, usable_bars(bars, period, period), period)


def sma_side(bars: Candles, period: int) -> NDArray[np.int8]:
    """On which side of its SMA each close lies, int8[n]: 1 above, -1 below, 0 at equality or where there is no SMA.

    Exact: decided in integers. Where there is no SMA, `torn_windows(bars, period)` tells, as
    do the NaNs of `sma`.
    """
    side = close_against_mean(bars, period)
    side[torn_windows(bars, period)] = 0
    return side


def ema(bars: Candles, period: int) -> Series:
    """The exponential average of closes, alpha = 2 / (period + 1), seeded with the mean of the window's first `period`.

    Source: TA-Lib's ta_EMA.c with its default (classic) seed.
    """
    window = ema_window(period)
    used = usable_bars(bars, window, period)
    seeds = trailing_close_mean(bars, period)
    return Series.of(restarted(bars.close, seeds, used, alpha=_alpha(period), seed_bars=period), used, window)


def ema_window(period: int) -> int:
    """W of `ema`: the seed, and as many bars as it takes to forget what was before it (`recursions`)."""
    return period + settling_steps(_decay(period))


def macd(bars: Candles, fast: int, slow: int, signal: int) -> dict[str, Series]:
    """MACD: `value` = EMA(fast) - EMA(slow), `signal` = EMA(signal) of it, `histogram` = value - signal.

    Source: TA-Lib's ta_MACD.c. Both averages of the close start at the window's `slow`-th bar, each seeded with the
    mean of its last so many closes, and the signal with the mean of the first `signal` values. All three outputs begin
    when the signal does.

    Notes:
        The error left by the restart is that of two averages, hence below 2e-10 of price (`recursions`).
    """
    window = macd_window(slow, signal)
    used = usable_bars(bars, window, slow + signal - 1)
    seeds_fast = trailing_close_mean(bars, fast)
    seeds_slow = trailing_close_mean(bars, slow)
    value, signal_line = np.full(len(bars), np.nan), np.full(len(bars), np.nan)
    for block in blocks(used, slow):
        average_fast, average_slow = np.zeros(len(block)), np.zeros(len(block))
        total, smoothed = np.zeros(len(block)), np.zeros(len(block))
        line = total
        for left in range(block.steps, -1, -1):
            close = block.back(bars.close, left)
            average_fast += _alpha(fast) * (close - average_fast)
            average_slow += _alpha(slow) * (close - average_slow)
            seeded = block.seeded(left)
            average_fast[seeded] = seeds_fast[block.first + seeded - left]
            average_slow[seeded] = seeds_slow[block.first + seeded - left]
            total[seeded] = 0.0
            line = average_fast - average_slow
            total += line
            smoothed += _alpha(signal) * (line - smoothed)
            started = block.seeded(left + signal - 1)
            smoothed[started] = total[started] / signal
        value[block.first : block.end] = line
        signal_line[block.first : block.end] = smoothed
    return {
        "value": Series.of(value, used, window),
        "signal": Series.of(signal_line, used, window),
        "histogram": Series.of(value - signal_line, used, window),
    }


def macd_window(slow: int, signal: int) -> int:
    """W of `macd`: both seeds, and as many bars as it takes the slow average and the signal behind it to forget."""
    return slow + signal - 1 + settling_steps(_decay(slow), _decay(signal))


def _alpha(period: int) -> float:
    return 2.0 / (period + 1)


def _decay(period: int) -> float:
    return (period - 1) / (period + 1)


def _check_macd(p: Values) -> None:
    if p["fast"] >= p["slow"]:
        raise UserError(f"macd: fast {p['fast']} is not valid: use less than slow, which is {p['slow']}.", field="fast")


SMA: Final = Indicator(
    name="sma",
    display_name="Simple moving average",
    description="The mean of the last closes.",
    parameters=(Parameter("period", int, 44, 2, 500, "Bars averaged."),),
    outputs=("value",),
    overlay=True,
    warm_up=lambda p: int(p["period"]),
    window=lambda p: int(p["period"]),
    compute=lambda bars, p: {"value": sma(bars, int(p["period"]))},
)
EMA: Final = Indicator(
    name="ema",
    display_name="Exponential moving average",
    description="An average of closes in which each older one weighs less by the same factor.",
    parameters=(Parameter("period", int, 20, 2, 500, "Bars of the seed; a new close weighs 2 / (period + 1)."),),
    outputs=("value",),
    overlay=True,
    warm_up=lambda p: int(p["period"]),
    window=lambda p: ema_window(int(p["period"])),
    compute=lambda bars, p: {"value": ema(bars, int(p["period"]))},
)
MACD: Final = Indicator(
    name="macd",
    display_name="MACD",
    description="How far a fast exponential average is above a slow one, with a smoothed signal line.",
    parameters=(
        Parameter("fast", int, 12, 2, 199, "Period of the fast average."),
        Parameter("slow", int, 26, 3, 200, "Period of the slow average, longer than the fast one."),
        Parameter("signal", int, 9, 2, 200, "Period of the signal line."),
    ),
    outputs=("value", "signal", "histogram"),
    overlay=False,
    warm_up=lambda p: int(p["slow"] + p["signal"] - 1),
    window=lambda p: macd_window(int(p["slow"]), int(p["signal"])),
    compute=lambda bars, p: macd(bars, int(p["fast"]), int(p["slow"]), int(p["signal"])),
    check=_check_macd,
)
