"""`/backtests`: runs asked for, answered from the store, read, compared, exported, deleted."""

from __future__ import annotations

import uuid
from datetime import date
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

import api.launching
from api import backtest_schemas as schemas
from api.schemas import ErrorBody
from btc_pipeline.errors import UserError
from btc_pipeline.pipeline.backtests import BacktestRequest, run_backtest
from btc_pipeline.storage.backtests import ROW_TAG, RunLog, read_run
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.api.backtest_web import API, ORDER, get, post, rows, work
from btc_pipeline_tests.api.conftest import NOW, SYMBOL, settings_for
from btc_pipeline_tests.api.fake_dagster import FakeDagster


def test_an_order_is_queued_launched_made_and_then_answered_from_the_store(
    web: TestClient, stored: Database, dagster: FakeDagster
) -> None:
    accepted = post(web)
    assert (accepted["count"], accepted["data"][0]["status"], accepted["data"][0]["from_store"]) == (1, "queued", False)
    run = accepted["id"]
    (launched,) = dagster.launched
    assert launched["selector"] == {
        "repositoryName": "__repository__", "repositoryLocationName": "btc_pipeline", "jobName": "backtest",
    }  # fmt: skip
    assert launched["executionMetadata"]["tags"] == [
        {"key": "dagster/asset_partition_range_start", "value": "2016-01-01"},
        {"key": "dagster/asset_partition_range_end", "value": "2016-01-01"},
        {"key": ROW_TAG, "value": run},
    ]
    assert launched["runConfigData"]["ops"]["backtests"]["config"]["backtest_id"] == run

    waiting = get(web, f"/{run}")
    assert (waiting["status"], waiting["progress"], waiting["dagster_run_id"]) == ("queued", 0.0, "run-1")
    # Without an end: the last closed day is the last. The tenth day of the data is over, the eleventh has begun.
    assert (waiting["configuration"]["end"], waiting["configuration"]["start"]) == ("2016-01-11", "2016-01-01")

    work(stored, dagster)
    done = schemas.BacktestRun.model_validate(get(web, f"/{run}"))
    assert (done.status, done.progress, done.message) == ("done", 1.0, None)
    assert done.results is not None
    assert done.results.metrics["trades"]
    assert done.results.days == 10
    assert done.results.head[0].startswith("Funding is not included")

    again = post(web)
    row = {"id": run, "interval": "37m", "status": "done", "from_store": True, "joined": False}
    assert again["data"] == [{**row, "address": f"{API}/{run}"}]
    assert again["group_id"] == accepted["group_id"]
    assert len(dagster.launched) == 1


@pytest.mark.parametrize(
    ("days", "months"),
    [
        (("2016-01-15", "2016-03-01"), ("2016-01-01", "2016-03-01")),
        (("2014-05-01", "2016-03-31"), ("2015-02-01", "2016-03-01")),
        (("2014-05-01", "2015-01-31"), ()),
    ],
)
def test_a_run_is_tagged_with_the_months_that_there_are(days: tuple[str, str], months: tuple[str, ...]) -> None:
    first, last = map(date.fromisoformat, days)
    assert tuple(api.launching.month_tags(first, last, date(2015, 2, 3)).values()) == months


def test_several_intervals_are_runs_of_one_group(web: TestClient, stored: Database, dagster: FakeDagster) -> None:
    accepted = post(web, intervals=["37m", "148m", "60m", "1h"])
    assert [one["interval"] for one in accepted["data"]] == ["37m", "148m", "1h"]
    assert len(dagster.launched) == 3
    members = get(web, group=accepted["group_id"])["data"]
    assert [one["interval"] for one in members] == ["37m", "148m", "1h"]
    work(stored, dagster)
    assert {one["status"] for one in get(web, group=accepted["group_id"])["data"]} == {"done"}


def test_strategy_and_end_have_defaults(web: TestClient) -> None:
    answer = web.post(API, json={"symbol": SYMBOL, "intervals": ["37m"], "start_date": "2016-01-02"})
    assert answer.status_code == 202
    asked = get(web, f"/{answer.json()['id']}")
    assert (asked["strategy"], asked["configuration"]["end"]) == ("ma44", "2016-01-11")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"away": True}, "Dagster does not answer at http://127.0.0.1:3000"),
        ({"loaded": False}, "has no job 'backtest'"),
        ({"takes": 0}, "Dagster did not take the run (RunConfigValidationInvalid: no such field)"),
        ({"takes": 1}, "Dagster did not take the run"),
    ],
)
def test_without_dagster_it_is_503_in_words_and_nothing_is_left(
    web: TestClient, stored: Database, dagster: FakeDagster, fault: dict[str, Any], words: str
) -> None:
    for name, value in fault.items():
        setattr(dagster, name, value)
    answer = web.post(API, json={**ORDER, "intervals": ["37m", "148m"]})
    assert answer.status_code == 503
    problem = ErrorBody.model_validate(answer.json()).detail[0]
    assert words in problem.message
    assert problem.message.endswith("nothing was stored.")
    assert rows(stored) == 0


