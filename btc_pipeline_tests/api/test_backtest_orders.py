"""Orders for what was made or asked for already: answered with the runs there are, under a group that leads to them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from api.schemas import ErrorBody
from btc_pipeline.storage import backtest_statements as statements
from btc_pipeline.storage.backtests import RunLog, read_run
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.api.backtest_web import API, get, post, rows, work
from btc_pipeline_tests.api.fake_dagster import FakeDagster


def ids(web: TestClient, group: str) -> list[str]:
    return [one["id"] for one in get(web, group=group)["data"]]


def told(answer: dict[str, Any]) -> list[tuple[str, bool, bool]]:
    return [(one["status"], one["from_store"], one["joined"]) for one in answer["data"]]


def test_an_equal_order_is_answered_with_the_run_that_waits_or_runs(
    web: TestClient, stored: Database, dagster: FakeDagster
) -> None:
    first = post(web)
    assert told(first) == [("queued", False, False)]
    again = post(web)
    assert (again["id"], again["group_id"], told(again)) == (
        first["id"], first["group_id"], [("queued", False, True)],
    )  # fmt: skip
    with RunLog.running(stored, read_run(stored, first["id"]).id):
        again = post(web, strategy="ma", intervals=["37m"])
        assert (again["id"], told(again)) == (first["id"], [("running", False, True)])
        other = post(web, parameters={"period": 6})
        assert (other["id"] == first["id"], told(other)) == (False, [("queued", False, False)])
    assert len(dagster.launched) == rows(stored) == 2


def test_of_two_orders_in_the_same_moment_one_is_run(
    web: TestClient, stored: Database, dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = post(web)
    # Neither sees the other's row when it looks.
    monkeypatch.setattr(statements, "BUSY_BY_LOOKUP_KEY", "SELECT id, status FROM backtest_runs WHERE $1 = ''")
    again = post(web)
    assert (again["id"], again["group_id"], told(again)) == (
        first["id"], first["group_id"], [("queued", False, True)],
    )  # fmt: skip
    assert len(dagster.launched) == rows(stored) == 1


def test_a_run_that_waits_is_given_without_dagster(web: TestClient, dagster: FakeDagster) -> None:
    first = post(web)
    dagster.away = True
    assert post(web)["id"] == first["id"]
    assert web.post(API, json={"start_date": "2016-01-01", "symbol": "BTCUSD.BITFINEX"}).status_code == 503
    assert ids(web, first["group_id"]) == [first["id"]]


def test_after_one_that_failed_an_equal_order_is_a_new_run(
    web: TestClient, stored: Database, dagster: FakeDagster
) -> None:
    first = post(web)
    with pytest.raises(ZeroDivisionError), RunLog.running(stored, read_run(stored, first["id"]).id):
        raise ZeroDivisionError
    second = post(web)
    assert (second["id"] == first["id"], told(second)) == (False, [("queued", False, False)])
    assert len(dagster.launched) == 2


def test_a_run_that_was_never_launched_is_failed_after_a_minute_and_stands_in_nobodys_way(
    web: TestClient, stored: Database
) -> None:
    first = post(web)["id"]
    with stored.rows() as connection:
        connection.execute("UPDATE backtest_runs SET dagster_run_id = NULL")
    assert post(web)["id"] == first
    with stored.rows() as connection:
        connection.execute("UPDATE backtest_runs SET created_at = now() - interval '61 seconds'")
    assert post(web)["id"] != first
    gone = get(web, f"/{first}")
    assert (gone["status"], gone["message"]) == (
        "failed",
        "the process that asked for it ended before it was launched; launch it again",
    )


def test_a_group_leads_to_the_runs_from_the_store_too(web: TestClient, stored: Database, dagster: FakeDagster) -> None:
    one = post(web)
    work(stored, dagster)
    both = post(web, intervals=["148m", "37m"])
    assert told(both) == [("queued", False, False), ("done", True, False)]
    assert set(ids(web, both["group_id"])) == {one["id"], both["id"]}
    assert ids(web, one["group_id"]) == [one["id"]]
    third = post(web, intervals=["37m", "148m", "1h"])
    assert told(third) == [("done", True, False), ("queued", False, True), ("queued", False, False)]
    assert {run["id"] for run in third["data"]} == set(ids(web, third["group_id"]))

    assert post(web, intervals=["37m"])["group_id"] == one["group_id"]
    assert post(web, intervals=["37m", "148m"])["group_id"] == both["group_id"]
    apart = post(web, intervals=["148m", "1h"])
    assert {run["id"] for run in apart["data"]} == set(ids(web, apart["group_id"]))
    assert post(web, intervals=["1h", "148m"])["group_id"] == apart["group_id"]

    assert web.delete(f"{API}/{one['id']}").status_code == 200
    assert ids(web, both["group_id"]) == [both["id"]]


def test_a_groups_id_in_a_runs_place_is_answered_with_where_its_runs_are(web: TestClient, stored: Database) -> None:
    one = post(web)
    both = post(web, intervals=["37m", "148m"])
    joined = post(web, intervals=["37m", "148m", "1h"])["group_id"]
    with stored.rows() as connection:
        connection.execute("DELETE FROM backtest_runs WHERE group_id = %s", (joined,))
    for group in (one["group_id"], both["group_id"], joined):
        for path in ("", "/trades", "/csv"):
            answer = web.get(f"{API}/{group}{path}")
            assert answer.status_code == 404
            assert ErrorBody.model_validate(answer.json()).detail[0].message == (
                f"{group} is the id of a group, not of a run: GET /api/v1/backtests?group={group} lists its runs."
            )
