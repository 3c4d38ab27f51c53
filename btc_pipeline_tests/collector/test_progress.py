"""Progress: minutes, never loops."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.collector.progress import Progress


def test_nothing_is_accounted_for_before_the_exchange_was_asked() -> None:
    progress = Progress()
    progress.has_landed([5, 6])
    assert progress.accounted_until is None
    assert progress.last_minute == 6


def test_it_moves_over_minutes_without_a_break_whatever_their_order() -> None:
    progress = Progress()
    progress.begin(5)
    progress.has_landed([7, 5])
    assert progress.accounted_until == 6
    progress.is_absent([6])
    assert progress.accounted_until == 8
    assert progress.last_minute == 7


def test_what_landed_before_the_beginning_is_known_counts_from_there() -> None:
    progress = Progress()
    progress.has_landed([5, 6])
    progress.begin(5)
    assert progress.accounted_until == 7


def test_it_is_never_set_back() -> None:
    progress = Progress()
    progress.begin(9)
    progress.begin(3)
    progress.has_landed([4])
    assert progress.accounted_until == 9


@given(st.permutations(range(10)), st.sets(st.integers(0, 9)))
def test_any_order_of_the_same_minutes_ends_at_the_same_place(order: list[int], absent: set[int]) -> None:
    progress = Progress()
    progress.begin(0)
    for minute in order:
        (progress.is_absent if minute in absent else progress.has_landed)([minute])
    assert progress.accounted_until == 10
    assert progress.landed == 10 - len(absent)
