"""Asking the API for backtests, and doing what Dagster would."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from api import backtest_schemas as schemas
from btc_pipeline.pipeline.backtests import BacktestRequest, run_backtest
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.api.conftest import NOW, SYMBOL, settings_for
from btc_pipeline_tests.api.fake_dagster import FakeDagster

API = "/api/v1/backtests"
ORDER = {
    "symbol": SYMBOL,
    "intervals": ["37m"],
    "start_date": "2016-01-01",
    "strategy": "ma",
    "parameters": {"period": 5},
}


def get(web: TestClient, path: str = "", **parameters: object) -> dict[str, Any]:
    answer = web.get(f"{API}{path}", params=parameters)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def post(web: TestClient, **changes: Any) -> dict[str, Any]:
    answer = web.post(API, json={**ORDER, **changes})
    assert answer.status_code == 202, answer.text
    schemas.BacktestsAccepted.model_validate(answer.json())
    content: dict[str, Any] = answer.json()
    return content


def work(stored: Database, dagster: FakeDagster) -> None:
    """Does what the launched runs would."""
    for launched in dagster.launched:
        config = dict(launched["runConfigData"]["ops"]["backtests"]["config"])
        run = config.pop("backtest_id")
        run_backtest(stored, settings_for(stored), BacktestRequest.of(config), backtest_id=run, now=NOW)


def rows(stored: Database) -> int:
    with stored.rows() as connection:
        found = connection.execute("SELECT count(*) AS n FROM backtest_runs").fetchone()
    assert found is not None
    return int(found["n"])
