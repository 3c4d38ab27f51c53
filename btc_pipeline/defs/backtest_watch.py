"""The watch over backtests: a run's row does not wait for a Dagster run that has ended without it."""

from __future__ import annotations

from typing import Any, Final

import dagster as dg

from btc_pipeline.defs.processes import fail_dead_runs
from btc_pipeline.settings import Settings
from btc_pipeline.storage.address import database_uri
from btc_pipeline.storage.connection import Database

WATCH_SECONDS: Final = 15

BUSY: Final = """
SELECT id, dagster_run_id FROM backtest_runs WHERE status IN ('queued', 'running') AND dagster_run_id IS NOT NULL
"""
_WORDS: Final = {
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "was cancelled",
    dg.DagsterRunStatus.SUCCESS: "ended without a result",
}


def build_backtest_watch(settings: Settings) -> dg.SensorDefinition:
    """The sensor."""

    @dg.sensor(
        name="backtest_watch",
        minimum_interval_seconds=WATCH_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails backtests, in words, whose Dagster run failed, was cancelled, killed or deleted.",
    )
    def backtest_watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        fail_dead_runs(context.instance)
        failed = fail_ended(context.instance, Database(database_uri(settings)))
        return dg.SkipReason("; ".join(failed) or "no backtest waits for a run that has ended")

    return backtest_watch


def fail_ended(instance: dg.DagsterInstance, database: Database) -> list[str]:
    """Fails the backtests whose Dagster run is over; says which, and why."""
    from btc_pipeline.storage.backtests import fail_run

    with database.rows() as connection:
        busy: list[dict[str, Any]] = connection.execute(BUSY).fetchall()
    told = []
    for row in busy:
        words = _ended(instance, row["dagster_run_id"])
        if words is not None and fail_run(database, row["id"], words):
            told.append(f"backtest {row['id']}: {words}")
    return told


def _ended(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """How a Dagster run ended, in words; None while it has not."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        return None
    how = "is gone" if run is None else _WORDS[run.status]
    return f"its Dagster run {run_id} {how} before it was done; launch it again"
