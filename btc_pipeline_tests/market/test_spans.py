"""Spans are sets of minutes: every operation against Python's sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.market.spans import NO_SPANS, Spans

minutes = st.integers(0, 60)
some_pairs = st.lists(st.tuples(minutes, minutes), max_size=8)
some_minutes = st.sets(minutes, max_size=40)


def as_set(spans):
    return {minute for start, end in spans.pairs() for minute in range(start, end)}


def of(members):
    return Spans.of_minutes(np.array(sorted(members), np.int64))


def assert_tidy(spans):
    """Ascending, not empty, not touching, int64."""
    flat = [edge for pair in spans.pairs() for edge in pair]
    assert flat == sorted(set(flat))
    assert spans.start.dtype == spans.end.dtype == np.int64


@given(pairs=some_pairs)
def test_of_is_the_union_of_any_spans(pairs):
    spans = Spans.of(pairs)
    assert as_set(spans) == {minute for a, b in pairs for minute in range(a, b)}
    assert_tidy(spans)


@given(members=some_minutes)
def test_minutes_and_spans_are_two_ways_to_say_the_same(members):
    spans = of(members)
    assert_tidy(spans)
    assert spans.minutes().tolist() == sorted(members)
    assert spans.minutes().dtype == np.int64
    assert spans.total == len(members)
    assert Spans.of(spans.pairs()).pairs() == spans.pairs()


@given(members=some_minutes, start=minutes, end=minutes)
def test_clip_and_complement_share_out_a_window(members, start, end):
    inside, outside = of(members).clip(start, end), of(members).complement(start, end)
    window = set(range(start, end))
    assert as_set(inside) == members & window
    assert as_set(outside) == window - members
    assert_tidy(inside)
    assert_tidy(outside)


@given(members=some_minutes, asked=st.lists(st.integers(-5, 70), max_size=20))
def test_contains_and_count_before_answer_for_every_minute(members, asked):
    spans, array = of(members), np.array(asked, np.int64)
    assert spans.contains(array).tolist() == [minute in members for minute in asked]
    assert spans.count_before(array).tolist() == [sum(1 for m in members if m < minute) for minute in asked]


@given(members=some_minutes, others=some_minutes)
def test_without_drops_whole_spans_that_are_touched(members, others):
    kept = of(members).without(of(others))
    expected = [(a, b) for a, b in of(members).pairs() if not others & set(range(a, b))]
    assert kept.pairs() == expected


def test_no_spans_hold_nothing():
    nothing = np.empty(0, np.int64)
    assert len(NO_SPANS) == NO_SPANS.total == 0
    assert NO_SPANS.contains(np.array([1, 2])).tolist() == [False, False]
    assert NO_SPANS.count_before(np.array([1, 2])).tolist() == [0, 0]
    assert NO_SPANS.minutes().tolist() == []
    assert Spans.of_minutes(nothing).pairs() == []
    assert NO_SPANS.complement(3, 5).pairs() == [(3, 5)]
