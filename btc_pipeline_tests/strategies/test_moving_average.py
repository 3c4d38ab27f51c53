"""`ma`: sides in integers, equality without opinion, confidence, parameters and presets."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Scale
from btc_pipeline.market.intervals import Interval
from btc_pipeline.strategies.base import LONG, NO_OPINION, SHORT
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.moving_average import MA44, MA125, MovingAverage
from btc_pipeline_tests.market.brute_force import Row
from btc_pipeline_tests.market.made_minutes import frame
from btc_pipeline_tests.strategies.made_frames import bars_of

THREE = Interval.parse("3m")


def decide(closes, period, decimals=2):
    """Decisions at whole 3m bars with those closes in ticks."""
    rows = [Row(3 * at + m, ticks, ticks, ticks, ticks, 1) for at, ticks in enumerate(closes) for m in range(3)]
    bars = bars_of(frame(rows, Scale(decimals, 0)), THREE)
    one = StrategyOnInterval(MovingAverage(), MovingAverage.resolve({"period": period}), THREE)
    return one.decide({THREE: bars}, range(len(closes)))


def side(closes, period):
    """By exact fractions."""
    average = Fraction(sum(closes[-period:]), period)
    return NO_OPINION if closes[-1] == average else LONG if closes[-1] > average else SHORT


@settings(max_examples=200)
@given(
    closes=st.lists(st.integers(10**6, 10**6 + 4), min_size=5, max_size=30),
    period=st.integers(5, 9),
    decimals=st.integers(0, 8),
)
def test_the_side_is_that_of_exact_fractions(closes, period, decimals):
    decisions = decide(closes, period, decimals)
    expected = [NO_OPINION if at + 1 < period else side(closes[: at + 1], period) for at in range(len(closes))]
    assert decisions.target.tolist() == expected


def test_equality_is_equality_where_doubles_would_see_a_side():
    """Mean of 0.1, 0.1, 0.1, 0.1, 0.1 in doubles is above 0.1 on some paths; here the close equals the average."""
    decisions = decide([1] * 10, 10, decimals=1)
    assert decisions.target.tolist()[-1] == NO_OPINION
    assert decisions.type[-1] == "HOLD"
    assert decisions.confidence[-1] == 0.0
    assert decisions.reasons[-1] == ["close equals the average"]


def test_one_tick_beside_the_average_of_large_prices_is_seen():
    """15 digits: the sum of 500 such prices is beyond 2**53, where doubles no longer tell neighbours apart."""
    flat = 123_456_789_012_345
    for last, target in ((flat + 1, LONG), (flat - 1, SHORT), (flat, NO_OPINION)):
        assert decide([flat] * 499 + [last], 500, decimals=8).target[-1] == target


def test_an_unequal_close_after_equality_opens_and_equality_keeps():
    decisions = decide([100] * 5 + [101, 100, 90], 5)
    assert decisions.target.tolist()[4:] == [NO_OPINION, LONG, SHORT, SHORT]
    assert decisions.type[4:] == ["HOLD", "OPEN_LONG", "OPEN_SHORT", "HOLD"]


def test_confidence_grows_with_the_distance_to_the_average():
    far = decide([1000] * 4 + [2000], 5)
    assert far.confidence[-1] == 1.0
    near = decide([100_000] * 4 + [100_625], 5)  # average 100,125: half a percent
    assert near.confidence[-1] == abs(1006.25 - 1001.25) / 1001.25 / 0.02
    assert near.reasons[-1] == ["close above the average"]


@pytest.mark.parametrize("preset", [MA44, MA125])
def test_a_preset_decides_as_ma_with_its_period(preset):
    rng = np.random.default_rng(3)
    rows = [Row(m, p, p, p, p, 1) for m, p in enumerate((10_000 + np.cumsum(rng.integers(-9, 10, 900))).tolist())]
    bars = bars_of(frame(rows, Scale(2, 0)), THREE)
    period = preset.fixed["period"]
    made = StrategyOnInterval(preset(), preset.resolve({}), THREE).decide({THREE: bars}, range(300))
    plain = StrategyOnInterval(MovingAverage(), MovingAverage.resolve({"period": period}), THREE)
    by_hand = plain.decide({THREE: bars}, range(300))
    assert made.target.tolist() == by_hand.target.tolist()
    assert made.type == by_hand.type
    assert preset.resolve({}) == {"period": period}
    assert set(made.target[: period - 1].tolist()) == {NO_OPINION}
    assert {LONG, SHORT} <= set(made.target[period - 1 :].tolist())


@pytest.mark.parametrize(
    ("given_parameters", "message"),
    [
        ({"period": 4}, "5"),
        ({"period": 501}, "500"),
        ({"period": 44.5}, "period"),
        ({"period": "44"}, "period"),
        ({"period": True}, "period"),
        ({"perod": 44}, "period"),
    ],
)
def test_a_wrong_parameter_is_refused_in_words(given_parameters, message):
    with pytest.raises(UserError, match=message):
        MovingAverage.resolve(given_parameters)


def test_what_a_preset_resolves_to_can_be_given_to_it_again():
    assert MA44.resolve(MA44.resolve({})) == {"period": 44}


def test_a_preset_takes_no_period():
    with pytest.raises(UserError):
        MA44.resolve({"period": 50})


def test_an_unusable_bar_among_the_window_is_borne_within_the_slack():
    rows = [Row(m, 100 + m, 100 + m, 100 + m, 100 + m, 1) for m in range(60)]
    bars = bars_of(frame(rows, Scale(2, 0)), THREE)
    one = StrategyOnInterval(MovingAverage(), MovingAverage.resolve({"period": 5}), THREE)
    for unusable, target in (({15, 16}, LONG), ({14, 15, 16}, NO_OPINION)):
        usable = np.array([at not in unusable for at in range(20)])
        assert one.decide({THREE: replace(bars, usable=usable)}, range(17, 18)).target.tolist() == [target]
