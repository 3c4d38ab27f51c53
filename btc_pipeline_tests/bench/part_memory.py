"""Memory: every process under `btc-pipeline up`, idle and during a run over both years, launched as the UI does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.up import ask_dagster, asset_nodes, up
from btc_pipeline_tests.bench.workspace import IMPORTED, Workspace

ASKED: Final = 1.5e9
SETTLE_SECONDS: Final = 10
RUN_SECONDS: Final = 240
SAMPLE_SECONDS: Final = 0.5
ASK_SECONDS: Final = 3
DAYS: Final = [(date(2015, 1, 1) + timedelta(days=day)).isoformat() for day in range(731)]

BACKFILL: Final = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
BACKFILL_STATE: Final = """
query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status runs(limit: 50) { status assetSelection { path } } }
  }
}
"""
JOB: Final = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
JOB_STATE: Final = """
query ($id: ID!) {
  runOrError(runId: $id) { ... on Run { status assetSelection { path } } }
}
"""
DONE: Final = ("SUCCESS", "FAILURE", "CANCELED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED")

Sample = dict[str, int]
"""PSS in bytes by process."""
Ask = Callable[[httpx.Client], tuple[str, list[list[str]]]]
"""How it stands: status, and the assets of each run."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Both years made once: before it began, when all together was highest, and each process's own highest."""

    idle: Sample
    peak: Sample
    highest: Sample
    runs: list[list[str]]

    @property
    def most(self) -> int:
        return max(sum(self.idle.values()), sum(self.peak.values()))

    def lines(self) -> Iterator[str]:
        """A table, a process a line."""
        names = sorted(self.highest, key=lambda name: -self.peak.get(name, 0))
        width = max(map(len, names))
        yield f"{'MB':<{width}}  {'idle':>6}  {'at the peak':>11}  {'own highest':>11}"
        for name in names:
            cells = (_mb(self.idle, name), _mb(self.peak, name), _mb(self.highest, name))
            yield f"{name:<{width}}  {cells[0]:>6}  {cells[1]:>11}  {cells[2]:>11}"
        sizes = ", ".join(str(len(assets)) for assets in self.runs)
        yield f"{len(self.runs)} runs, of so many assets: {sizes}; sampled every {SAMPLE_SECONDS} s"


def run(space: Workspace) -> list[Figure]:
    job = _watch(space, _launch_job)
    backfill = _watch(space, _launch_backfill)
    return [
        _figure("memory: every process under `make run` (PSS), idle and during the range run", job),
        _figure("the same, launched as a backfill of all assets", backfill),
    ]


def _figure(name: str, watched: Watched) -> Figure:
    idle, peak = sum(watched.idle.values()), sum(watched.peak.values())
    return Figure(
        name,
        f"idle {idle / 1e9:.2f} GB, peak {peak / 1e9:.2f} GB",
        f"sum at most {ASKED / 1e9:.1f} GB",
        watched.most <= ASKED,
        list(watched.lines()),
    )


def _watch(space: Workspace, launch: Callable[[httpx.Client], Ask]) -> Watched:
    space.reset_product(IMPORTED)
    with up(space) as running:
        root, client = running.process, running.dagster
        time.sleep(SETTLE_SECONDS)
        idle = _sample(root, space.data_dir)
        ask = launch(client)
        peak: Sample = {}
        highest = dict(idle)
        deadline, last_asked = time.monotonic() + RUN_SECONDS, 0.0
        while True:
            sample = _sample(root, space.data_dir)
            if sum(sample.values()) > sum(peak.values()):
                peak = sample
            highest = {name: max(highest.get(name, 0), sample.get(name, 0)) for name in {*highest, *sample}}
            if time.monotonic() - last_asked > ASK_SECONDS:
                last_asked = time.monotonic()
                status, runs = ask(client)
                if status in DONE:
                    break
            if time.monotonic() > deadline:
                raise RuntimeError(f"the range run is not done after {RUN_SECONDS} s: {status}, runs {runs}")
            time.sleep(SAMPLE_SECONDS)
    assert status in ("SUCCESS", "COMPLETED_SUCCESS"), f"{status}, runs {runs}"
    return Watched(idle, peak, highest, runs)


def _assets(client: httpx.Client) -> list[dict[str, Any]]:
    return [{"path": node["assetKey"]["path"]} for node in asset_nodes(client)]


def _launch_backfill(client: httpx.Client) -> Ask:
    """All assets over all days, as the UI's Materialize button does it."""
    params = {"assetSelection": _assets(client), "partitionNames": DAYS, "title": "bench"}
    answer = ask_dagster(client, BACKFILL, params=params)["launchPartitionBackfill"]
    if "backfillId" not in answer:
        raise RuntimeError(f"the backfill was refused: {answer}")

    def ask(client: httpx.Client) -> tuple[str, list[list[str]]]:
        found = ask_dagster(client, BACKFILL_STATE, id=answer["backfillId"])["partitionBackfillOrError"]
        return str(found["status"]), [_names(run["assetSelection"]) for run in found["runs"]]

    return ask


def _launch_job(client: httpx.Client) -> Ask:
    """The job that materialises a range, as one run."""
    tags = {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[-1]}
    params = {
        "selector": {
            "repositoryLocationName": "btc_pipeline",
            "repositoryName": "__repository__",
            "pipelineName": "materialize",
        },
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    answer = ask_dagster(client, JOB, params=params)["launchRun"]
    if "run" not in answer:
        raise RuntimeError(f"the run was refused: {answer}")

    def ask(client: httpx.Client) -> tuple[str, list[list[str]]]:
        found = ask_dagster(client, JOB_STATE, id=answer["run"]["runId"])["runOrError"]
        selection = found["assetSelection"] or _assets(client)
        return str(found["status"]), [_names(selection)]

    return ask


def _names(selection: list[dict[str, Any]]) -> list[str]:
    return ["/".join(key["path"]) for key in selection]


def _sample(root: psutil.Process, data_dir: Path) -> Sample:
    """PSS of the tree and of the database's processes; those that end meanwhile are left out."""
    sample: Sample = {}
    postgres = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "postgres"]
    for process in [root, *root.children(recursive=True), *postgres]:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if process in postgres and process.cwd() != str(data_dir / "postgres"):
                continue
            name = "postgres (all)" if process in postgres else _label(process.cmdline())
            sample[name] = sample.get(name, 0) + process.memory_full_info().pss
    return sample


def _label(command: list[str]) -> str:
    """What a process is, from its command line."""
    text = " ".join(command)
    known = {
        "execute_run": "run (the range)",
        "multiprocessing": "run (the range)",
        "tail -F": "run's log readers",
        "poll_compute_logs": "run's log readers",
        "watch_orphans": "run's log readers",
        "code-server": "code server",
        "api grpc": "code server, child",
        "dagster-webserver": "webserver",
        "dagster-daemon": "daemon",
        "uvicorn": "API",
        "btc-pipeline": "btc-pipeline up",
    }
    return next((label for mark, label in known.items() if mark in text), "others")


def _mb(sample: Sample, name: str) -> str:
    return f"{sample[name] / 1e6:,.0f}" if name in sample else "-"
