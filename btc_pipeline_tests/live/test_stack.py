"""The whole stack as `btc-pipeline up --feed replay` starts it: an outage, a hung collector, a kill of everything."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from btc_pipeline.exchanges.replay import SyntheticMarket
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.conftest import process
from btc_pipeline_tests.cli.running_up import family, until, up
from btc_pipeline_tests.live.whole_stack import Stack, whole_stack
from btc_pipeline_tests.live.world import stored_rows, truth

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

ASSETS = ("candles_1m", "candles_37m", "candles_other", "indicators_37m", "decisions_37m")
BACKFILL = 'query { partitionBackfillOrError(backfillId: "%s") { ... on PartitionBackfill { status } } }'
MATERIALIZATIONS = """
query { assetNodes(assetKeys: [%s]) { assetKey { path } assetMaterializations(partitions: ["%s"], limit: 1) {
  metadataEntries { label ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text } } } } }
"""
CHECK = """
query { assetNodeOrError(assetKey: {path: ["candles_1m"]}) { ... on AssetNode { assetChecksOrError {
  ... on AssetChecks { checks { name executionForLatestMaterialization { status evaluation { success } } } } } } } }
"""
HUNG_SECONDS = 120.0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with whole_stack() as stack:
        until(stack.is_well)
        yield stack


def rows_of(database: Database, start: datetime, end: datetime) -> dict[str, list[tuple[Any, ...]]]:
    """Values and row versions of the bars and indicators that open in [start, end)."""
    found = {}
    for table in ("candles", "indicators"):
        with database.rows() as connection:
            rows = connection.execute(
                f"SELECT *, xmin::text AS version FROM {table} WHERE time >= %s AND time < %s ORDER BY 2, 3, 4, 1",
                [start, end],
            ).fetchall()
        found[table] = [tuple(v for k, v in row.items() if k not in ("recorded_at", "status")) for row in rows]
    return found


def without_versions(rows: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {table: [row[:-1] for row in of_table] for table, of_table in rows.items()}


def test_a_removed_day_is_restored_by_a_backfill_while_a_hung_collector_is_unhealthy_everywhere(stack: Stack) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day, after = today - timedelta(days=1), today
    key = day.date().isoformat()
    before = rows_of(stack.database, day, after)
    # The last 37m bar that opens before midnight closes in the day.
    last_bar = day - timedelta(minutes=37)
    neighbours = rows_of(stack.database, day - timedelta(days=1), last_bar)
    assert len([row for row in before["candles"] if "1m" in row]) > 1_300
    assert neighbours["candles"]

    collector = stack.collector()
    collector.send_signal(signal.SIGSTOP)
    hung_at = time.monotonic()
    try:
        with stack.database.rows() as connection:
            for table in ("candles", "indicators"):
                connection.execute(f"DELETE FROM {table} WHERE time >= %s AND time < %s", [day, after])
        backfill = stack.launch_backfill(ASSETS, key)

        until(
            lambda: stack.health()["status"] == "degraded" and not stack.health()["symbols"][0]["collector"]["healthy"]
        )
        told = process(stack.folder, "health", "--feed", "replay", variables=stack.variables)
        assert told.code == 1, told
        until(lambda: collector_check(stack) is False)
        assert time.monotonic() - hung_at < HUNG_SECONDS

        def is_done() -> bool:
            status = stack.graphql(BACKFILL % backfill)["partitionBackfillOrError"]["status"]
            assert status not in ("COMPLETED_FAILED", "FAILED", "CANCELED"), status
            return status == "COMPLETED_SUCCESS"

        until(is_done, seconds=400)
    finally:
        collector.send_signal(signal.SIGCONT)
    assert without_versions(rows_of(stack.database, day, after)) == without_versions(before)
    for table, rows in rows_of(stack.database, day - timedelta(days=1), last_bar).items():
        assert sorted(set(rows) ^ set(neighbours[table])) == [], table
    until(stack.is_well)
    until(lambda: collector_check(stack) is True)


def collector_is_healthy(stack: Stack) -> bool:
    (symbol,) = stack.health()["symbols"]
    return bool(symbol["collector"]["healthy"])


def collector_check(stack: Stack) -> bool | None:
    """Whether Dagster's check of the collector passed when it last ran; None before."""
    checks = stack.graphql(CHECK)["assetNodeOrError"]["assetChecksOrError"]["checks"]
    (check,) = (one for one in checks if one["name"] == "collector_health")
    ran = check["executionForLatestMaterialization"]
    return None if ran is None or ran["evaluation"] is None else bool(ran["evaluation"]["success"])


def test_a_database_that_was_killed_is_started_again(stack: Stack) -> None:
    server, *_ = postgres_of(stack.folder)
    server.kill()
    server.wait(20)
    until(lambda: "database: ended, started again" in (stack.folder / "up.txt").read_text())
    until(stack.is_well)


def test_after_a_kill_of_everything_nothing_is_lost_and_nothing_twice(stack: Stack) -> None:
    everyone = family(stack.pid)
    for one in [*everyone, *postgres_of(stack.folder)]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(everyone, timeout=20)
    time.sleep(2.0)
    with up(stack.folder, stack.variables, "--feed", "replay") as running:
        again = Stack(stack.folder, stack.variables, running.pid)
        until(again.is_well, running)
        newest = max(stored_rows(again.database))
        until(lambda: max(stored_rows(again.database)) > newest, running)
        everyone = family(running.pid)
        rows = stored_rows(again.database)
        first, last = min(rows), max(rows)
        wanted = truth(SyntheticMarket(seed=1), first, last - 2)
        assert {minute: row for minute, row in rows.items() if minute < last - 2} == wanted
        running.send_signal(signal.SIGINT)
        running.wait(timeout=60)
    assert running.returncode == 0
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == []


def postgres_of(folder: Path) -> list[psutil.Process]:
    """The processes of the embedded server in a folder."""
    pid_file = folder / "data-replay" / "postgres" / "postmaster.pid"
    if not pid_file.exists():
        return []
    server = psutil.Process(int(pid_file.read_text().split()[0]))
    assert server.pid != os.getpid()
    return [server, *server.children(recursive=True)]
