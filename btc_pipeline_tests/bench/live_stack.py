"""Data folders of the bench's own, each with its server and ports, and the product's processes in them.

Nothing of a user's is read or written: neither the data folder nor a server that `DB_HOST` names.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from btc_pipeline.settings import PROJECT, Settings, load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.migrate import migrate
from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline_tests.bench.workspace import free_port, program

START_SECONDS: Final = 180
STOP_SECONDS: Final = 60
LOG_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True)
class LiveSpace:
    """What every part of the bench is given.

    Attributes:
        minutes, closes: how much is measured (`live_main`).
    """

    folder: Path
    say: Callable[[str], None]
    minutes: int
    closes: int


class Place:
    """A data folder with its server, and the environment of the commands that work in it.

    Its collector asks the exchange at `exchange_port`: one that a part starts itself, or, with `replay`, the one that
    `btc-pipeline up` starts.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], replay: bool) -> None:
        self.folder = folder
        self.data_dir = folder / ("data-replay" if replay else "data")
        self.exchange_port, self.api_port, self.dagster_port = free_port(), free_port(), free_port()
        self._metrics_port = free_port()
        self._replay = replay
        self._config = folder / "bench.yaml"
        self._config.write_text(yaml.safe_dump(dict(config)))
        self._server = EmbeddedServer(self.data_dir)

    def environment(self) -> dict[str, str]:
        """All that differs from a user's."""
        exchange = f"127.0.0.1:{self.exchange_port}"
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("BTC_PIPELINE_")},
            "BTC_PIPELINE_CONFIG": str(self._config),
            "BTC_PIPELINE_DATA_DIR": str(self.data_dir),
            "BTC_PIPELINE_FEED": "replay" if self._replay else "live",
            "BTC_PIPELINE_REPLAY__PORT": str(self.exchange_port),
            "BTC_PIPELINE_VENUES__HYPERLIQUID__WEBSOCKET_URL": f"ws://{exchange}/ws",
            "BTC_PIPELINE_VENUES__HYPERLIQUID__API_URL": f"http://{exchange}",
            "BTC_PIPELINE_API_PORT": str(self.api_port),
            "BTC_PIPELINE_DAGSTER_PORT": str(self.dagster_port),
            "BTC_PIPELINE_COLLECTOR__METRICS_PORT": str(self._metrics_port),
            "DB_HOST": "",
            "DAGSTER_HOME": str(PROJECT / "dagster_home"),
            "NO_COLOR": "1",
        }

    def settings(self) -> Settings:
        """The settings that its processes have."""
        before = dict(os.environ)
        os.environ.update(self.environment())
        try:
            return load_settings()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def database(self) -> Database:
        """Its database, migrated; the server is started if need be."""
        self._server.ensure_running()
        database = Database(self._server.uri())
        migrate(database)
        return database

    def stop(self) -> None:
        """Stops the server, whoever is connected."""
        self._server.stop()

    @contextmanager
    def running(self, name: str, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A process with its output in NAME.log; it is asked to end afterwards, and killed if it does not."""
        with self.log(name).open("ab") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield process
        finally:
            end(process)

    def log(self, name: str) -> Path:
        """What a process printed."""
        return self.folder / f"{name}.log"

    def collector(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """The collector, as `btc-pipeline up` starts it."""
        return self.running("collector", [sys.executable, "-m", "btc_pipeline.collector"])

    @contextmanager
    def exchange(self, *, coins: Sequence[str] = ("BTC",), refuses: bool = False) -> Iterator[httpx.Client]:
        """A replay exchange that tells what it does (`live_exchange`), and a client of it."""
        command = [sys.executable, "-m", "btc_pipeline_tests.bench.live_exchange", str(self.exchange_port), *coins]
        with (
            self.running("exchange", [*command, *(["--refuse"] if refuses else [])]) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{self.exchange_port}", trust_env=False) as client,
        ):
            wait_until(lambda: client.get("/replay/state").status_code == 200, process, self.log("exchange"))
            yield client

    @contextmanager
    def up(self) -> Iterator[Stack]:
        """`btc-pipeline up`, once all of it answers."""
        with (
            self.running("up", [program("btc-pipeline"), "up"]) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{self.dagster_port}", timeout=60, trust_env=False) as dagster,
            httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}/api/v1", timeout=60, trust_env=False) as api,
        ):
            stack = Stack(process.pid, dagster, api)
            wait_until(stack.answers, process, self.log("up"))
            yield stack


@dataclass(frozen=True, slots=True)
class Stack:
    """A running `btc-pipeline up`."""

    pid: int
    dagster: httpx.Client
    api: httpx.Client

    def answers(self) -> bool:
        """Whether the API does, and Dagster knows the assets."""
        return self.api.get("/health").status_code < 500 and bool(self.assets())

    def assets(self) -> list[dict[str, Any]]:
        """The keys of all assets, as GraphQL wants them back."""
        nodes = self.ask("{ assetNodes { assetKey { path } } }")["assetNodes"]
        return [{"path": node["assetKey"]["path"]} for node in nodes]

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """What GraphQL answers.

        Raises:
            RuntimeError: an error.
        """
        answer = self.dagster.post("/graphql", json={"query": query, "variables": variables}).json()
        if answer.get("errors"):
            raise RuntimeError(f"GraphQL: {answer['errors'][0]['message']}")
        data: dict[str, Any] = answer["data"]
        return data

    def runs(self) -> list[dict[str, Any]]:
        """The newest runs: status, moments (UTC seconds), tags as a mapping."""
        found = self.ask(
            "{ runsOrError(limit: 200) { ... on Runs { results { runId status creationTime startTime endTime "
            "tags { key value } } } } }"
        )["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]


@contextmanager
def live_space(parent: Path | None, say: Callable[[str], None], *, minutes: int, closes: int) -> Iterator[LiveSpace]:
    """A temporary folder for all parts, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="btc-bench-live-", dir=parent))
    folder.chmod(0o755)  # a server started by root is another user's, and must reach it
    try:
        yield LiveSpace(folder, say, minutes, closes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def place(
    space: LiveSpace, name: str, *, config: Mapping[str, Any] | None = None, replay: bool = False
) -> Iterator[Place]:
    """A new data folder; its server is stopped afterwards."""
    folder = space.folder / name
    folder.mkdir(mode=0o755)
    made = Place(folder, config or {}, replay)
    try:
        yield made
    finally:
        made.stop()


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL to one that does not heed it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(
    true: Callable[[], Any],
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
    seconds: float = START_SECONDS,
    poll: float = 0.5,
) -> None:
    """Returns once something is true; until then connections may be refused.

    Raises:
        RuntimeError: it took too long, or the process ended; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        with contextlib.suppress(httpx.TransportError, RuntimeError):
            if true():
                return
        time.sleep(poll)
    shown = log.read_text()[-LOG_CHARACTERS:] if log else ""
    raise RuntimeError(f"not ready after {seconds:.0f} s, or it ended\n{shown}")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all does not exceed; of a few values the largest."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
