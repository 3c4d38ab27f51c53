"""What a request for a backtest comes to before anything is read."""

from __future__ import annotations

import json

import numpy as np
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


def test_numbers_of_numpy_are_pythons():
    plain = {"capital": 500, "size": 0.5, "compounding": False, "parameters": {"period": 30, "factor": 0.5}}
    own = {
        "capital": np.int64(500),
        "size": np.float32(0.5),
        "compounding": np.bool_(False),
        "parameters": {"period": np.int64(30), "factor": np.float64(0.5)},
    }
    requests = [BacktestRequest.of({"start": "2016-01-01", **values}) for values in (plain, own)]
    assert requests[0] == requests[1]
    assert [type(value) for value in requests[1].parameters.values()] == [int, float]
    assert json.loads(json.dumps(requests[1].given())) == requests[0].given()


@pytest.mark.parametrize(
    ("given", "taken"),
    [(30.0, 30), (np.float64(1e2), 100), (-2.0, -2), (30.5, 30.5), (float("inf"), float("inf")), (True, True)],
)
def test_a_whole_number_may_be_written_as_a_float(given, taken):
    (value,) = BacktestRequest.of({"start": "2016-01-01", "parameters": {"period": given}}).parameters.values()
    assert (value, type(value)) == (taken, type(taken))
