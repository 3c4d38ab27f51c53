"""Waits between tries."""

from __future__ import annotations

from random import Random

from btc_pipeline.collector.backoff import Backoff


class Longest(Random):
    """Always the longest wait that may be."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_waits_double_up_to_half_a_minute_while_the_other_side_answers() -> None:
    backoff = Backoff(Longest())
    assert [backoff.next(answers=True) for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_without_any_answer_they_grow_to_a_quarter_of_an_hour() -> None:
    backoff = Backoff(Longest())
    assert [backoff.next(answers=False) for _ in range(12)][-3:] == [512.0, 900.0, 900.0]


def test_they_begin_anew_only_after_a_minute_of_data() -> None:
    backoff = Backoff(Longest())
    for _ in range(4):
        backoff.next(answers=True)
    backoff.healthy(59.9)
    assert backoff.next(answers=True) == 16.0
    backoff.healthy(60.0)
    assert backoff.next(answers=True) == 1.0


def test_every_wait_below_the_bound_is_as_likely() -> None:
    backoff = Backoff(Random(1))
    for _ in range(6):
        backoff.next(answers=True)
    waits = [backoff.next(answers=True) for _ in range(2000)]
    assert 0.0 <= min(waits) < 1.0
    assert 29.0 < max(waits) <= 30.0
    assert 14.0 < sum(waits) / len(waits) < 16.0
