"""Decisions: types, refusals, directions, other intervals, digests; the same bits for every sufficient cut."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.errors import StrategyError, UserError
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.intervals import Interval
from btc_pipeline.strategies.base import FLAT, LONG, NO_OPINION, SHORT, Direction, Input, Opinions, Strategy
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.strategies.made_frames import (
    Crossing,
    LongOnly,
    LooksBack,
    ShortOnly,
    bars_of,
    frames_of,
    torn_minutes,
)

THREE = Interval.parse("3m")
TWELVE = Interval.parse("12m")
WANTS = {"short": SHORT, "flat": FLAT, "long": LONG, "none": NO_OPINION}

# What changes between slot t-1 (rows) and slot t; no opinion counts as flat before, and as HOLD now.
TYPES = """
        short       flat         long        none
short   HOLD        CLOSE_SHORT  OPEN_LONG   HOLD
flat    OPEN_SHORT  HOLD         OPEN_LONG   HOLD
long    OPEN_SHORT  CLOSE_LONG   HOLD        HOLD
none    OPEN_SHORT  HOLD         OPEN_LONG   HOLD
"""


class Scripted(Strategy):
    """Wants what it was told to."""

    name = "scripted"
    display_name = "Scripted"
    description = "Wants what it was told to."

    def __init__(self, targets, confidence=None):
        self.targets = np.array(targets, np.int8)
        self.confidence = np.full(len(targets), 0.5) if confidence is None else np.array(confidence)

    def inputs(self, p):
        return {}

    def decide(self, view, p):
        return Opinions(self.targets, self.confidence, [])


def whole_bars(n, *, without=()):
    bars = bars_of(torn_minutes_without_holes(3 * (n + len(without))), THREE)
    return bars.take(np.array([at for at in range(len(bars)) if at not in without]))


def torn_minutes_without_holes(length):
    seed = next(seed for seed in range(1_000) if len(torn_minutes(seed, 600, start=99_999)) == 600)
    return torn_minutes(seed, 600, start=99_999).take(slice(0, length))


def decide(strategy, bars, **parameters):
    one = StrategyOnInterval(strategy, strategy.resolve(parameters), bars.interval)
    slots = range(int(bars.slot[0]), int(bars.slot[-1]) + 1)
    return one.decide({bars.interval: bars}, slots)


@pytest.mark.parametrize(("before", "now"), list(product(WANTS, WANTS)))
def test_a_type_follows_from_two_targets(before, now):
    header, *rows = [line.split() for line in TYPES.strip().splitlines()]
    table = {row[0]: dict(zip(header, row[1:], strict=True)) for row in rows}
    decisions = decide(Scripted([WANTS[before], WANTS[now]]), whole_bars(2))
    assert decisions.type[1] == table[before][now]
    assert decisions.target.tolist() == [WANTS[before], WANTS[now]]


@pytest.mark.parametrize(("now", "expected"), [(LONG, "OPEN_LONG"), (SHORT, "OPEN_SHORT"), (FLAT, "HOLD")])
def test_behind_a_missing_slot_nothing_counts_as_held(now, expected):
    assert decide(Scripted([LONG, now]), whole_bars(2, without=(1,))).type[1] == expected
    assert decide(Scripted([now]), whole_bars(1)).type == [expected]


def test_a_bar_that_is_not_usable_has_no_opinion_and_says_why():
    bars = replace(whole_bars(4), usable=np.array([True, False, True, True]))
    decisions = decide(Scripted([LONG] * 4), bars)
    assert decisions.target.tolist() == [LONG, NO_OPINION, LONG, LONG]
    assert decisions.type == ["OPEN_LONG", "HOLD", "OPEN_LONG", "HOLD"]
    assert decisions.confidence.tolist() == [0.5, 0.0, 0.5, 0.5]
    assert decisions.reasons[1] == ["bar is not usable: too many minutes missing, or its closing minute"]


def test_without_a_required_value_there_is_no_opinion_and_without_an_optional_one_there_is():
    minutes = torn_minutes_without_holes(600)
    one = StrategyOnInterval(Crossing(), Crossing.resolve({"slow": 40}), THREE)
    frames = frames_of(minutes, one)
    decisions = one.decide(frames, slots_of(frames))
    warm = 39
    assert set(decisions.target[:warm].tolist()) == {NO_OPINION}
    assert {reason for reasons in decisions.reasons[:warm] for reason in reasons} == {
        "fast has no value: warming up, or a hole in its window",
        "slow has no value: warming up, or a hole in its window",
        "trend has no value: warming up, or a hole in its window",
    }
    assert NO_OPINION not in decisions.target[warm:].tolist()
    assert json.loads(decisions.snapshot[0])["slow"] is None


def test_a_direction_turns_the_other_side_flat():
    minutes = torn_minutes(3, 3_000)
    targets = {}
    for strategy in (Crossing(), LongOnly(), ShortOnly()):
        one = StrategyOnInterval(strategy, strategy.resolve({}), THREE)
        frames = frames_of(minutes, one)
        targets[strategy.direction] = one.decide(frames, slots_of(frames)).target
    both = targets[Direction.BOTH]
    assert {LONG, SHORT, FLAT, NO_OPINION} == set(both.tolist())
    assert targets[Direction.LONG].tolist() == np.where(both == SHORT, FLAT, both).tolist()
    assert targets[Direction.SHORT].tolist() == np.where(both == LONG, FLAT, both).tolist()


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), at=st.floats(0, 1))
def test_nothing_later_than_the_close_is_seen(seed, at):
    """Decisions up to a close are the same bits when all later minutes, and the bars then forming, are not there."""
    minutes = torn_minutes(seed, 600)
    for strategy in (Crossing(), LooksBack(), MovingAverage()):
        one = StrategyOnInterval(strategy, strategy.resolve({}), THREE)
        frames = frames_of(minutes, one)
        if not len(frames[THREE]):
            return
        whole = one.decide(frames, slots_of(frames))
        row = int(at * (len(frames[THREE]) - 1))
        close = int(frames[THREE].close_time[row])
        known = minutes.between(0, close)
        then = frames_of(known, one, close)
        assert as_rows(one.decide(then, slots_of(then))) == as_rows(whole)[: row + 1]


def test_another_interval_is_seen_as_of_its_last_closed_bar():
    """Recounted bar by bar: the 12m bar that closed last by the close of the 3m bar, if it is recent and usable."""
    seen_values = 0
    for seed in range(40):
        minutes = torn_minutes(seed, 900)
        one = StrategyOnInterval(Crossing(), Crossing.resolve({}), THREE)
        frames = frames_of(minutes, one)
        decisions = one.decide(frames, slots_of(frames))
        other = frames[TWELVE]
        averages = one.specs()["trend"][0].compute(other)["value"].value
        for time, snapshot in zip(decisions.time.tolist(), decisions.snapshot, strict=True):
            closed = [i for i in range(len(other)) if other.time[i] + 12 <= time + 3]
            expected = None
            if closed:
                last = closed[-1]
                slots_behind = (time + 3) // 12 - (other.time[last] // 12 + 1)
                if slots_behind <= 2 and other.usable[last] and not np.isnan(averages[last]):
                    expected = float(averages[last])
            assert json.loads(snapshot)["trend"] == expected
            seen_values += expected is not None
    assert seen_values > 5_000


class SeesMinutes(Crossing):
    """A strategy of 12m bars that also looks at minutes."""

    name = "sees_minutes"

    def inputs(self, p):
        return {
            "fast": Input("sma", {"period": p["fast"]}),
            "slow": Input("sma", {"period": p["slow"]}),
            "trend": Input("sma", {"period": 30}, interval="1m"),
            "extra": Input("ema", {"period": 2}, required=False),
        }


CUT = [
    (MovingAverage(), {"period": 5}, THREE),
    (MovingAverage(), {"period": 41}, THREE),
    (Crossing(), {}, THREE),
    (Crossing(), {"slow": 45}, THREE),
    (SeesMinutes(), {}, TWELVE),
    (LooksBack(), {}, THREE),
    (type("LooksFarBack", (LooksBack,), {"name": "far", "lookback": 65})(), {}, THREE),
    (type("LooksBackAtMinutes", (LooksBack,), {"name": "minutes", "other": "1m"})(), {}, TWELVE),
]


@pytest.mark.parametrize(
    ("strategy", "given_parameters", "interval"), CUT, ids=lambda value: getattr(value, "name", "-")
)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_decisions_are_the_same_bits_for_every_cut_that_holds_the_lookbacks(
    strategy, given_parameters, interval, seed, data
):
    one = StrategyOnInterval(strategy, strategy.resolve(given_parameters), interval)
    frames = frames_of(torn_minutes(seed, 1_200), one)
    bars = frames[interval]
    whole = as_rows(one.decide(frames, range(int(bars.slot[0]), int(bars.slot[-1]) + 1)))
    for _ in range(8):
        first = data.draw(st.integers(int(bars.slot[0]), int(bars.slot[-1])))
        slots = range(first, first + data.draw(st.integers(1, 6)))
        more = data.draw(st.sampled_from((0, 0, 1, 7)))
        part = cut(frames, one, slots, more)
        expected = [row for row in whole if row[0] in {interval.open(slot) for slot in slots}]
        assert as_rows(one.decide(part, slots)) == expected


def cut(frames, one, slots, more):
    """At least as many slots of every interval as `lookbacks` asks for, and the bars of the slots themselves."""
    part = {}
    for interval, n in one.lookbacks().items():
        # Of another interval, up to the slot that closed when the bar before the first decision did.
        own = interval == one.interval
        first = (slots.start + 1 if own else interval.slot(one.interval.open(slots.start))) - n
        part[interval] = frames[interval].between(interval.open(first - more), one.interval.open(slots.stop + more))
    return part


def test_the_digest_changes_with_everything_that_is_seen():
    bars = whole_bars(9)
    strategy = MovingAverage()
    last = decide(strategy, bars, period=5).input_digest[-1]
    assert len(last) == 32
    assert decide(strategy, bars, period=5).input_digest[-1] == last
    assert decide(strategy, bars.take(slice(1, None)), period=5).input_digest[-1] == last

    def with_value(name, at, value):
        values = getattr(bars, name).copy()
        values[at] = value
        return replace(bars, **{name: values})

    others = {
        "another parameter": decide(strategy, bars, period=6).input_digest[-1],
        "another strategy": decide(type("Other", (MovingAverage,), {"name": "other"})(), bars, period=5).input_digest[
            -1
        ],
        "its close": decide(strategy, with_value("close", -1, 101.01), period=5).input_digest[-1],
        "a close of the window": decide(strategy, with_value("close", -5, 101.01), period=5).input_digest[-1],
        "its usability": decide(strategy, with_value("usable", -1, False), period=5).input_digest[-1],
        "another time": decide(strategy, moved(bars), period=5).input_digest[-1],
        "another interval": decide(strategy, replace(bars, interval=Interval.parse("1m")), period=5).input_digest[-1],
        "no value": decide(strategy, bars.take(slice(-3, None)), period=5).input_digest[-1],
    }
    assert len({last, *others.values()}) == len(others) + 1
    assert decide(strategy, with_value("close", -6, 101.01), period=5).input_digest[-1] == last
    assert decide(strategy, with_value("high", -2, 999.0), period=5).input_digest[-1] == last


def test_the_digest_changes_when_a_window_is_not_settled():
    class Smooth(MovingAverage):
        name = "smooth"

        def inputs(self, p):
            return {"ma": Input("ema", {"period": 2})}

    bars = replace(whole_bars(150), close=np.full(150, 100.0))
    settled = decide(Smooth(), bars)
    short = decide(Smooth(), bars.take(slice(-10, None)))
    assert json.loads(settled.snapshot[-1]) == {"close": 100.0, "ma": 100.0}
    assert json.loads(short.snapshot[-1]) == {"close": 100.0, "ma": 100.0, "unsettled": ["ma"]}
    assert settled.input_digest[-1] != short.input_digest[-1]


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (Scripted([LONG]), "answered for 1 bars instead of 3"),
        (Scripted([LONG, 5, FLAT]), "wants target 5: use -1, 0, 1 or NO_OPINION"),
        (Scripted([LONG, LONG, LONG], [0.5, 1.5, 0.5]), "confidence outside 0 to 1"),
        (Scripted([LONG, LONG, LONG], [0.5, -0.1, 0.5]), "confidence outside 0 to 1"),
        (Scripted([LONG, LONG, LONG], [0.5, float("nan"), 0.5]), "confidence outside 0 to 1"),
    ],
)
def test_a_wrong_answer_is_refused_in_words(strategy, message):
    with pytest.raises(StrategyError, match=message):
        decide(strategy, whole_bars(3))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((np.array([[1, 1, 1]]), [1.0] * 3, []), r"target is ndarray of shape \(1, 3\); wanted is \(3,\)\."),
        ((np.array(["a"] * 3), [1.0] * 3, []), r"target is <U1; wanted is int8: -1, 0, 1 or NO_OPINION\."),
        (([1, [1], 1], [1.0] * 3, []), "target is no column of numbers: "),
        ((1, [1.0] * 3, []), r"target is int of shape \(\); wanted is \(3,\)\."),
        (([1.0, 0.5, 1.0], [1.0] * 3, []), r"wants target 0\.5: use -1, 0, 1 or NO_OPINION\."),
        (([1] * 3, 0.5, []), r"confidence is float of shape \(\); wanted is \(3,\)\."),
        (([1] * 3, ["a"] * 3, []), "confidence is <U1; wanted are numbers from 0 to 1"),
        (([1] * 3, [1.0] * 3, ["up"]), r"a reason is str; wanted is \(bool of n bars, sentence\)\."),
        (([1] * 3, [1.0] * 3, [([True] * 2, "up")]), "answered for 2 bars instead of 3: the bars of reason 'up'"),
        (([1] * 3, [1.0] * 3, [([1] * 3, "up")]), "the bars of reason 'up' are int64, not bool"),
    ],
)
def test_columns_that_mean_nothing_are_refused_in_words(answer, message):
    class Answers(Scripted):
        def decide(self, view, p):
            return Opinions(*answer)

    with pytest.raises(StrategyError, match=message):
        decide(Answers([]), whole_bars(3))


def test_columns_of_other_types_that_mean_the_same_are_taken():
    class Answers(Strategy):
        name = "answers"

        def inputs(self, p):
            return {}

        def decide(self, view, p):
            return Opinions([1.0, -1.0, 0.0], [1, 0, 1], [([True, False, True], "up")])

    made = decide(Answers(), whole_bars(3))
    assert (made.target.tolist(), made.target.dtype) == ([1, -1, 0], np.int8)
    assert made.reasons == [["up"], [], ["up"]]
    one = StrategyOnInterval(Answers(), {}, THREE)
    assert one.targets({THREE: whole_bars(3)}).tolist() == [1, -1, 0]


def test_inputs_that_are_none_or_unknown_are_told_with_their_strategy():
    for told, message in (
        (None, "strategy 'mine': inputs gave None; wanted is a dict of names to Input."),
        ({"a": "sma"}, "strategy 'mine': inputs gave dict; wanted is a dict of names to Input."),
        ({"a": Input("smaa")}, "input 'a' of strategy mine: indicator 'smaa' is unknown: "),
        ({"a": Input("sma", interval="7x")}, "input 'a' of strategy mine: interval '7x' is unknown"),
    ):

        class Mine(MovingAverage):
            name = "mine"

            def inputs(self, p, told=told):
                return told

        with pytest.raises(StrategyError) as refused:
            StrategyOnInterval(Mine(), {"period": 5}, THREE).specs()
        assert str(refused.value).startswith(message)
        assert refused.value.field is None


@pytest.mark.parametrize("column", ["close", "usable", "time"])
def test_what_a_strategy_sees_it_cannot_change(column):
    class Writes(MovingAverage):
        name = "writes"
        targets = Strategy.targets

        def decide(self, view, p):
            getattr(view.bars, column)[0] = 0
            return super().decide(view, p)

    one, bars = StrategyOnInterval(Writes(), {"period": 5}, THREE), whole_bars(9)
    kept = getattr(bars, column).copy()
    for ask in (one.targets, lambda frames: one.decide(frames, range(10))):
        with pytest.raises(StrategyError, match=r"'writes' failed, .*ValueError: assignment destination is read-only"):
            ask({THREE: bars})
    assert getattr(bars, column).tolist() == kept.tolist()


def test_a_wrong_number_of_answers_is_refused_in_words():
    strategy, message = Scripted([LONG]), "answered for 1 bars instead of 3"
    with pytest.raises(UserError, match=message):
        decide(strategy, whole_bars(3))


def test_a_forgotten_return_is_refused_in_words_by_runs_and_by_sweeps():
    class Forgetful(MovingAverage):
        name = "forgetful"
        targets = Strategy.targets

        def decide(self, view, p):
            """Nothing."""

    words = "strategy 'forgetful' answered with NoneType instead of Opinions: does decide return them?"
    one = StrategyOnInterval(Forgetful(), {"period": 5}, THREE)
    for ask in (one.targets, lambda frames: one.decide(frames, range(10))):
        with pytest.raises(UserError) as refused:
            ask({THREE: whole_bars(3)})
        assert str(refused.value) == words


def test_whatever_a_strategy_raises_is_told_with_its_file_and_line():
    class Failing(MovingAverage):
        name = "failing"
        where: ClassVar[str] = ""

        def inputs(self, p):
            return super().inputs(p) if self.where != "inputs" else {}["inputs"]

        def targets(self, view, p):
            return super().targets(view, p) if self.where != "targets" else {}["targets"]

        def decide(self, view, p):
            return super().decide(view, p) if self.where != "decide" else {}["decide"]

    one, bars = StrategyOnInterval(Failing(), {"period": 5}, THREE), {THREE: whole_bars(9)}
    for where, ask in (
        ("inputs", one.specs),
        ("inputs", lambda: one.targets(bars)),
        ("targets", lambda: one.targets(bars)),
        ("decide", lambda: one.decide(bars, range(10))),
    ):
        Failing.where = where
        line = next(
            at for at, text in enumerate(Path(__file__).read_text().splitlines(), 1) if f'{{}}["{where}"]' in text
        )
        with pytest.raises(StrategyError) as refused:
            ask()
        assert str(refused.value) == f"strategy 'failing' failed, test_decisions.py, line {line}: KeyError: '{where}'"
        assert isinstance(refused.value.__cause__, KeyError)


def test_no_bars_make_no_decisions():
    bars = whole_bars(3).take(slice(0, 0))
    for strategy in (MovingAverage(), Crossing(), LooksBack()):
        one = StrategyOnInterval(strategy, strategy.resolve({}), THREE)
        decided = one.decide({THREE: bars, TWELVE: replace(bars, interval=TWELVE)}, range(10))
        assert len(decided) == 0


def moved(bars: Candles) -> Candles:
    return replace(bars, time=bars.time + 3)


def slots_of(frames):
    bars = frames[THREE]
    return range(int(bars.slot[0]), int(bars.slot[-1]) + 1) if len(bars) else range(0)


def as_rows(decisions):
    """Rows that == compares bit for bit."""
    return list(
        zip(
            decisions.time.tolist(),
            decisions.target.tolist(),
            decisions.type,
            decisions.confidence.view(np.int64).tolist(),
            decisions.reasons,
            decisions.snapshot,
            decisions.input_digest,
            decisions.day.tolist(),
            strict=True,
        )
    )
