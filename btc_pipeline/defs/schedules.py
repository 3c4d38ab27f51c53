"""Schedules: the nightly look at the last two days."""

from __future__ import annotations

from typing import Final

import dagster as dg

from btc_pipeline.defs.jobs import MATERIALIZE
from btc_pipeline.defs.partitions import range_tags
from btc_pipeline.storage.times import to_day

NIGHTLY_DAYS: Final = 2


@dg.schedule(
    job_name=MATERIALIZE,
    cron_schedule="20 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=f"Re-materialises the last {NIGHTLY_DAYS} closed days, shortly after midnight UTC.",
)
def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run over the last closed days, what came late included."""
    day = to_day(context.scheduled_execution_time.date())
    return dg.RunRequest(tags=range_tags(range(day - NIGHTLY_DAYS, day)))
