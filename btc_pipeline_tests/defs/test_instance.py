"""Dagster's instance as `dagster_home/dagster.yaml` and `dagster_environment` make it: on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import SubmitRunContext

from btc_pipeline.defs.build import build_definitions
from btc_pipeline.defs.environment import FAST_RANGES, dagster_environment
from btc_pipeline.defs.launch import run_in_process
from btc_pipeline.defs.queue import LaneRunCoordinator
from btc_pipeline.errors import UserError
from btc_pipeline.pipeline.refresh import Report
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.databases import with_database
from btc_pipeline_tests.defs.worlds import DAYS, FIRST, OTHER, SYMBOL


@pytest.fixture
def settings(world: Database) -> Iterator[Settings]:
    settings = load_settings()
    yield settings
    os.environ.clear()


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    os.environ.update(dagster_environment(settings))
    with dg.DagsterInstance.get() as instance:
        yield instance


def test_everything_is_stored_in_postgresql_through_psycopg2(instance: dg.DagsterInstance) -> None:
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        assert type(storage).__name__.startswith("Postgres"), storage
        assert storage.postgres_url.startswith("postgresql+psycopg2://"), storage  # type: ignore[union-attr]
        assert "/dagster?" in storage.postgres_url  # type: ignore[union-attr]


def test_runs_are_limited_queued_and_watched(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_coordinator, LaneRunCoordinator)
    assert instance.run_coordinator.dequeue_interval_seconds == 2
    assert instance.run_coordinator.dequeue_use_threads
    config = instance.get_concurrency_config().run_queue_config
    assert config is not None
    assert config.max_concurrent_runs == 3
    assert {(limit["key"], limit.get("value")): limit["limit"] for limit in config.tag_concurrency_limits} == {
        ("btc_pipeline/lane", "live"): 1,
        ("btc_pipeline/lane", "backtest"): 2,
        ("dagster/backfill", None): 1,
    }
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert not instance.run_retries_max_retries > 1


@pytest.mark.parametrize(
    ("assets", "in_lane"),
    [({"backtests"}, True), ({"sweep_rows", "candles_1m"}, True), ({"candles_1m"}, False), (None, False)],
)
def test_runs_of_backtests_are_in_their_lane_whoever_launches_them(
    instance: dg.DagsterInstance, assets: set[str] | None, in_lane: bool
) -> None:
    selection = None if assets is None else frozenset(map(dg.AssetKey, assets))
    # As a backfill from an asset's page: of no job of ours.
    run = instance.create_run_for_job(
        build_definitions().resolve_implicit_global_asset_job_def(),
        asset_selection=selection,
        tags={"dagster/backfill": "abc"},
        remote_job_origin=RemoteJobOrigin(
            RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__"), "__ASSET_JOB"
        ),
    )
    queued = instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=None))  # type: ignore[arg-type]
    assert queued.status == dg.DagsterRunStatus.QUEUED
    assert (queued.tags.get("btc_pipeline/lane"), queued.tags.get("dagster/max_retries")) == (
        ("backtest", "0") if in_lane else (None, None)
    )
    assert queued.tags["dagster/backfill"] == "abc"


def test_the_run_queue_brings_nothing_of_the_pipeline_into_the_daemon() -> None:
    script = (
        "import dagster, sys, btc_pipeline.defs.queue\n"
        "print(*sorted(name for name in sys.modules if name.startswith('btc_pipeline.')))"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert told.stdout.split() == ["btc_pipeline.defs", "btc_pipeline.defs.queue"]


def test_ticks_are_purged_and_nobody_is_told(instance: dg.DagsterInstance) -> None:
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import TickStatus

    for kind in (InstigatorType.SCHEDULE, InstigatorType.SENSOR):
        kept = instance.get_tick_retention_settings(kind)
        assert all(0 < kept[status] <= 30 for status in (TickStatus.SKIPPED, TickStatus.FAILURE, TickStatus.SUCCESS))
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled


def test_files_of_runs_are_kept_in_the_data_folder(instance: dg.DagsterInstance, settings: Settings) -> None:
    assert Path(instance.storage_directory()).is_relative_to(settings.data_dir)
    assert Path(os.environ["DAGSTER_HOME"], "dagster.yaml").is_file()
    assert all(os.environ[name] == value for name, value in FAST_RANGES.items())


def test_a_run_of_the_command_line_is_one_that_the_ui_shows(settings: Settings) -> None:
    heard: list[Report] = []
    days = range(FIRST, FIRST + DAYS)
    outcome = run_in_process(settings, days, [SYMBOL, OTHER], ["candles_1m", "candles_37m"], heard.append)
    assert outcome.error is None
    assert [(report.asset, report.symbol) for report in heard] == [
        (asset, symbol) for asset in ("candles_1m", "candles_37m") for symbol in (SYMBOL, OTHER)
    ]
    gaps, jump = outcome.failed_checks
    assert (
        gaps
        == f"candles_1m coverage: {SYMBOL}: 120 minutes missing in 1 gaps; {OTHER}: every minute is present or quiet"
    )
    assert jump.startswith(f"candles_1m continuity_across_midnight: {SYMBOL}: 1 midnights with a jump above 5 %; ")
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(outcome.run_id)
        assert run is not None
        assert (run.job_name, run.status) == ("materialize", dg.DagsterRunStatus.SUCCESS)
        assert instance.get_materialized_partitions(dg.AssetKey("candles_37m")) >= {"2016-01-01", "2016-01-04"}
        assert instance.get_materialized_partitions(dg.AssetKey("candles_37m")) == {
            f"2016-01-{day:02}" for day in range(1, DAYS + 1)
        }


def test_a_failed_run_of_the_command_line_says_why_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ValueError("no bars\n  [today]")

    monkeypatch.setattr("btc_pipeline.pipeline.chain.refresh_minutes", lambda *_, **__: explode())
    outcome = run_in_process(settings, range(FIRST, FIRST + 1), [SYMBOL], ["candles_1m"], lambda _: None)
    assert outcome.error == "ValueError: no bars [today]"
    wrong = run_in_process(settings, range(FIRST, FIRST + 1), ["NOBODY.HERE"], ["candles_1m"], lambda _: None)
    assert wrong.error is not None
    assert wrong.error.startswith("symbol 'NOBODY.HERE' has no data here")


def test_dagsters_database_is_made_where_the_server_is_the_users_own(settings: Settings, server_uri: str) -> None:
    with psycopg.connect(with_database(server_uri, "postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS dagster WITH (FORCE)")
    for _ in range(2):
        uri = dagster_environment(settings)["BTC_PIPELINE_DAGSTER_STORAGE"]
    with psycopg.connect(uri.replace("+psycopg2", "")) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("dagster",)


def test_a_server_that_does_not_answer_is_said_in_one_line(own_settings: None) -> None:
    settings = load_settings(db_host="127.0.0.1", db_port=1, db_password="hunter2")
    with pytest.raises(UserError, match="the database does not answer") as refused:
        dagster_environment(settings)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)
