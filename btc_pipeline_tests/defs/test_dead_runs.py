"""Runs whose command was killed do not stay in the way."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import dagster as dg
import pytest

from btc_pipeline.defs.launch import PROCESS_TAG, fail_dead_runs

HERE = socket.gethostname()


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("process", "status"),
    [
        (lambda: f"{HERE}/{ended_process()}", dg.DagsterRunStatus.FAILURE),
        (lambda: f"{HERE}/{os.getpid()}", dg.DagsterRunStatus.STARTED),
        (lambda: f"elsewhere/{ended_process()}", dg.DagsterRunStatus.STARTED),
        (None, dg.DagsterRunStatus.STARTED),
    ],
    ids=["killed", "running", "of another machine", "not of the command"],
)
def test_only_a_run_whose_command_is_gone_from_this_machine_is_failed(process, status) -> None:
    @dg.job
    def empty() -> None:
        pass

    tags = {} if process is None else {PROCESS_TAG: process()}
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED, tags=tags)
        fail_dead_runs(instance)
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status == status
