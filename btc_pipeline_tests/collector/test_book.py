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


def told(book: MinuteBook, *frames: tuple[Minute, float, bool]) -> tuple[list[int], list[int]]:
    """The same of a venue that says when a minute is over: (closed, doubtful), relative to START."""
    closed, doubtful = [], []
    for frame, second, over in frames:
        found = book.frame(frame, START * 60 + second, over)
        closed += [one.time - START for one in found.closed]
        doubtful += [one - START for one in found.doubtful]
    return closed, doubtful


def flagged() -> MinuteBook:
    """A book that has heard the start of minute 1 of a venue that says when a minute is over."""
    book = MinuteBook()
    assert told(book, (minute(0), 30, False), (minute(0, 2), 60, True), (minute(1), 61, False)) == ([], [])
    return book


def test_where_the_venue_says_so_a_minute_is_over_at_once_as_that_frame_has_it() -> None:
    book = flagged()
    [closed] = book.frame(minute(1, 7, 105.0), START * 60 + 120.1, True).closed
    assert closed == minute(1, 7, 105.0)
    assert book.tick(START * 60 + 200.0).closed == []


def test_a_quiet_stream_s_closing_frame_is_believed_however_long_it_was_silent() -> None:
    assert told(flagged(), (minute(1, 2), 125, True)) == ([1], [])


def test_the_same_end_again_is_nothing_and_another_one_is_for_rest_to_decide() -> None:
    book, end = flagged(), minute(1, 7, 105.0)
    assert told(book, (end, 120, True), (end, 121, True), (end, 121, False)) == ([1], [])
    # An older word that comes late takes nothing back.
    assert told(book, (minute(1, 3, 104.0), 122, False)) == ([], [])
    assert told(book, (minute(1, 8, 105.0), 123, True)) == ([], [1])
    assert told(book, (minute(1, 9, 105.0), 124, False)) == ([], [1])


def test_an_end_that_takes_trades_back_is_for_rest_to_decide() -> None:
    book = flagged()
    frames = ((minute(1, 9, 109.0), 110, False), (minute(1, 3, 104.0), 120, True), (minute(2), 121, False))
    assert told(book, *frames) == ([], [1])
    assert told(book, (minute(2, 4), 180, True)) == ([2], [])


def test_without_its_closing_frame_neither_a_successor_nor_the_clock_closes_a_minute() -> None:
    assert told(flagged(), (minute(1, 2), 119, False), (minute(2), 120, False)) == ([], [1])
    book = flagged()
    told(book, (minute(1, 2), 119, False))
    assert (book.tick(START * 60 + 139.0).closed, book.tick(START * 60 + 139.0).doubtful) == ([], [])
    after = book.tick(START * 60 + 141.0)
    assert (after.closed, after.doubtful) == ([], [START + 1])
    assert told(book, (minute(1, 3), 142, True)) == ([], [1])


def test_a_closing_frame_around_an_interruption_is_left_to_rest() -> None:
    book = flagged()
    book.interrupted()
    assert told(book, (minute(1, 5), 120, True), (minute(2), 121, False), (minute(2, 3), 180, True)) == ([2], [])
    book.taint(START + 3)
    assert told(book, (minute(3), 185, False), (minute(3, 2), 240, True), (minute(4, 2), 300, True)) == ([4], [])


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 4), st.integers(0, 25), st.booleans(), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_only_closing_frames_close_a_flagged_minute_once_and_in_order(
    frames: list[tuple[int, int, int, bool, bool]],
) -> None:
    book, second, closed, ended = MinuteBook(), 0, [], set()
    for at, trades, wait, over, breaks in frames:
        second += wait
        if breaks:
            book.interrupted()
        if over:
            ended.add(minute(at, trades))
        assert book.tick(START * 60 + second).closed == []
        closed += book.frame(minute(at, trades), START * 60 + max(second, at * 60), over).closed
    times = [one.time for one in closed]
    assert times == sorted(set(times))
    assert set(closed) <= ended


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
