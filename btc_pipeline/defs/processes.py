"""Which process a run lives in, and what becomes of runs whose process is gone: nobody else notices its death.

Dagster's launcher cannot say whether a run's process lives. A run that was killed counts as started for ever, and
holds its place in the queue: after a power cut the live lane would stand still.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    import dagster as dg

PROCESS_TAG: Final = "btc_pipeline/process"
"""HOST/PID/SECONDS/RUN: the process, when it began (since 1970-01-01), and the run that says so.

Dagster gives a run that it tries again the tags of the one before, whose process is gone.
"""

_SAME_START_SECONDS: Final = 5


def this_process(run_id: str = "") -> str:
    """What the tag of a run in this process says."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.0f}/{run_id}"


def fail_dead_runs(instance: dg.DagsterInstance) -> None:
    """Marks runs failed whose process on this machine is gone."""
    import dagster as dg

    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    for run in instance.get_runs(started):
        host, pid, began, run_id = [*run.tags.get(PROCESS_TAG, "").split("/"), "", "", ""][:4]
        if host == socket.gethostname() and run_id in {"", run.run_id} and not _lives(int(pid), began):
            instance.report_run_failed(run, "the process that ran it was killed")


def _lives(pid: int, began: str) -> bool:
    """Whether that process runs; its number alone may be another's by now, above all in a container."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return False
    return not began or abs(process.create_time() - int(began)) <= _SAME_START_SECONDS
