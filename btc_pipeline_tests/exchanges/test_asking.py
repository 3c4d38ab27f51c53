"""What all venues' REST have in common: Retry-After, decimals, pages."""

from __future__ import annotations

import math

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.exchanges.asking import retry_after
from btc_pipeline.exchanges.decimals import decimals_of_step, read_decimal, read_quote
from btc_pipeline.exchanges.frames import pages


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Thu, 24 Sep 2026 06:41:30 GMT", 90.0),
        ("Thu, 24 Sep 2026 06:00:00 GMT", 0.0),
        ("soon", 60.0),
        ("-5", 60.0),
        ("", 60.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str, seconds: float) -> None:
    response = httpx.Response(429, headers={"Retry-After": header})
    assert retry_after(response, 60.0, now=1_790_232_000.0) == seconds
    assert retry_after(httpx.Response(429), 60.0, now=0.0) == 60.0


@pytest.mark.parametrize(("step", "decimals"), [("0.00001000", 5), ("0.10", 1), ("1", 0), ("100.0", 0)])
def test_a_step_has_the_decimals_that_are_not_trailing_zeros(step: str, decimals: int) -> None:
    assert decimals_of_step(step, "stepSize") == decimals


def test_fifteen_digits_are_read_and_of_sixteen_only_a_quote_volume_is_left_out() -> None:
    assert read_quote("12345678.9012345", "q") == read_decimal("12345678.9012345", "q") == (12345678.9012345, 7)
    value, decimals = read_quote("12345678.90123456", "q")
    assert (math.isnan(value), decimals) == (True, 0)
    with pytest.raises(ValueError, match="more than 15 significant digits"):
        read_decimal("12345678.90123456", "v")
    with pytest.raises(ValueError, match="q 'x' is no decimal number"):
        read_quote("x", "q")


@given(st.integers(-100, 5_000), st.integers(-100, 5_000), st.integers(1, 1_500))
def test_pages_cover_every_minute_once(start: int, end: int, most: int) -> None:
    found = list(pages(start, end, most))
    assert [minute for first, until in found for minute in range(first, until)] == list(range(max(start, 0), end))
    assert all(0 < until - first <= most for first, until in found)
