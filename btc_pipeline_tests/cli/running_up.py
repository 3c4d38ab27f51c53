"""`btc-pipeline up` as a test starts it: ports of its own, its lines in a file, killed whatever happens."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from btc_pipeline_tests.cli.conftest import COMMAND, environment

PATIENCE_SECONDS = 90.0


def free_ports(n: int) -> list[int]:
    with_ports = [socket.socket() for _ in range(n)]
    for one in with_ports:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


def get(url: str, query: str | None = None, body: bytes | None = None) -> Any:
    """The JSON at an address; a GraphQL query, or a body of one's own, is posted."""
    body = body if query is None else json.dumps({"query": query}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def until(
    true: Callable[[], Any], running: subprocess.Popen[str] | None = None, seconds: float = PATIENCE_SECONDS
) -> Any:
    """What it gives once that is something; connections that are refused are waited out."""
    deadline = time.monotonic() + seconds
    while True:
        assert running is None or running.poll() is None, "it ended by itself"
        try:
            found = true()
        except OSError as error:
            found, reason = None, str(error)
        else:
            reason = str(found)
        if found:
            return found
        assert time.monotonic() < deadline, reason
        time.sleep(0.2)


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


PORTS = (
    "BTC_PIPELINE_DAGSTER_PORT",
    "BTC_PIPELINE_API_PORT",
    "BTC_PIPELINE_COLLECTOR__METRICS_PORT",
    "BTC_PIPELINE_REPLAY__PORT",
)


def own_ports() -> dict[str, str]:
    """Free ports for everything that listens, and an exchange that is not there: no test may ask the real one."""
    ports = dict(zip((*PORTS, "nobody"), map(str, free_ports(len(PORTS) + 1)), strict=True))
    nobody = f"127.0.0.1:{ports.pop('nobody')}"
    return ports | {
        "BTC_PIPELINE_VENUES__HYPERLIQUID__WEBSOCKET_URL": f"ws://{nobody}/ws",
        "BTC_PIPELINE_VENUES__HYPERLIQUID__API_URL": f"http://{nobody}",
    }


@contextmanager
def up(folder: Path, variables: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, with its lines in `up.txt`; killed with all that it started if a test leaves it running."""
    with (folder / "up.txt").open("w") as lines:
        running = subprocess.Popen(
            [str(COMMAND), "up", *arguments],
            cwd=folder,
            env=environment(folder, variables),
            stdout=lines,
            stderr=lines,
            text=True,
        )
        try:
            yield running
        finally:
            if running.poll() is None:
                for one in reversed(family(running.pid)):
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                running.wait()
