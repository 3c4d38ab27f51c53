"""The nightly schedule, and a backfill as the daemon makes runs of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget, create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.backfill import execute_backfill_iteration

from btc_pipeline.defs.build import build_definitions
from btc_pipeline.defs.partitions import daily_partitions
from btc_pipeline.defs.schedules import nightly
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.defs.worlds import SMALL

ID = "abcdefgh"
Backfill = tuple[dg.DagsterInstance, Callable[[], None], Callable[[], None]]
IN_THIS_PROCESS = {
    "module": "dagster._core.launcher.sync_in_memory_run_launcher",
    "class": "SyncInMemoryRunLauncher",
}


@pytest.mark.parametrize(
    ("tick", "first", "last"),
    [("2016-03-02T00:20", "2016-02-29", "2016-03-01"), ("2026-01-01T00:20", "2025-12-30", "2025-12-31")],
)
def test_the_nightly_run_covers_the_last_two_closed_days(own_settings: None, tick: str, first: str, last: str) -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime.fromisoformat(tick).replace(tzinfo=UTC))
    data = nightly.evaluate_tick(context)
    (request,) = data.run_requests or []
    assert request.run_key is None, "a failed night must not keep the next one from being asked for"
    assert request.tags["dagster/asset_partition_range_start"] == first
    assert request.tags["dagster/asset_partition_range_end"] == last


def test_the_schedules_run_their_jobs_without_being_switched_on(own_settings: None) -> None:
    definitions = build_definitions()
    schedules = list(definitions.schedules or [])
    jobs = {job.name for job in definitions.resolve_all_job_defs()}
    for schedule in schedules:
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        assert schedule.job_name in jobs
    assert [schedule.name for schedule in schedules] == ["nightly", "clean_event_log"]


@contextmanager
def backfill(keys: list[str]) -> Iterator[Backfill]:
    """An instance with a backfill of the chain over those days, the daemon's next look at it, and at its queue."""
    target = InProcessTestWorkspaceLoadTarget(
        InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="btc_pipeline.definitions"))
    )
    with (
        dg.instance_for_test(overrides={"run_launcher": IN_THIS_PROCESS}) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        graph = workspace.create_request_context().asset_graph
        # Backtests have partitions of their own, and a configuration.
        assets = sorted(key for key in graph.get_all_asset_keys() if key.to_user_string() in SMALL)
        instance.add_backfill(
            PartitionBackfill.from_asset_partitions(
                ID, graph, keys, assets, time.time(), {}, instance, False, None, None, None
            )
        )

        def look() -> None:
            errors = execute_backfill_iteration(workspace, logging.getLogger("dagster.backfill"))
            assert [error for error in errors if error] == []

        def launch() -> None:
            for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])):
                instance.launch_run(run.run_id, workspace.create_request_context())

        yield instance, look, launch


def test_a_backfill_up_to_today_is_one_run_of_the_whole_chain(own_settings: None) -> None:
    partitions = daily_partitions(date(2026, 1, 1))
    keys = list(partitions.get_partition_keys())[-30:]
    with backfill(keys) as (instance, look, _):
        look()
        look()
        (run,) = instance.get_runs()
    assert run.tags["dagster/asset_partition_range_start"] == keys[0]
    assert run.tags["dagster/asset_partition_range_end"] == keys[-1]
    assert {key.to_user_string() for key in run.asset_selection or ()} == set(SMALL)


def test_a_backfill_in_the_past_goes_in_waves_and_reaches_what_depends_on_its_days(world: Database) -> None:
    keys = ["2016-01-01", "2016-01-02"]
    with backfill(keys) as (instance, look, launch):
        for _ in range(8):
            look()
            launch()
            found = instance.get_backfill(ID)
            assert found is not None
            if found.status == BulkActionStatus.COMPLETED_SUCCESS:
                break
        assert found.status == BulkActionStatus.COMPLETED_SUCCESS
        runs = [{key.to_user_string() for key in run.asset_selection or ()} for run in reversed(instance.get_runs())]
        days = {name: instance.get_materialized_partitions(dg.AssetKey(name)) for name in SMALL}
    assert runs == [{"candles_1m", "candles_other"}, {"candles_37m"}, {"indicators_37m", "decisions_37m"}]
    assert days["candles_1m"] == days["candles_other"] == set(keys)
    assert days["candles_37m"] == {*keys, "2016-01-03"}, "its first bar crosses midnight"
    assert days["decisions_37m"] >= days["indicators_37m"] >= days["candles_37m"]
    with world.rows() as connection:
        rows = connection.execute("SELECT count(*) AS n FROM current_decisions GROUP BY symbol").fetchall()
    assert len(rows) == 2
    assert all(row["n"] >= 38 for row in rows)
