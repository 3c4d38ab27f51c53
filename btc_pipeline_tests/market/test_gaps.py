"""Gaps: what is missing, and which holes of a file its source vouches for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.market.gaps import GapReason, classify_holes, missing_minutes
from btc_pipeline.market.spans import Spans

minutes = st.integers(0, 80)


def array(members):
    return np.array(sorted(members), np.int64)


@given(rows=st.sets(minutes), vouched=st.sets(minutes), start=minutes, end=minutes)
def test_missing_is_what_has_no_row_and_no_voucher(rows, vouched, start, end):
    gaps = missing_minutes(array(rows), Spans.of_minutes(array(vouched)), start, end)
    assert gaps.minutes().tolist() == sorted(set(range(start, end)) - rows - vouched)


@given(rows=st.sets(minutes, min_size=1), vouch=st.booleans(), outage_after=st.integers(0, 30))
def test_holes_between_rows_are_quiet_only_if_short_and_vouched_for(rows, vouch, outage_after):
    holes = classify_holes(array(rows), vouch=vouch, outage_after=outage_after)
    between = set(range(min(rows), max(rows) + 1)) - rows
    assert set(holes.quiet.minutes().tolist()) | set(holes.unknown.minutes().tolist()) == between
    assert not set(holes.quiet.minutes().tolist()) & set(holes.unknown.minutes().tolist())
    for start, end in holes.quiet.pairs():
        assert vouch
        assert end - start <= outage_after
    for start, end in holes.unknown.pairs():
        assert not vouch or end - start > outage_after


@pytest.mark.parametrize(("length", "quiet"), [(179, True), (180, True), (181, False)])
def test_a_hole_of_exactly_the_limit_is_quiet(length, quiet):
    holes = classify_holes(np.array([100, 101 + length]), vouch=True, outage_after=180)
    assert (holes.quiet if quiet else holes.unknown).pairs() == [(101, 101 + length)]
    assert len(holes.unknown if quiet else holes.quiet) == 0


def test_the_reasons_are_those_of_the_design():
    assert {str(reason) for reason in GapReason} == {
        "collector_down", "fetch_failed", "late_publish", "exchange_downtime", "beyond_retention", "unknown",
    }  # fmt: skip
