"""The clean-up of Dagster's event log, on an instance as the product has it: on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from btc_pipeline.defs.build import build_definitions
from btc_pipeline.defs.environment import FILES, dagster_environment
from btc_pipeline.defs.launch import run_in_process
from btc_pipeline.defs.retention import CLEAN_EVENT_LOG, KEPT_DAYS, delete_old_events
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.address import DAGSTER_DATABASE, database_uri
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.defs.worlds import FIRST, SYMBOL

ASSETS = ["candles_1m", "candles_37m"]
MINUTES = dg.AssetKey("candles_1m")
KEPT = {"ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", "ASSET_OBSERVATION"}


@pytest.fixture
def settings(world: Database) -> Settings:
    return load_settings()


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    os.environ.update(dagster_environment(settings))
    with dg.DagsterInstance.get() as instance:
        # Tests share a server, and so Dagster's database.
        instance.wipe()
        yield instance


@pytest.fixture
def events(instance: dg.DagsterInstance, settings: Settings) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection to Dagster's database."""
    with Database(database_uri(settings, DAGSTER_DATABASE)).rows(autocommit=True) as connection:
        yield connection


def run(settings: Settings) -> str:
    outcome = run_in_process(settings, range(FIRST, FIRST + 1), [SYMBOL], ASSETS, lambda _: None)
    assert outcome.error is None
    return outcome.run_id


def age(connection: psycopg.Connection[dict[str, Any]], run_id: str, days: int) -> None:
    """As if all that a run logged had been so long ago."""
    connection.execute(
        "UPDATE event_logs SET timestamp = timestamp - %s * interval '1 day' WHERE run_id = %s", (days, run_id)
    )


def logged(connection: psycopg.Connection[dict[str, Any]], run_id: str) -> set[str | None]:
    rows = connection.execute("SELECT DISTINCT dagster_event_type AS type FROM event_logs WHERE run_id = %s", (run_id,))
    return {row["type"] for row in rows}


def clean(settings: Settings) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def(CLEAN_EVENT_LOG)
    with dg.DagsterInstance.get() as instance:
        return job.execute_in_process(instance=instance)


def test_old_steps_go_and_what_assets_are_stays(
    settings: Settings, instance: dg.DagsterInstance, events: psycopg.Connection[dict[str, Any]]
) -> None:
    old, recent = run(settings), run(settings)
    age(events, old, KEPT_DAYS + 1)
    before = instance.fetch_materializations(MINUTES, limit=10).records
    checks = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(MINUTES, "coverage"), limit=10
    )
    assert {"STEP_START", "STEP_SUCCESS", "PIPELINE_START", None} <= logged(events, old)
    recently = logged(events, recent)

    assert clean(settings).success

    assert logged(events, old) <= KEPT
    assert "ASSET_MATERIALIZATION" in logged(events, old)
    assert logged(events, recent) == recently
    after = instance.fetch_materializations(MINUTES, limit=10).records
    assert [(one.storage_id, one.run_id) for one in after] == [(one.storage_id, one.run_id) for one in before]
    assert {one.run_id for one in after} == {old, recent}
    assert (
        instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(MINUTES, "coverage"), limit=10)
        == checks
    )
    assert instance.get_materialized_partitions(MINUTES) == {"2016-01-01"}
    kept = instance.get_run_by_id(old)
    assert kept is not None
    assert kept.status == dg.DagsterRunStatus.SUCCESS


def test_the_last_materialisation_may_be_an_old_one(
    settings: Settings, instance: dg.DagsterInstance, events: psycopg.Connection[dict[str, Any]]
) -> None:
    old = run(settings)
    age(events, old, 400)
    before = instance.get_latest_materialization_events([MINUTES])[MINUTES]
    assert clean(settings).success
    after = instance.get_latest_materialization_events([MINUTES])[MINUTES]
    assert before is not None
    assert after is not None
    assert (after.run_id, after.asset_materialization) == (old, before.asset_materialization)


def test_a_run_at_work_keeps_its_events_however_old(
    settings: Settings, instance: dg.DagsterInstance, events: psycopg.Connection[dict[str, Any]]
) -> None:
    at_work = run(settings)
    age(events, at_work, KEPT_DAYS + 1)
    events.execute("UPDATE runs SET status = 'STARTED' WHERE run_id = %s", (at_work,))
    before = logged(events, at_work)
    assert clean(settings).success
    assert logged(events, at_work) == before


def test_batches_cover_everything_and_events_of_deleted_runs_go_too(
    settings: Settings, instance: dg.DagsterInstance, events: psycopg.Connection[dict[str, Any]]
) -> None:
    old, deleted = run(settings), run(settings)
    for one in (old, deleted):
        age(events, one, 5)
    events.execute("DELETE FROM run_tags WHERE run_id = %s", (deleted,))
    events.execute("DELETE FROM runs WHERE run_id = %s", (deleted,))
    statement = (
        "SELECT count(*) AS n FROM event_logs WHERE dagster_event_type IS NULL OR dagster_event_type <> ALL (%s)"
    )
    row = events.execute(statement, (list(KEPT),)).fetchone()
    assert row is not None
    before = datetime.now(UTC) - timedelta(days=4)
    assert delete_old_events(events, before, batch_rows=3) == (row["n"], {old, deleted})
    assert row["n"] > 30
    assert delete_old_events(events, before, batch_rows=3) == (0, set())


def test_what_old_steps_printed_goes(
    settings: Settings, instance: dg.DagsterInstance, events: psycopg.Connection[dict[str, Any]]
) -> None:
    old, recent = run(settings), run(settings)
    age(events, old, KEPT_DAYS + 1)
    folder = Path(os.environ[FILES])
    for one in (old, recent):
        (folder / one / "compute_logs").mkdir(parents=True, exist_ok=True)
        (folder / one / "compute_logs" / "abc.out").write_text("printed")
    assert clean(settings).success
    assert not (folder / old).exists()
    assert (folder / recent / "compute_logs" / "abc.out").read_text() == "printed"
