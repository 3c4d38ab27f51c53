"""`btc-pipeline up` on free ports, over the bench's own data, and clients of its webserver and its API."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from btc_pipeline_tests.bench.workspace import Workspace, free_port, program

ASSETS: Final = "{ assetNodes { assetKey { path } } }"
START_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Up:
    """All of it, once it answers."""

    process: psutil.Process
    dagster: httpx.Client
    api: httpx.Client


@contextmanager
def up(space: Workspace) -> Iterator[Up]:
    """Starts it and waits until all of it answers; stops it in the end."""
    dagster, api = free_port(), free_port()
    ports = {"BTC_PIPELINE_DAGSTER_PORT": str(dagster), "BTC_PIPELINE_API_PORT": str(api)}
    log = space.folder / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program("btc-pipeline"), "up"],
            cwd=space.folder,
            env={**os.environ, **space.environment(), **ports},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        with _client(dagster) as webserver, _client(api) as api_client:
            _wait_until_ready(webserver, api_client, log)
            yield Up(psutil.Process(process.pid), webserver, api_client)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def asset_nodes(client: httpx.Client) -> list[dict[str, Any]]:
    """The assets that the webserver knows."""
    nodes: list[dict[str, Any]] = ask_dagster(client, ASSETS)["assetNodes"]
    return nodes


def ask_dagster(client: httpx.Client, query: str, **variables: object) -> dict[str, Any]:
    """The answer of the webserver's GraphQL.

    Raises:
        RuntimeError: it is an error.
    """
    answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
    if answer.get("errors"):
        raise RuntimeError(f"GraphQL: {answer['errors'][0]['message']}")
    data: dict[str, Any] = answer["data"]
    return data


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)


def _wait_until_ready(webserver: httpx.Client, api: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError, RuntimeError):
            if asset_nodes(webserver) and api.get("/api/v1/health").status_code < 500:
                return
        time.sleep(1)
    raise RuntimeError(f"not ready after {START_SECONDS} s:\n{log.read_text()[-2000:]}")
