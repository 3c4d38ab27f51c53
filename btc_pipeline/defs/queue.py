"""Dagster's run queue, and the lane in it that backtests and sweeps wait in.

Belongs here: what the web server and the daemon load with `dagster_home/dagster.yaml`; it imports nothing that they
would not load without it.
"""

from __future__ import annotations

from typing import Final

import dagster as dg
from dagster import QueuedRunCoordinator
from dagster._core.run_coordinator import SubmitRunContext

LANE_TAG: Final = "btc_pipeline/lane"
BACKTESTS: Final = "backtests"
"""The asset, its group, and the operation whose configuration is a request."""
BACKTEST: Final = "backtest"
"""The job, and its runs' lane."""
SWEEP_ROWS: Final = "sweep_rows"
"""The asset, and the operation whose configuration says what is swept."""

# A run that was killed is failed, and launched again by who wants it: what killed it would kill it again.
RUN_TAGS: Final = {LANE_TAG: BACKTEST, "dagster/max_retries": "0"}

_IN_LANE: Final = frozenset({dg.AssetKey(BACKTESTS), dg.AssetKey(SWEEP_ROWS)})


class LaneRunCoordinator(QueuedRunCoordinator):
    """Dagster's own, but for the tags of runs that materialise backtests or sweeps.

    Jobs tag their runs. Those that somebody launches from an asset's page, backfills above all, are of no job of ours,
    and assets have no tags that their runs would take over.
    """

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Puts a run into the queue."""
        run = context.dagster_run
        if not _IN_LANE.isdisjoint(run.asset_selection or ()):
            self._instance.add_run_tags(run.run_id, RUN_TAGS)
        return super().submit_run(context)
