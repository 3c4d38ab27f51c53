"""The bounded window: how many bars a value rests on, and the exact sums over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.indicators.windows import (
    full_windows,
    lookback_slots,
    slack,
    torn_windows,
    trailing_mean,
    trailing_sum,
    usable_bars,
    without_window,
)
from btc_pipeline_tests.indicators.made_bars import bars_of, random_walk, torn_bars, walk
from btc_pipeline_tests.indicators.reference import bars_used


def counted(bars, window, warm_up):
    slot, usable = bars.slot.tolist(), bars.usable.tolist()
    return [bars_used(slot, usable, t, window, warm_up) for t in range(len(bars))]


def test_without_holes_the_window_grows_until_it_is_full():
    assert usable_bars(random_walk(8, 1), 5, 3).tolist() == [0, 0, 3, 4, 5, 5, 5, 5]


def test_two_missing_slots_are_borne_and_three_are_not():
    borne = bars_of(walk(8, 1), [0, 1, 2, 3, 6, 7, 8, 9])
    torn = bars_of(walk(8, 1), [0, 1, 2, 3, 7, 8, 9, 10])
    assert usable_bars(borne, 4, 2).tolist() == [0, 2, 3, 4, 4, 4, 4, 4]
    assert usable_bars(torn, 4, 2).tolist() == [0, 2, 3, 4, 0, 2, 3, 4]


def test_two_bars_that_are_not_usable_are_borne_and_three_are_not():
    usable = [True, False, False, True, False, True, True, True]
    assert usable_bars(bars_of(walk(8, 1), usable=usable), 4, 4).tolist() == [0, 0, 0, 4, 0, 4, 4, 4]


def test_the_largest_window_is_found_beyond_lengths_that_do_not_hold():
    # 3 slots are missing right before the last 10 bars: too many for 11..59 bars, few enough from 60 on.
    slots = [*range(60), *range(63, 73)]
    assert usable_bars(bars_of(walk(70, 1), slots), 70, 5)[-1] == 70
    assert usable_bars(bars_of(walk(70, 1), slots), 59, 5)[-1] == 10


def test_a_window_of_no_bars_has_no_answer():
    assert usable_bars(random_walk(0, 1), 5, 3).tolist() == []
    assert usable_bars(random_walk(2, 1), 5, 3).tolist() == [0, 0]


@given(torn_bars(), st.integers(1, 90), st.integers(0, 90))
def test_the_rule_holds_bar_by_bar(bars, warm_up, more):
    assert usable_bars(bars, warm_up + more, warm_up).tolist() == counted(bars, warm_up + more, warm_up)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from((0.01, 0.03, 0.06, 0.2)), st.integers(20, 200))
def test_the_rule_holds_bar_by_bar_where_holes_are_everywhere(seed, rate, window):
    rng = np.random.default_rng(seed)
    slots = np.cumsum(1 + (rng.random(300) < rate) * rng.integers(1, 4, 300))
    bars = bars_of(walk(300, seed), slots, rng.random(300) >= rate)
    assert usable_bars(bars, window, 10).tolist() == counted(bars, window, 10)
    assert full_windows(bars, window).tolist() == [m == window for m in counted(bars, window, window)]
    assert torn_windows(bars, window).tolist() == np.flatnonzero(~full_windows(bars, window)).tolist()
    assert without_window(bars, window, 10).tolist() == np.flatnonzero(usable_bars(bars, window, 10) == 0).tolist()


@pytest.mark.parametrize(("bars", "allowed"), [(1, 2), (44, 2), (59, 2), (60, 3), (125, 6), (500, 25)])
def test_slack_is_two_or_five_percent(bars, allowed):
    assert slack(np.array([bars])).tolist() == [allowed]
    assert lookback_slots(bars) == bars + allowed


def test_sums_of_500_prices_of_15_digits_are_exact_though_the_running_total_wraps():
    ticks = np.full(30_000, 10**15 - 1, dtype=np.int64)
    assert sum(ticks.tolist()) > 2**64
    assert set(trailing_sum(ticks, 500)[499:].tolist()) == {500 * (10**15 - 1)}


def test_sums_of_fewer_values_than_the_length_are_zero():
    assert trailing_sum(np.array([5, 6]), 3).tolist() == [0, 0]
    assert trailing_sum(np.array([5, 6, 7]), 3).tolist() == [0, 0, 18]


def test_a_mean_is_the_double_nearest_to_it():
    ticks = walk(500, 3)["close"]
    exact = [sum(ticks[t - 6 : t + 1].tolist()) / 700 for t in range(6, 500)]
    assert trailing_mean(ticks, 7, 2)[6:].tolist() == exact
