"""What cannot be accepted is answered in words, 422 or 404, never 500."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from api.schemas import ErrorBody
from btc_pipeline_tests.api.conftest import SYMBOL

GOOD = {"symbol": SYMBOL, "interval": "37m"}
ENDPOINTS = {
    "candles": ["symbol", "interval", "start", "end", "limit", "align", "fill"],
    "candles/latest": ["symbol", "interval", "align"],
    "candles/bulk": ["symbol", "interval", "start", "end", "limit", "align", "columns"],
    "indicators": ["symbol", "interval", "name", "start", "end", "limit", "skip", "align"],
    "decisions": ["symbol", "interval", "strategy", "start", "end", "as_of", "versions", "limit", "skip", "align"],
    "data-quality": ["symbol", "kind", "resolved", "start", "end", "limit", "skip"],
    "stats": ["symbol"],
    "export/csv": ["symbol", "interval", "start", "end", "what", "align"],
}
EVERY_PARAMETER = [(path, name) for path, names in ENDPOINTS.items() for name in names]
NASTY = [
    "'; DROP TABLE candles; --",
    "BTC' OR '1'='1",
    "\x00",
    "37m\x00",
    "𝟛𝟟m",
    "١٢٣",
    "$1",
    "%s%n{0}${jndi:x}",
    "../../etc/passwd",
    "a" * 5000,
    "9" * 5000,
    "-1",
    "1e400",
    "NaN",
    "\ud7ff\uffff",
    "",
    " ",
]


def refused(client: TestClient, path: str, parameters: dict[str, str]) -> tuple[int, str, str]:
    """(status, field, message) of the first problem."""
    answer = client.get(f"/api/v1/{path}", params=parameters)
    body = ErrorBody.model_validate(answer.json())
    return answer.status_code, body.detail[0].field or "", body.detail[0].message


@pytest.mark.parametrize(("path", "name"), EVERY_PARAMETER)
def test_nothing_in_any_parameter_is_a_server_error(client: TestClient, path: str, name: str) -> None:
    good = {key: value for key, value in GOOD.items() if key in ENDPOINTS[path]}
    for value in NASTY:
        answer = client.get(f"/api/v1/{path}", params={**good, name: value})
        assert answer.status_code in {404, 422}, (value, answer.text[:300])
        problem = ErrorBody.model_validate(answer.json()).detail[0]
        assert problem.field == name
        assert 10 < len(problem.message) < 500


@pytest.mark.parametrize(
    ("changes", "status", "field", "words"),
    [
        ({"symbol": "BTCUSD.BITFINX"}, 404, "symbol", "Did you mean BTCUSD.BITFINEX?"),
        ({"symbol": "btc"}, 422, "symbol", "is not valid"),
        ({"interval": "0m"}, 422, "interval", "is unknown"),
        ({"interval": "37x"}, 422, "interval", "Did you mean 37m?"),
        ({"interval": "1441m"}, 422, "interval", "1m to 1440m"),
        ({"start": "2016-02-01", "end": "2016-01-01"}, 422, "start", "is not before end"),
        ({"start": "2016-02-01", "end": "2016-02-01"}, 422, "start", "is not before end"),
        ({"start": "yesterday"}, 422, "start", "is not a time"),
        ({"start": "1420070400"}, 422, "start", "too small for epoch milliseconds"),
        ({"start": "20160101"}, 422, "start", "too small for epoch milliseconds"),
        ({"start": "99999999999999999"}, 422, "start", "out of range"),
        ({"end": "9999-12-31T23:59:59-12:00"}, 422, "end", "out of range"),
        ({"end": "0001-01-01"}, 422, "end", "out of range"),
        ({"limit": "0"}, 422, "limit", "greater than or equal to 1"),
        ({"limit": "1000000000"}, 422, "limit", "less than or equal to 10000"),
        ({"limit": "ten"}, 422, "limit", "valid integer"),
        ({"align": "middle"}, 422, "align", "'left' or 'right'"),
        ({"symbl": SYMBOL}, 422, "symbl", "did you mean symbol?"),
    ],
)
def test_messages_name_the_field_the_value_and_what_would_be_right(
    client: TestClient, changes: dict[str, str], status: int, field: str, words: str
) -> None:
    found = refused(client, "candles", {**GOOD, **changes})
    assert found[:2] == (status, field)
    assert words in found[2]


def test_other_endpoints_offer_the_nearest_name(client: TestClient) -> None:
    assert "did you mean ma44?" in refused(client, "indicators", {**GOOD, "name": "ma4"})[2]
    assert refused(client, "decisions", {**GOOD, "strategy": "ma4"})[0] == 404
    assert "some of time, open" in refused(client, "candles/bulk", {**GOOD, "columns": "time,opn"})[2]


def test_a_missing_or_repeated_parameter_is_named(client: TestClient) -> None:
    assert refused(client, "candles", {"interval": "37m"}) == (422, "symbol", "symbol is required.")
    answer = client.get(f"/api/v1/candles?symbol={SYMBOL}&interval=37m&interval=1h")
    assert answer.json()["detail"][0]["message"] == "interval is given twice."


def test_a_method_that_a_path_does_not_take_is_answered_with_those_that_it_takes(client: TestClient) -> None:
    for path, allowed in (("candles", "GET"), ("backtests", "GET or POST")):
        answer = client.put(f"/api/v1/{path}")
        assert answer.status_code == 405
        assert answer.headers["Allow"] == allowed.replace(" or ", ", ")
        assert answer.json()["detail"][0]["message"] == f"PUT is not possible here; use {allowed}."


def test_unknown_paths_and_methods_have_the_same_shape(client: TestClient) -> None:
    for answer in (client.get("/api/v1/candle"), client.post("/api/v1/candles"), client.get("/%00")):
        assert answer.status_code in {404, 405}
        ErrorBody.model_validate(answer.json())
