"""The clean-up of Dagster's event log, which would grow by a gigabyte a year: nothing else ever removes a row of it.

What says what an asset is stays for ever: materialisations, observations and check evaluations. What said how an old
run went, step by step, goes, with what its steps printed. The run itself stays, with its status, tags and times.
Belongs here: rows of Dagster's own database. Does not belong here: candles, which nobody removes.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg
import psycopg

from btc_pipeline.defs.resources import PipelineResource
from btc_pipeline.storage.address import DAGSTER_DATABASE, database_uri
from btc_pipeline.storage.connection import Database

CLEAN_EVENT_LOG: Final = "clean_event_log"
KEPT_DAYS: Final = 30
BATCH_ROWS: Final = 10_000
"""Rows a transaction: others write to the table meanwhile."""

KEPT_EVENTS: Final = ("ASSET_MATERIALIZATION", "ASSET_OBSERVATION", "ASSET_CHECK_EVALUATION")

# Of runs that are over, or gone: one at work needs its events, however old. Events without a run are about assets.
DELETE_BATCH: Final = """
WITH batch AS (
    SELECT e.id, e.run_id FROM event_logs e LEFT JOIN runs r ON r.run_id = e.run_id
    WHERE e.id > %(after)s AND e.timestamp < %(before)s AND e.run_id <> ''
      AND (e.dagster_event_type IS NULL OR e.dagster_event_type <> ALL (%(kept)s))
      AND (r.run_id IS NULL OR r.status IN ('SUCCESS', 'FAILURE', 'CANCELED'))
    ORDER BY e.id LIMIT %(rows)s
), gone AS (
    DELETE FROM event_logs USING batch WHERE event_logs.id = batch.id
)
SELECT count(*) AS rows, max(id) AS last, coalesce(array_agg(DISTINCT run_id), '{}') AS runs FROM batch
"""


def build_retention() -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """The job, and the schedule that runs it every day."""

    @dg.op(name="remove_old_events")
    def remove_old_events(context: dg.OpExecutionContext, pipeline: PipelineResource) -> None:
        before = datetime.now(UTC) - timedelta(days=KEPT_DAYS)
        database = Database(database_uri(pipeline.settings, DAGSTER_DATABASE))
        with database.rows(autocommit=True) as connection:
            rows, runs = delete_old_events(connection, before)
        for run in runs:
            context.instance.compute_log_manager.delete_logs(prefix=[run])
        context.log.info(f"removed {rows:,} events of {len(runs):,} runs from before {before:%Y-%m-%d %H:%M} UTC")

    @dg.job(
        name=CLEAN_EVENT_LOG,
        description=(
            f"Removes what runs logged more than {KEPT_DAYS} days ago from Dagster's own database. Materialisations, "
            "observations and check evaluations stay, and the runs themselves."
        ),
    )
    def clean_event_log() -> None:
        remove_old_events()

    schedule = dg.ScheduleDefinition(
        name=CLEAN_EVENT_LOG,
        job=clean_event_log,
        cron_schedule="40 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night.",
    )
    return clean_event_log, schedule


def delete_old_events(
    connection: psycopg.Connection[dict[str, Any]], before: datetime, batch_rows: int = BATCH_ROWS
) -> tuple[int, set[str]]:
    """Removes what finished runs logged before a moment, batch by batch; how many rows, and of which runs.

    Args:
        connection: to Dagster's database, in autocommit.
    """
    rows, after = 0, 0
    runs: set[str] = set()
    # Dagster writes UTC without a zone.
    parameters = {"before": before.astimezone(UTC).replace(tzinfo=None), "kept": list(KEPT_EVENTS), "rows": batch_rows}
    while True:
        done = connection.execute(DELETE_BATCH, {**parameters, "after": after}).fetchone()
        if done is None or not done["rows"]:
            return rows, runs
        rows += done["rows"]
        runs.update(done["runs"])
        after = done["last"]
