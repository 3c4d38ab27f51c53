"""Warm-up: windows that reach into another venue's bars, what is marked for it, and what stays as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.market.candles import Scale
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.warm_up import WarmBars, WarmUp, splice
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.strategies.made_frames import Crossing, LooksBack, frames_of, torn_minutes

THREE = Interval.parse("3m")
START, LENGTH = 100_000, 900
UNTIL = START + 420
"""Divisible by neither interval: bars of both lie across it."""

STRATEGIES = [
    (MovingAverage(), {"period": 8}),
    (Crossing(), {"fast": 4, "slow": 9}),
    (LooksBack(), {}),
]
whole = range(10**9)


def strategy_of(case):
    strategy, parameters = case
    return StrategyOnInterval(strategy, strategy.resolve(parameters), THREE)


def two_venues(one, seed, own_from=UNTIL):
    """A symbol's own frames, from a minute on, and the source's of the whole time."""
    own = torn_minutes(seed, LENGTH, START)
    own = own.take(own.time >= own_from)
    source = torn_minutes(seed + 1, LENGTH, START)
    return frames_of(own, one), warm_bars(frames_of(source, one))


def warm_bars(frames, until=UNTIL):
    return WarmBars(WarmUp("BTC.ELSEWHERE", until), frames)


def rows_of(decisions):
    return {row[0]: row[1:] for row in decisions.rows()}


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    own_from=st.integers(START, START + LENGTH - 240),
    until=st.integers(START, START + LENGTH),
)
def test_bars_of_the_source_close_by_until_and_own_ones_later(seed, own_from, until):
    one = strategy_of(STRATEGIES[1])
    own, warm = two_venues(one, seed, own_from)
    for interval, bars in own.items():
        source = warm.bars[interval]
        both = splice(bars, source, until)
        expected = [t for t in source.time.tolist() if interval.close(interval.slot(t)) <= until]
        expected_own = [t for t in bars.time.tolist() if interval.close(interval.slot(t)) > until]
        assert both.bars.time.tolist() == expected + expected_own
        assert both.warm == len(expected)
        assert bars.time[both.own_first :].tolist() == expected_own
        assert both.bars.close[both.warm :].tolist() == bars.close[both.own_first :].tolist()


def test_the_finer_scale_of_both_holds():
    one = strategy_of(STRATEGIES[0])
    own, warm = two_venues(one, 5)
    finer = replace(warm.bars[THREE], scale=Scale(1, 8, 3))
    assert splice(own[THREE], finer, UNTIL).bars.scale == Scale(2, 8, 8)


@pytest.mark.parametrize("case", STRATEGIES, ids=lambda case: case[0].name)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_what_is_not_marked_does_not_depend_on_the_source_and_what_is_marked_does(case, seed):
    one = strategy_of(case)
    own, warm = two_venues(one, seed)
    raised = {
        interval: replace(bars, **{name: getattr(bars, name) + 1_000.0 for name in ("open", "high", "low", "close")})
        for interval, bars in warm.bars.items()
    }
    before, after = (rows_of(one.decide(own, whole, warm_bars(bars))) for bars in (warm.bars, raised))
    assert before.keys() == after.keys()
    marked_before = False
    for time, row in before.items():
        *_, snapshot, digest, warmed = row
        if not warmed:
            # Its type follows from the target before, too, which is another decision's.
            first = 2 if marked_before else 0
            assert row[first:] == after[time][first:]
            marked_before = False
            continue
        marked_before = True
        seen, seen_raised = json.loads(snapshot), json.loads(after[time][-3])
        names = seen.get("warmed", [])
        assert seen_raised.get("warmed", []) == names
        for name in set(seen) - {"unsettled", "warmed"}:
            assert (seen[name] != seen_raised[name]) == (name.split(".")[0] in names)
        assert (digest != after[time][-2]) == bool(names)
        assert row[3][-1] == "saw bars of BTC.ELSEWHERE"


@pytest.mark.parametrize("case", STRATEGIES, ids=lambda case: case[0].name)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), own_from=st.integers(START, UNTIL))
def test_up_to_until_and_far_behind_it_nothing_changes(case, seed, own_from):
    one = strategy_of(case)
    own, warm = two_venues(one, seed, own_from)
    with_warm_up, without = rows_of(one.decide(own, whole, warm)), rows_of(one.decide(own, whole))
    assert with_warm_up.keys() == without.keys()
    for time, row in with_warm_up.items():
        if THREE.close(THREE.slot(time)) <= UNTIL:
            assert row == without[time]
    # So far behind that the longest window, slack and look-back included, holds none of the source's bars.
    far = UNTIL + max(interval.minutes * (n + 1) for interval, n in one.lookbacks().items())
    late = {time: row for time, row in with_warm_up.items() if time > far}
    assert late == {time: row for time, row in without.items() if time > far}
    assert not any(row[-1] for row in late.values())


@pytest.mark.parametrize("case", STRATEGIES, ids=lambda case: case[0].name)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_every_cut_that_holds_the_lookbacks_gives_the_same_bits(case, seed, data):
    one = strategy_of(case)
    own, warm = two_venues(one, seed, data.draw(st.integers(START, UNTIL)))
    expected = rows_of(one.decide(own, whole, warm))
    first = data.draw(st.integers(THREE.slot(UNTIL) - 10, THREE.slot(UNTIL) + 30))
    slots = range(first, first + data.draw(st.integers(1, 5)))
    parts = []
    for frames in (own, warm.bars):
        cut = {}
        for interval, n in one.lookbacks().items():
            oldest = (slots.start + 1 if interval == THREE else interval.slot(THREE.open(slots.start))) - n
            bars = frames[interval]
            cut[interval] = bars.take((bars.slot >= oldest) & (bars.close_time <= THREE.close(slots[-1])))
        parts.append(cut)
    found = rows_of(one.decide(parts[0], slots, warm_bars(parts[1])))
    wanted = {THREE.open(slot) for slot in slots}
    assert found == {time: row for time, row in expected.items() if time in wanted}


def test_the_first_decision_behind_until_opens_what_its_own_history_does_not_hold():
    """The source was long all the while; of the symbol nobody ever held anything."""
    one = strategy_of(STRATEGIES[0])
    for seed in range(200):
        own, warm = two_venues(one, seed, own_from=UNTIL)
        decisions = one.decide(own, whole, warm)
        source = one.decide(warm.bars, whole)
        last = source.target[np.flatnonzero(source.time < UNTIL)[-2]]
        opinions = np.flatnonzero(decisions.target == last)
        if last == 1 and len(opinions) and decisions.warmed[opinions[0]] and opinions[0] <= 1:
            assert decisions.type[opinions[0]] == "OPEN_LONG"
            return
    raise AssertionError("no seed gave the case")


def test_the_same_market_on_both_sides_gives_what_it_gives_alone():
    """Until on the grid of both intervals: no bar lies across it."""
    one = strategy_of(STRATEGIES[1])
    until = UNTIL // 12 * 12
    minutes = torn_minutes(11, LENGTH, START)
    everything = frames_of(minutes, one)
    own = frames_of(minutes.take(minutes.time >= until), one)
    alone = one.decide(everything, whole)
    together = one.decide(own, whole, warm_bars(everything, until))
    rows = np.flatnonzero(alone.time >= until)
    assert together.target.tolist() == alone.target[rows].tolist()
    assert [json.loads(text) | {"warmed": 0} for text in together.snapshot] == [
        json.loads(alone.snapshot[at]) | {"warmed": 0} for at in rows
    ]
    assert together.warmed[:5].all()
    assert not together.warmed[-50:].any()
