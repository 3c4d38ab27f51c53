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


class Processor:
    """Processor seconds since it was made; to be looked at often, or short processes are missed."""

    def __init__(self, pid: int, data_dir: Path) -> None:
        self._pid = pid
        self._data_dir = data_dir
        self._first: dict[psutil.Process, float] = {}
        self._last: dict[psutil.Process, tuple[str, float]] = {}
        self.look()
        self._first = {process: used for process, (_, used) in self._last.items()}

    def look(self) -> None:
        """Notes what every process has used so far."""
        for name, process in _processes(self._pid, self._data_dir):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = process.cpu_times()
                self._last[process] = (name, times.user + times.system)

    def seconds(self) -> Sample:
        """Used since the beginning, those that have ended included."""
        used: Sample = {}
        for process, (name, last) in self._last.items():
            used[name] = used.get(name, 0.0) + last - self._first.get(process, 0.0)
        return used


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
