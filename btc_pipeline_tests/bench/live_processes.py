"""The processes of a stack: their memory and their processor time, by what they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

LABELS: Final = {
    "execute_run": "runs",
    "multiprocessing": "runs",
    "tail -F": "runs, log readers",
    "poll_compute_logs": "runs, log readers",
    "watch_orphans": "runs, log readers",
    "btc_pipeline.collector": "collector",
    "btc_pipeline.exchanges.replay": "replay exchange",
    "code-server": "code server",
    "api grpc": "code server, child",
    "dagster-webserver": "webserver",
    "dagster-daemon": "daemon",
    "uvicorn": "API",
    "btc-pipeline": "btc-pipeline up",
}
REPLAY_EXCHANGE: Final = "replay exchange"
POSTGRES: Final = "postgres (all)"

Sample = dict[str, float]
"""A number by what the processes are."""


def memory(pid: int, data_dir: Path) -> Sample:
    """PSS in bytes of a tree of processes and of the server of a data folder; who ends meanwhile is left out."""
    sample: Sample = {}
    for name, process in _processes(pid, data_dir):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            sample[name] = sample.get(name, 0) + process.memory_full_info().pss
    return sample


def processor(pid: int, data_dir: Path) -> Sample:
    """Processor seconds of the same processes since they began; of those that have ended with whoever started them.

    A server begins a process for every connection, and most live for less than a look: they are not to be missed.
    """
    sample: Sample = {}
    for name, process in _processes(pid, data_dir):
        with contextlib.suppress(psutil.NoSuchProcess):
            sample[name] = sample.get(name, 0.0) + sum(process.cpu_times()[:4])
    return sample


def _processes(pid: int, data_dir: Path) -> Iterator[tuple[str, psutil.Process]]:
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if process.name() != "postgres":
                yield _label(process.cmdline()), process
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            if process.name() == "postgres" and process.cwd() == str(data_dir / "postgres"):
                yield POSTGRES, process


def _label(command: list[str]) -> str:
    """What a process is, from its command line."""
    text = " ".join(command)
    return next((label for mark, label in LABELS.items() if mark in text), "others")
