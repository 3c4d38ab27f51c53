"""What is particular about bands and ranges."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest

from btc_pipeline.indicators.volatility import bollinger
from btc_pipeline.market.candles import Scale
from btc_pipeline_tests.indicators.made_bars import bars_of, random_walk, walk


def exact_deviation(ticks, unit):
    """The population standard deviation to 25 digits."""
    n = len(ticks)
    variance = Fraction(n * sum(x * x for x in ticks) - sum(ticks) ** 2, (n * unit) ** 2)
    return isqrt(int(variance * 10**60)) / Fraction(10**30)


@pytest.mark.parametrize(
    ("start", "step", "scale"),
    [
        (3_000_000, 2_000, Scale(2, 4)),
        (10**14, 1, Scale(2, 4)),  # 15 digits that hardly move: where squares of prices would cancel
        (10**14, 10**12, Scale(8, 4)),
    ],
)
def test_bands_are_exact_to_the_last_digits_of_the_deviation(start, step, scale):
    bars = bars_of(walk(150, 4, start=start, step=step), scale=scale)
    result = bollinger(bars, 20, 2.0, 1.5)
    ticks = bars.close_ticks.tolist()
    for t in range(19, 150):
        half = 2 * exact_deviation(ticks[t - 19 : t + 1], 10**scale.price)
        middle = Fraction(sum(ticks[t - 19 : t + 1]), 20 * 10**scale.price)
        assert abs(Fraction(float(result["upper"].value[t])) - middle - half) <= middle / 2**51
        assert abs(Fraction(float(result["lower"].value[t])) - middle + half) <= middle / 2**51


def test_bands_of_a_market_that_stands_still_are_its_price():
    result = bollinger(
        bars_of(dict.fromkeys(("open", "high", "low", "close", "volume"), np.full(30, 33))), 20, 2.0, 1.5
    )
    for name in ("value", "upper", "lower"):
        assert set(result[name].value[19:].tolist()) == {0.33}
    assert set(result["squeeze"].value[20:].tolist()) == {0.0}


def test_a_quiet_close_within_wide_bars_is_a_squeeze_and_a_trend_is_none():
    n = 60
    close = np.full(n, 10_000) + np.arange(n) % 2
    flat = {"open": close, "high": close + 50, "low": close - 50, "close": close, "volume": close}
    trend = np.arange(n) * 100 + 10_000
    rising = {"open": trend, "high": trend + 5, "low": trend - 5, "close": trend, "volume": trend}
    assert set(bollinger(bars_of(flat), 20, 2.0, 1.5)["squeeze"].value[20:].tolist()) == {1.0}
    assert set(bollinger(bars_of(rising), 20, 2.0, 1.5)["squeeze"].value[20:].tolist()) == {0.0}


def test_a_squeeze_is_bands_inside_the_keltner_channel():
    bars = random_walk(2_000, 6)
    result = bollinger(bars, 20, 2.0, 2.0)
    before = np.concatenate(([np.nan], bars.close[:-1]))
    ranges = np.maximum(bars.high, before) - np.minimum(bars.low, before)
    squeeze = result["squeeze"].value
    assert {0.0, 1.0} <= set(squeeze[20:].tolist())
    for t in range(20, 2_000):
        channel = 2.0 * ranges[t - 19 : t + 1].mean()
        inside = result["upper"].value[t] < result["value"].value[t] + channel
        assert squeeze[t] == float(inside)
