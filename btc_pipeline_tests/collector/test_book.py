"""The minute book: which minutes the stream can be believed about."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.collector.book import MinuteBook
from btc_pipeline.exchanges.base import Minute

START = 29_000_000


def minute(at: int, trades: int = 1, close: float = 100.0) -> Minute:
    return Minute(START + at, 100.0, max(100.0, close), min(100.0, close), close, float(trades), trades)


def heard(book: MinuteBook, *frames: tuple[Minute, float]) -> list[int]:
    """Frames with the second (after START) at which they come; returns the minutes that closed, relative to START."""
    return [closed.time - START for frame, second in frames for closed in book.frame(frame, START * 60 + second).closed]


def test_a_minute_is_closed_by_the_frame_of_the_next_one_as_it_was_last_told() -> None:
    book = MinuteBook()
    assert heard(book, (minute(0), 1), (minute(1, 1), 61), (minute(1, 5, 104.0), 119)) == []
    [closed] = book.frame(minute(2), START * 60 + 120.5).closed
    assert closed == minute(1, 5, 104.0)


def test_the_minute_in_which_a_stream_begins_is_left_to_rest() -> None:
    assert heard(MinuteBook(), (minute(0), 30), (minute(0, 2), 59), (minute(1), 61)) == []


def test_the_minutes_around_an_interruption_are_left_to_rest() -> None:
    book = MinuteBook()
    assert heard(book, (minute(0), 1), (minute(1), 115)) == []
    book.interrupted()
    assert heard(book, (minute(1, 3), 118), (minute(2), 121), (minute(2, 2), 175), (minute(3), 180)) == [2]


def test_the_clock_closes_a_minute_that_has_no_successor() -> None:
    book = MinuteBook()
    heard(book, (minute(0), 1), (minute(1), 61), (minute(1, 2), 118))
    assert book.tick(START * 60 + 122.9).closed == []
    assert book.tick(START * 60 + 123.0).closed == [minute(1, 2)]
    assert book.tick(START * 60 + 200.0).closed == []


def test_a_minute_that_was_not_heard_of_in_its_last_seconds_is_left_to_rest() -> None:
    finishes = (lambda b: b.tick(START * 60 + 125.0), lambda b: b.frame(minute(2), START * 60 + 121.0))
    for finish in finishes:
        book = MinuteBook()
        heard(book, (minute(0), 1), (minute(1), 61), (minute(1, 2), 99))
        assert finish(book).closed == []


def test_an_older_frame_of_the_same_minute_changes_nothing() -> None:
    book = MinuteBook()
    frames = ((minute(0), 1), (minute(1, 5, 105.0), 100), (minute(1, 3, 103.0), 101), (minute(2), 120))
    assert heard(book, *frames[:3]) == []
    assert book.frame(*(frames[3][0], START * 60 + 120.0)).closed == [minute(1, 5, 105.0)]


def test_a_minute_that_is_still_told_of_after_its_end_is_not_closed_by_the_clock() -> None:
    book = MinuteBook()
    heard(book, (minute(0), 1), (minute(1), 61), (minute(1, 2), 122))
    assert book.tick(START * 60 + 124.0).closed == []
    assert heard(book, (minute(1, 3), 130), (minute(2), 141)) == [1]


def test_a_late_word_about_a_closed_minute_is_for_rest_to_decide_unless_it_says_the_same() -> None:
    book = MinuteBook()
    heard(book, (minute(0), 1), (minute(1), 110), (minute(2), 121))
    assert book.frame(minute(1), START * 60 + 122.0).doubtful == []
    again = book.frame(minute(1, 9, 109.0), START * 60 + 122.0)
    assert again.doubtful == [START + 1]
    assert again.closed == []


def test_a_frame_that_contradicts_the_ones_before_taints_its_minute() -> None:
    book = MinuteBook()
    heard(book, (minute(0), 1), (minute(1), 61))
    other_open = replace(minute(1, 2), open=99.0, low=99.0)
    assert heard(book, (other_open, 110), (minute(1, 3), 119), (minute(2), 120), (minute(2, 2), 175)) == []
    assert heard(book, (minute(3), 180)) == [2]


def test_a_frame_from_the_future_is_refused_and_forgotten() -> None:
    book = MinuteBook()
    heard(book, (minute(0), 1), (minute(1), 61), (minute(1, 2), 119))
    assert "in the future" in str(book.frame(minute(90), START * 60 + 119).refused)
    assert heard(book, (minute(2), 120)) == [1]


def test_a_lost_frame_taints_the_minute_it_may_have_been_about() -> None:
    book = MinuteBook()
    heard(book, (minute(0), 1), (minute(1), 61))
    book.taint(START + 1)
    assert heard(book, (minute(1, 2), 119), (minute(2), 120), (minute(2, 2), 179), (minute(3), 180)) == [2]


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 4), st.integers(0, 25), st.booleans()), min_size=1, max_size=60
    )
)
def test_whatever_comes_no_minute_closes_twice_or_backwards_or_as_something_it_never_was(
    frames: list[tuple[int, int, int, bool]],
) -> None:
    book, second, closed, told = MinuteBook(), 0, [], set()
    for at, trades, wait, breaks in frames:
        second += wait
        if breaks:
            book.interrupted()
        told.add(minute(at, trades))
        closed += book.tick(START * 60 + second).closed
        closed += book.frame(minute(at, trades), START * 60 + max(second, at * 60)).closed
    times = [one.time for one in closed]
    assert times == sorted(set(times))
    assert set(closed) <= told