@pytest.mark.parametrize(
    ("changes", "status", "field", "words"),
    [
        ({"strategy": "ma4"}, 404, "strategy", "did you mean ma44?"),
        ({"parameters": {"perod": 5}}, 422, "parameters.perod", "Did you mean period?"),
        (
            {"parameters": {"period": 4}},
            422,
            "parameters.period",
            "period 4 is not valid: use a whole number from 5 to 500",
        ),
        ({"parameters": {"period": 501}}, 422, "parameters.period", "period 501 is not valid"),
        ({"parameters": {"period": "5"}}, 422, "parameters.period", "is not valid"),
        (
            {"start_date": "2016-02-01", "end_date": "2016-01-05"},
            422,
            "start_date",
            "start_date 2016-02-01 is not before end_date 2016-01-05: the end is the day after the last.",
        ),
        (
            {"start_date": ..., "start": "2016-02-01", "end_date": "2016-01-05"},
            422,
            "start",
            "start 2016-02-01 is not before end_date 2016-01-05: the end is the day after the last.",
        ),
        (
            {"start": "2016-01-01"},
            422,
            "start",
            "start is another name of a field that is given, too",
        ),
        ({"start_date": ...}, 422, "start_date", "start_date is required."),
        ({"start_date": "2016-1-1"}, 422, "start_date", "is not a date: write 2016-01-31"),
        ({"end_date": 5}, 422, "end_date", "end_date 5 is not a date"),
        ({"end_date": "2016-01-12"}, 422, "end_date", "end_date 2016-01-12 is in the future: use 2016-01-11 at most"),
        (
            {"start_date": "2014-01-01", "end_date": "2015-01-01"},
            422,
            "start_date",
            "has no minutes from then to 2014-12-31; there are minutes from 2016-01-01 to 2016-01-11.",
        ),
        ({"capital": 0}, 422, "capital", "capital 0.0 is not valid: give one above 0"),
        ({"leverage": 41}, 422, "leverage", "40 at most"),
        ({"size": 2}, 422, "size", "raise leverage"),
        ({"direction": "up"}, 422, "direction", "'long', 'short' or 'both'"),
        ({"symbol": "btc"}, 422, "symbol", "symbol 'btc' is not valid: use BTC"),
        ({"symbol": "BTCUSD.BITFINX"}, 404, "symbol", "Did you mean BTCUSD.BITFINEX?"),
        ({"intervals": ["1h", "37x"]}, 422, "intervals.1", "intervals.1: interval '37x' is unknown: use "),
        ({"intervals": ["37x"]}, 422, "intervals.0", "Did you mean 37m?"),
        ({"interval": "37x", "intervals": ...}, 422, "interval", "interval '37x' is unknown: use "),
        (
            {"interval": "60m"},
            422,
            "interval",
            'interval 1h and intervals ["37m"] are both given: use one of them.',
        ),
        ({"intervals": []}, 422, "intervals", "intervals [] is not valid: it should have at least 1 item."),
        ({"slippage_bps": -1}, 422, "slippage_bps", "from 0 to 1,000"),
        ({"stop": 1.5}, 422, "stop", "stop 1.5 is not valid: give one above 0, 1 at most, or 0 for none."),
        ({"interval": "1H", "intervals": ...}, 422, "interval", "Did you mean 1h?"),
        ({"notional": 500, "size": 0.5}, 422, "notional", "notional 500 and size 0.5 exclude each other"),
        ({"notional": 10_001}, 422, "notional", "above leverage 1 x capital 10000: use 10000 at most"),
        ({"compounding": "x"}, 422, "compounding", "compounding 'x' is not valid: it should be a valid boolean."),
        ({"capital": None}, 422, "capital", "capital null is not valid: it should be a valid number."),
        ({"sybol": "BTC"}, 422, "sybol", "field 'sybol' is unknown: did you mean symbol?"),
        ({"color": "BTC"}, 422, "color", "field 'color' is unknown: use symbol, interval, start_date, "),
    ],
)
def test_a_mistake_names_field_value_and_what_would_be_right(
    web: TestClient, stored: Database, changes: dict[str, Any], status: int, field: str, words: str
) -> None:
    order = {name: value for name, value in {**ORDER, **changes}.items() if value is not ...}
    answer = web.post(API, json=order)
    problem = ErrorBody.model_validate(answer.json()).detail[0]
    assert (answer.status_code, problem.field) == (status, field), answer.text
    assert words in problem.message
    assert rows(stored) == 0


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("[1, 2]", "application/json", "body [1, 2] is not an object: send one, such as "),
        ('"x"', "application/json", "body 'x' is not an object: send one, such as "),
        ("null", "application/json", "body null is not an object: send one, such as "),
        ("", "application/json", "body is required: send a JSON object, such as "),
        ("[", "application/json", "body is not JSON (character 1: Expecting value): send an object, such as "),
        (
            "{}",
            "application/x-www-form-urlencoded",
            "body came as 'application/x-www-form-urlencoded': send it as application/json, such as ",
        ),
    ],
)
def test_a_body_that_is_no_order_is_answered_with_one(web: TestClient, body: str, kind: str, words: str) -> None:
    answer = web.post(API, content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    example = '{"symbol": "BTC", "intervals": ["37m"], "start_date": "2025-01-01"}'
    assert answer.json() == {"detail": [{"field": "body", "message": f"{words}{example}."}]}


@pytest.mark.parametrize(
    ("interval", "days", "words"),
    [
        (
            "1h",
            ("2016-01-06", "2016-01-07"),
            (
                f"start_date 2016-01-06: {SYMBOL} has no bar of 1h from then to 2016-01-06, a hole in its minutes from "
                "2016-01-01 to 2016-01-11: use another range."
            ),
        ),
        (
            "1w",
            ("2016-01-01", "2016-01-07"),
            (
                "start_date 2016-01-01: no bar of 1w opens and closes from then to end_date 2016-01-07: use a longer "
                "range."
            ),
        ),
    ],
)
def test_where_there_is_no_bar_nothing_is_stored_or_launched(
    web: TestClient, stored: Database, dagster: FakeDagster, interval: str, days: tuple[str, str], words: str
) -> None:
    order = {**ORDER, "start_date": days[0], "end_date": days[1], "intervals": [interval]}
    answer = web.post(API, json=order)
    assert answer.status_code == 422
    assert answer.json() == {"detail": [{"field": "start_date", "message": words}]}
    assert (rows(stored), dagster.launched) == (0, [])


def test_a_run_that_cannot_be_made_fails_with_words(web: TestClient, stored: Database, dagster: FakeDagster) -> None:
    run = post(web)["id"]
    dagster.launched[0]["runConfigData"]["ops"]["backtests"]["config"]["strategy"] = "gone"
    with pytest.raises(UserError, match="is unknown"):
        work(stored, dagster)
    failed = get(web, f"/{run}")
    assert failed["status"] == "failed"
    assert failed["message"].startswith("strategy 'gone' is unknown: ")
    assert failed["results"] is None

    why = f"backtest {run} failed, and nothing of it is kept: {failed['message']}"
    for what in ("trades", "equity", "decisions"):
        page = get(web, f"/{run}/{what}")
        assert (page["status"], page["message"], page["data"]) == ("failed", why, [])
        answer = web.get(f"{API}/{run}/csv", params={"what": what})
        assert (answer.status_code, answer.json()) == (422, {"detail": [{"field": "run", "message": why}]})


def test_a_run_that_waits_has_no_parts_and_says_so(web: TestClient) -> None:
    run = post(web)["id"]
    page = get(web, f"/{run}/trades")
    why = f"backtest {run} is queued: it has trades, equity and decisions when it is done."
    assert (page["status"], page["message"], page["data"]) == ("queued", why, [])


def test_a_run_whose_process_ended_is_failed_when_it_is_looked_at(web: TestClient, stored: Database) -> None:
    run = uuid.UUID(post(web)["id"])
    with RunLog.running(stored, run) as log:
        log.progress(0.4)
        running = get(web, f"/{run}")
        assert (running["status"], running["progress"]) == ("running", 0.4)
        with stored.rows() as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        with pytest.raises(psycopg.OperationalError):
            log.progress(0.5)
    gone = get(web, f"/{run}")
    assert (gone["status"], gone["message"]) == (
        "failed",
        "the process that ran it ended before it was done; launch it again",
    )
    request = BacktestRequest.of(gone["configuration"])
    again = run_backtest(stored, settings_for(stored), request, backtest_id=run, now=NOW)
    assert (again.run.status, again.run.message, again.from_store) == ("done", None, False)


def test_pages_of_parts_hold_together_with_the_description_and_the_file(
    web: TestClient, stored: Database, dagster: FakeDagster
) -> None:
    run = post(web)["id"]
    work(stored, dagster)
    pages = {
        "trades": schemas.BacktestTradesPage,
        "equity": schemas.BacktestEquityPage,
        "decisions": schemas.BacktestDecisionsPage,
    }
    for what, model in pages.items():
        whole = get(web, f"/{run}/{what}", start="2015-01-01", limit=10_000)
        assert model.model_validate(whole).count == len(whole["data"]) > 5
        assert (whole["status"], whole["message"]) == ("done", None)
        page, found = get(web, f"/{run}/{what}", start="2015-01-01", limit=3), []
        while True:
            found += page["data"]
            if not page["next"]:
                break
            page = web.get(page["next"]).json()
        assert found == whole["data"]
        newest = get(web, f"/{run}/{what}", limit=2)
        assert newest["data"] == whole["data"][-2:]
        lines = web.get(f"{API}/{run}/csv", params={"what": what}).text.splitlines()
        assert len(lines) == 1 + len(whole["data"])
    assert len(get(web, f"/{run}/equity", start="2015-01-01")["data"]) == 11
    targets = [one["target"] for one in get(web, f"/{run}/decisions", start="2015-01-01", limit=10_000)["data"]]
    assert all(one != other for one, other in pairwise(targets))


def test_a_file_of_a_run_without_trades_has_the_header(web: TestClient, stored: Database, dagster: FakeDagster) -> None:
    some, none = post(web)["id"], post(web, intervals=["1d"], parameters={"period": 200})["id"]
    work(stored, dagster)
    texts = [web.get(f"{API}/{run}/csv").text for run in (some, none)]
    assert texts[1] == texts[0].splitlines(keepends=True)[0]
    assert texts[1].startswith("number,entry_time,")


def test_runs_are_compared_listed_and_deleted(web: TestClient, stored: Database, dagster: FakeDagster) -> None:
    one, other = post(web)["id"], post(web, direction="long")["id"]
    work(stored, dagster)
    together = get(web, "/compare", ids=f"{one},{other}")
    schemas.BacktestComparison.model_validate(together)
    metrics = [get(web, f"/{run}")["results"]["metrics"] for run in (one, other)]
    assert together["metrics"]["total_return"] == [found["total_return"] for found in metrics]
    assert metrics[0] != metrics[1]

    listed = schemas.BacktestsPage.model_validate(get(web))
    assert [str(run.id) for run in listed.data] == [one, other]
    assert get(web, symbol="BTCUSDT.BINANCE")["count"] == 0
    assert get(web, status="failed")["count"] == 0

    assert web.delete(f"{API}/{one}").json() == {"deleted": one}
    assert web.get(f"{API}/{one}").status_code == 404
    assert web.delete(f"{API}/{one}").status_code == 404
    assert web.get(f"{API}/{one}/trades").status_code == 404
    with stored.rows() as connection:
        left = connection.execute(
            "SELECT DISTINCT backtest_id::text AS id FROM decisions WHERE backtest_id IS NOT NULL"
        )
        assert [row["id"] for row in left] == [other]
    assert read_run(stored, other).status == "done"


def test_a_comparison_takes_two_different_runs(web: TestClient) -> None:
    one = post(web)["id"]
    for ids in (one, f"{one},{one}", ",".join(str(uuid.uuid4()) for _ in range(21))):
        answer = web.get(f"{API}/compare", params={"ids": ids})
        problem = ErrorBody.model_validate(answer.json()).detail[0]
        assert (answer.status_code, problem.field) == (422, "ids")
        assert "two different ids are needed, 20 at most are taken" in problem.message


@pytest.mark.parametrize(
    "path", ["/x", "/x/trades", "/x/equity", "/x/decisions", "/x/csv", "/compare?ids=x", "?group=x"]
)
def test_what_is_no_id_is_said_so(web: TestClient, path: str) -> None:
    answer = web.get(f"{API}{path}")
    assert answer.status_code == 422
    assert "is not an id of backtests" in ErrorBody.model_validate(answer.json()).detail[0].message


def test_decisions_of_runs_are_not_among_the_logged_ones(
    web: TestClient, stored: Database, dagster: FakeDagster
) -> None:
    before = web.get(f"/api/v1/decisions?symbol={SYMBOL}&interval=37m").json()["data"]
    post(web)
    work(stored, dagster)
    assert web.get(f"/api/v1/decisions?symbol={SYMBOL}&interval=37m").json()["data"] == before
