"""What a request for a backtest comes to before anything is read."""

from __future__ import annotations

import pytest

from btc_pipeline.pipeline.backtest_request import BacktestRequest, DataRange, days_of

DATA = DataRange(first=100 * 1440 + 600, last=130 * 1440 + 30, today=131)
"""From the 101st day of 1970 on, of which the first ten hours are missing."""


@pytest.mark.parametrize("start", ["1970-01-01", "1970-04-10", "1970-04-11"])
def test_a_run_begins_no_earlier_than_the_day_of_the_first_minute(start):
    request = BacktestRequest.of({"symbol": "BTC", "interval": "37m", "start": start, "end": "1970-05-01"})
    assert days_of(request, DATA) == range(100, 120)


def test_and_as_late_as_it_is_asked_for():
    request = BacktestRequest.of({"symbol": "BTC", "interval": "37m", "start": "1970-04-12"})
    assert days_of(request, DATA) == range(101, 131)
