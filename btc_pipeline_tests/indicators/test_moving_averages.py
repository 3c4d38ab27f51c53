"""What is particular about the averages of the close."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.errors import UserError
from btc_pipeline.indicators.moving_averages import ema_window, macd_window, sma, sma_side
from btc_pipeline.indicators.recursions import settling_steps
from btc_pipeline.indicators.registry import IndicatorSpec
from btc_pipeline.market.candles import Scale
from btc_pipeline_tests.indicators.made_bars import SCALE, bars_of, torn_bars


def closes(*ticks, scale=SCALE):
    column = np.array(ticks, dtype=np.int64)
    return bars_of(dict.fromkeys(("open", "high", "low", "close", "volume"), column), scale=scale)


def test_the_side_tells_above_below_and_equal():
    assert sma_side(closes(10, 12, 10, 10, 10), 2).tolist() == [0, 1, -1, 0, 0]


def test_the_side_is_exact_where_doubles_would_not_be():
    # Three closes of 0.1, whose sum in doubles is 0.30000000000000004.
    assert sma_side(closes(1, 1, 1, scale=Scale(price=1, volume=0)), 3).tolist() == [0, 0, 0]
    # The last of 500 closes of 15 digits is one tick above all others.
    ticks = [999_999_999_999_998] * 499 + [999_999_999_999_999]
    assert sma_side(closes(*ticks, scale=Scale(price=2, volume=2)), 500)[-1] == 1


@given(torn_bars())
def test_the_side_is_the_sign_of_the_close_minus_the_exact_mean(bars):
    ticks, value = bars.close_ticks.tolist(), sma(bars, 9).value
    for t, side in enumerate(sma_side(bars, 9).tolist()):
        apart = 0 if np.isnan(value[t]) else ticks[t] - Fraction(sum(ticks[t - 8 : t + 1]), 9)
        assert side == (apart > 0) - (apart < 0)


@st.composite
def spread_closes(draw):
    """A length, and closes whose spread times the length lies around 2**31, in steps of more than one tick."""
    length, step = draw(st.integers(2, 40)), draw(st.sampled_from([1, 7, 1_000_000]))
    most = max(2**31 // length + draw(st.integers(-2, 2)), 1) * draw(st.sampled_from([1, 2, 100]))
    found = draw(st.lists(st.sampled_from([0, 1, most - 1, most]), min_size=length, max_size=120))
    lowest = draw(st.integers(1, 10**6))
    return length, [lowest + step * one for one in found]


@given(spread_closes())
def test_the_side_is_exact_however_far_the_closes_lie_apart(given_closes):
    length, ticks = given_closes
    for t, side in enumerate(sma_side(closes(*ticks, scale=Scale(price=2, volume=2)), length).tolist()):
        apart = 0 if t < length - 1 else ticks[t] * length - sum(ticks[t - length + 1 : t + 1])
        assert side == (apart > 0) - (apart < 0)


@pytest.mark.parametrize("period", [2, 3, 14, 26, 125, 500])
def test_the_ema_window_is_the_shortest_that_forgets(period):
    decay = Fraction(period - 1, period + 1)
    steps = ema_window(period) - period
    assert float(decay**steps) <= 1.000001e-11
    assert float(decay ** (steps - 1)) > 0.999999e-11


def test_windows_of_the_defaults_are_as_documented():
    assert (ema_window(20), ema_window(26), macd_window(26, 9)) == (274, 356, 375)


def test_a_chain_of_averages_takes_longer_to_settle_than_either():
    assert settling_steps(0.9, 0.8) > settling_steps(0.9) > settling_steps(0.8)


def test_macd_wants_fast_below_slow():
    with pytest.raises(UserError, match="macd: fast 26 is not valid: use less than slow, which is 26"):
        IndicatorSpec.of("macd", {"fast": 26})
