"""The fast readings of a column of times agree with reading one text after another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.importing import times as module
from btc_pipeline.importing.times import parse_times

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1))
OFFSETS = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
SPEC = st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"])
ISO_NAIVE = st.builds(lambda m, s, t: m.isoformat(s, t), MOMENTS, st.sampled_from("T "), SPEC)
ISO_AWARE = st.builds(
    lambda m, z, s, t: m.replace(tzinfo=z).isoformat(s, t), MOMENTS, OFFSETS, st.sampled_from("T "), SPEC
)
WHOLE = st.integers(0, 10**19).map(str)
SPOILT = st.text(alphabet="0123456789-:T Z+.UxC", max_size=30)


def column(texts):
    return pa.chunked_array([pa.array(texts, pa.string())])


@given(
    st.one_of(
        *(
            st.lists(texts, min_size=1, max_size=10)
            for texts in (ISO_NAIVE, ISO_AWARE, WHOLE, SPOILT, ISO_NAIVE | SPOILT)
        )
    )
)
def test_fast_and_slow_agree(texts):
    values, kinds = module._parse_one_by_one(texts)
    for fast in (module._parse_whole_numbers(column(texts)), module._parse_iso(column(texts))):
        if fast is not None:
            assert fast[1].tolist() == kinds.tolist()
            assert fast[0].tolist() == values.tolist()


@given(MOMENTS, OFFSETS)
def test_minutes_are_those_of_the_moment(moment, zone):
    aware = moment.replace(tzinfo=zone, second=0, microsecond=0)
    expected = int(aware.timestamp()) // 60
    parsed = parse_times(column([aware.isoformat()]))
    assert parsed.minutes.tolist() == [expected]
    assert not (parsed.uneven | parsed.unreadable | parsed.other_unit).any()
    naive = aware.astimezone(UTC).replace(tzinfo=None)
    assert parse_times(column([naive.isoformat(" ")])).minutes.tolist() == [expected]


def test_a_fraction_of_a_second_however_small_is_off_the_minute():
    for fraction in ("1", "001", "000001", "0000000001"):
        parsed = parse_times(column([f"2024-01-01T00:00:00.{fraction}Z"]))
        assert parsed.uneven.tolist() == [True], fraction
    assert parse_times(column(["2024-01-01T00:00:00.0000000000Z"])).uneven.tolist() == [False]
