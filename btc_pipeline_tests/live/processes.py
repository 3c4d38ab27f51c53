"""A replay exchange and collectors as processes of their own, on a time that they share, over a server of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from btc_pipeline.settings import REPLAY_SUFFIX
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline.timing.shared import CLOCK_VARIABLE, SharedTime
from btc_pipeline_tests.live.servers import own_server

PATIENCE_SECONDS: Final = 60.0
REPLAY: Final = "btc_pipeline.exchanges.replay"
COLLECTOR: Final = "btc_pipeline.collector"


class Stack:
    """Processes that share a folder, a time and an exchange. `kill_everything` is its end."""

    def __init__(self, server: EmbeddedServer, database: Database, time_: SharedTime, **environment: str) -> None:
        """
        Args:
            environment: more variables for all processes.
        """
        self.server = server
        self.database = database
        self.folder = server.data_dir
        self.time = time_
        self.port = free_port()
        self._environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []

    def now(self) -> float:
        """The shared time, UTC seconds."""
        return self.time.epoch + (time.time() - self.time.started) * self.time.speed

    def start(self, module: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a module; what it says is appended to a file named after it."""
        given = {
            "BTC_PIPELINE_FEED": "replay",
            "BTC_PIPELINE_DATA_DIR": str(self.folder),
            "BTC_PIPELINE_REPLAY__PORT": str(self.port),
            "BTC_PIPELINE_COLLECTOR__METRICS_PORT": str(free_port()),
            CLOCK_VARIABLE: self.time.text,
            **self._environment,
            **environment,
        }
        with self.output(module).open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module], stdout=output, stderr=output, env=os.environ | given
            )
        self._processes.append(process)
        return process

    def start_exchange(self) -> subprocess.Popen[bytes]:
        """Starts the exchange and waits until it answers."""
        process = self.start(REPLAY)
        wait_for(lambda: self.output(REPLAY).read_text().count("Ctrl-C stops it"))
        return process

    def output(self, module: str) -> Path:
        return self.folder / f"{module}.log"

    def said(self) -> list[str]:
        """What collectors told the user, in order."""
        path = self.output(COLLECTOR)
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix("STATE collector: ") for line in lines if line.startswith("STATE ")]

    def exchange_state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/replay/state", timeout=30) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def server_processes(self) -> list[psutil.Process]:
        """The server's processes, the first of them first."""
        return [psutil.Process(pid) for pid in sorted(self.server._processes())]

    def kill_server(self) -> None:
        """kill -9 of the server's first process; the others then end by themselves."""
        first = int((self.folder / "postgres" / "postmaster.pid").read_text().split()[0])
        assert first in self.server._processes()
        process = psutil.Process(first)
        process.kill()
        process.wait()

    def kill_everything(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@contextmanager
def stack(speed: float, epoch: float, **environment: str) -> Iterator[Stack]:
    """A server with a migrated database, and an exchange; the time shows `epoch` (UTC seconds) and runs so fast."""
    with own_server(suffix=REPLAY_SUFFIX) as (server, database):
        made = Stack(server, database, SharedTime(speed, time.time(), epoch), **environment)
        try:
            made.start_exchange()
            yield made
        finally:
            made.kill_everything()


def wait_for(ready: Any, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true answer."""
    end = time.monotonic() + seconds
    while not (answer := ready()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
