"""The whole stack as `btc-pipeline up --feed replay` starts it, and how a test asks it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline_tests.cli.running_up import PORTS, family, get, own_ports, up

LAUNCH_BACKFILL: Final = """
mutation Launch($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""


@dataclass
class Stack:
    """What runs: the folder, the variables of every command, the process of `up`."""

    folder: Path
    variables: dict[str, str]
    pid: int

    @property
    def database(self) -> Database:
        return Database(EmbeddedServer(self.folder / "data-replay").uri())

    def graphql(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """The answer of the Dagster UI's own interface."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        return get(f"http://127.0.0.1:{self.variables[PORTS[0]]}/graphql", body=body)["data"]

    def launch_backfill(self, assets: tuple[str, ...], partition: str) -> str:
        """A backfill of one partition as the pages of assets launch it; its id."""
        params = {"assetSelection": [{"path": [name]} for name in assets], "partitionNames": [partition]}
        launched = self.graphql(LAUNCH_BACKFILL, {"params": params})["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def api(self, path: str, order: dict[str, Any] | None = None) -> Any:
        """An answer of the API; an order is posted."""
        body = None if order is None else json.dumps(order).encode()
        return get(f"http://127.0.0.1:{self.variables[PORTS[1]]}/api/v1/{path}", body=body)

    def health(self) -> Any:
        return self.api("health")

    def is_well(self) -> bool:
        """Everything is collected and decided."""
        (symbol,) = self.health()["symbols"] or [None]
        return bool(symbol and symbol["collector"]["healthy"] and symbol["last_decision"] and not symbol["open_gaps"])

    def collector(self) -> psutil.Process:
        return next(one for one in family(self.pid) if "btc_pipeline.collector" in one.cmdline())


@contextmanager
def whole_stack(**strategies: str) -> Iterator[Stack]:
    """The stack in a folder of its own, as it starts.

    Args:
        strategies: a user's, the source of each.
    """
    folder = Path(tempfile.mkdtemp(prefix="btc-test-"))
    folder.chmod(0o755)
    variables = own_ports()
    (folder / "strategies").mkdir()
    for name, source in strategies.items():
        (folder / "strategies" / f"{name}.py").write_text(source)
    try:
        with up(folder, variables, "--feed", "replay") as running:
            yield Stack(folder, variables, running.pid)
    finally:
        EmbeddedServer(folder / "data-replay").stop()
        shutil.rmtree(folder, ignore_errors=True)
