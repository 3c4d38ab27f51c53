"""Intervals: their spellings, their grids against the calendar, and the day a bar belongs to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.errors import UserError
from btc_pipeline.market.intervals import DAY, MINUTE, STANDARD_NAMES, Interval
from btc_pipeline_tests.market.brute_force import EPOCH, bar_bounds

LATEST = 60_000_000
"""2084 in epoch minutes."""

names = st.one_of(st.sampled_from(STANDARD_NAMES), st.integers(1, 1440).map(lambda n: f"{n}m"))
minutes = st.integers(-1_000_000, LATEST)


@pytest.mark.parametrize("name", STANDARD_NAMES)
def test_a_standard_name_is_its_own_spelling(name):
    assert Interval.parse(name).name == name
    assert str(Interval.parse(name)) == name


def test_every_whole_number_of_minutes_of_a_day_is_an_interval():
    for length in range(1, 1441):
        interval = Interval.parse(f"{length}m")
        assert interval.minutes == length
        assert Interval.parse(interval.name) == interval


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("60m", "1h"), ("120m", "2h"), ("720m", "12h"), ("1440m", "1d"), ("24h", "1d"), ("90m", "90m"), ("1h", "1h")],
)
def test_spellings_of_one_length_are_one_interval(spelling, name):
    assert Interval.parse(spelling) == Interval.parse(name)
    assert Interval.parse(spelling).name == name


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "m", "0m", "00m", "01m", "1441m", "9999m", "99999m", "0h", "25h", "37x", "37", "-5m", "+5m", "1.5h",
        "5 m", " 5m", "5m ", "5m\n", "1D", "1H", "3w", "2M", "2d", "1y", "m5", "1e3m",
        "٣m", "５m", "1m; DROP TABLE candles",
    ],
)  # fmt: skip
def test_a_bad_name_is_refused_in_words(name):
    with pytest.raises(UserError) as caught:
        Interval.parse(name)
    assert caught.value.field == "interval"
    assert repr(name)[1:20] in str(caught.value)
    assert "use 1m to 1440m, 1h to 24h, 1d, 3d, 1w or 1M." in str(caught.value)


def test_a_bad_name_is_answered_with_the_nearest_and_a_long_one_is_cut():
    with pytest.raises(UserError, match=r"Did you mean 37m\?"):
        Interval.parse("37x")
    for name in ("1H", "1D", "1W", "37M", "60M"):
        with pytest.raises(UserError, match=rf"Did you mean {name.lower()}\?"):
            Interval.parse(name)
    with pytest.raises(UserError) as caught:
        Interval.parse("9" * 5_000)
    assert len(str(caught.value)) < 200


def test_a_month_is_no_minute():
    assert Interval.parse("1M") != Interval.parse("1m")
    assert Interval.parse("1M").is_month
    assert Interval.parse("1m") == MINUTE
    assert Interval.parse("1d") == DAY


@given(name=names, minute=minutes)
def test_slots_are_where_clock_and_calendar_put_them(name, minute):
    interval = Interval.parse(name)
    slot = interval.slot(minute)
    assert (interval.open(slot), interval.close(slot)) == bar_bounds(interval.name, minute)


@given(name=names, minute=minutes)
def test_a_slot_ends_where_the_next_begins(name, minute):
    interval = Interval.parse(name)
    slot = interval.slot(minute)
    assert interval.open(slot) <= minute < interval.close(slot) == interval.open(slot + 1)
    assert interval.slot(interval.close(slot)) == slot + 1
    assert interval.slot(interval.close(slot) - 1) == slot


@given(name=names, some=st.lists(minutes, min_size=1, max_size=20))
def test_arrays_give_what_single_minutes_give(name, some):
    interval = Interval.parse(name)
    slots = interval.slot(np.array(some, np.int64))
    assert slots.dtype == np.int64
    assert slots.tolist() == [interval.slot(minute) for minute in some]
    assert interval.open(slots).tolist() == [interval.open(int(slot)) for slot in slots]
    assert interval.close(slots).tolist() == [interval.close(int(slot)) for slot in slots]
    assert interval.open(slots).dtype == np.int64


@given(minute=minutes)
def test_weeks_begin_on_mondays(minute):
    week = Interval.parse("1w")
    assert (EPOCH + timedelta(minutes=week.open(week.slot(minute)))).weekday() == 0
    assert week.close(week.slot(minute)) - week.open(week.slot(minute)) == 7 * 1440


@given(minute=minutes)
def test_months_are_the_calendars(minute):
    month = Interval.parse("1M")
    at = EPOCH + timedelta(minutes=minute)
    first = EPOCH + timedelta(minutes=month.open(month.slot(minute)))
    assert (first.year, first.month, first.day, first.hour, first.minute) == (at.year, at.month, 1, 0, 0)


@pytest.mark.parametrize(
    ("name", "at", "opens"),
    [
        ("1M", datetime(2016, 2, 29, 23, 59, tzinfo=UTC), datetime(2016, 2, 1, tzinfo=UTC)),
        ("1M", datetime(2016, 3, 1, tzinfo=UTC), datetime(2016, 3, 1, tzinfo=UTC)),
        ("1w", datetime(2016, 1, 3, 23, 59, tzinfo=UTC), datetime(2015, 12, 28, tzinfo=UTC)),
        ("1w", datetime(2016, 1, 4, tzinfo=UTC), datetime(2016, 1, 4, tzinfo=UTC)),
        ("3d", datetime(1970, 1, 3, 23, 59, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        ("37m", datetime(1970, 1, 2, 0, 0, tzinfo=UTC), datetime(1970, 1, 1, 23, 26, tzinfo=UTC)),
        ("148m", datetime(2016, 1, 1, 0, 0, tzinfo=UTC), datetime(2015, 12, 31, 23, 32, tzinfo=UTC)),
    ],
)
def test_known_bars_open_when_they_do(name, at, opens):
    interval = Interval.parse(name)
    minute = int(at.timestamp()) // 60
    assert interval.open(interval.slot(minute)) == int(opens.timestamp()) // 60


@given(slot=st.integers(-10_000, 500_000))
def test_four_slots_of_37m_are_one_of_148m(slot):
    small, large = Interval.parse("37m"), Interval.parse("148m")
    assert small.open(4 * slot) == large.open(slot)
    assert small.close(4 * slot + 3) == large.close(slot)


@given(name=names, slot_of=st.integers(0, LATEST))
def test_a_bar_belongs_to_the_day_of_its_last_minute(name, slot_of):
    interval = Interval.parse(name)
    slot = interval.slot(slot_of)
    [day] = interval.day(np.array([slot], np.int64)).tolist()
    assert day * 1440 <= interval.close(slot) - 1 < (day + 1) * 1440
    assert slot in interval.slots_closing_in(day, day + 1)


@given(name=names, first=st.integers(0, 40_000), lengths=st.lists(st.integers(0, 70), min_size=1, max_size=6))
def test_slots_closing_in_days_partition_time(name, first, lengths):
    """Consecutive days share no slot and leave none out, whatever the pieces."""
    interval = Interval.parse(name)
    pieces, day = [], first
    for length in lengths:
        pieces.append(interval.slots_closing_in(day, day + length))
        day += length
    whole = interval.slots_closing_in(first, day)
    assert [slot for piece in pieces for slot in piece] == list(whole)
    closes = [interval.close(slot) for slot in whole]
    assert all(first * 1440 < close <= day * 1440 for close in closes)
    assert interval.close(whole.start - 1) <= first * 1440
    assert interval.close(whole.stop) > day * 1440
