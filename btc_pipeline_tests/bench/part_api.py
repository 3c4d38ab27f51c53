"""The API over HTTP: small pages by latency, half a million rows by throughput, against PostgreSQL's own COPY."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import psycopg

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.bench.figures import Figure, alternate, timed
from btc_pipeline_tests.bench.market import SYMBOL
from btc_pipeline_tests.bench.workspace import MATERIALIZED, Workspace, free_port

REQUESTS: Final = 300
ROUNDS: Final = 3
ROWS: Final = 500_000
START_SECONDS: Final = 60
START: Final = datetime(2015, 1, 1, tzinfo=UTC)
CSV_COLUMNS: Final = (
    "time, open, high, low, close, volume, quote_volume, taker_buy_volume, trades, minutes, quiet_minutes, "
    "expected_minutes, usable"
)
BULK_COLUMNS: Final = "time, open, high, low, close, volume, usable"
ARROW: Final = "application/vnd.apache.arrow.stream"


def run(space: Workspace) -> list[Figure]:
    database = space.reset_product(MATERIALIZED)
    with _served(space) as client:
        return [_small_pages(client), _large(client, database)]


def _small_pages(client: httpx.Client) -> Figure:
    """Each request begins somewhere else, on one connection, as a program would that walks through history."""
    took = []
    for number in range(REQUESTS + 20):
        start = START + timedelta(hours=24 * (number % 600), minutes=number)
        query = {"symbol": SYMBOL, "interval": "37m", "limit": 1000, "start": start.isoformat()}
        seconds, answer = _get(client, "/api/v1/candles", query)
        took.append((seconds, len(answer)))
    milliseconds = sorted(seconds * 1000 for seconds, _ in took[20:])
    p50, p99 = statistics.median(milliseconds), milliseconds[int(len(milliseconds) * 0.99)]
    size = statistics.median(size for _, size in took)
    return Figure(
        "API: 1,000 bars of 37m",
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms",
        details=[f"{REQUESTS} requests one after another, each from another start; {size / 1e3:.0f} kB of JSON each"],
    )


def _large(client: httpx.Client, database: Database) -> Figure:
    with database.rows() as connection:
        row = connection.execute(
            "SELECT time FROM candles WHERE interval = '1m' ORDER BY time OFFSET %s LIMIT 1", (ROWS,)
        ).fetchone()
    assert row is not None
    end = row["time"].isoformat()
    query = {"symbol": SYMBOL, "interval": "1m", "start": START.isoformat(), "end": end}
    where = f"FROM candles WHERE symbol = '{SYMBOL}' AND interval = '1m' AND time < '{end}' ORDER BY time"
    bulk = {**query, "limit": ROWS}
    sizes: dict[str, int] = {}

    def api(name: str, path: str, parameters: dict[str, object], **headers: str) -> float:
        seconds, answer = _get(client, path, parameters, **headers)
        sizes[name] = len(answer)
        return seconds

    def copy(name: str, columns: str) -> float:
        def read() -> int:
            statement = f"COPY (SELECT {columns} {where}) TO STDOUT (FORMAT csv, HEADER)"
            with psycopg.connect(database.uri) as connection, connection.cursor().copy(statement) as out:
                return sum(len(block) for block in out)

        seconds, sizes[name] = timed(read)
        return seconds

    sides = {
        "CSV": lambda: api("CSV", "/api/v1/export/csv", query),
        "COPY as CSV, the same columns": lambda: copy("COPY as CSV, the same columns", CSV_COLUMNS),
        "bulk JSON": lambda: api("bulk JSON", "/api/v1/candles/bulk", bulk),
        "bulk Arrow": lambda: api("bulk Arrow", "/api/v1/candles/bulk", bulk, accept=ARROW),
        "COPY as CSV, the columns of bulk": lambda: copy("COPY as CSV, the columns of bulk", BULK_COLUMNS),
    }
    laps = alternate(ROUNDS, sides)
    speeds = {name: sizes[name] / lap.median / 1e6 for name, lap in laps.items()}
    return Figure(
        f"API: {ROWS:,} rows of 1m",
        f"CSV {speeds['CSV']:.0f} MB/s, bulk {speeds['bulk JSON']:.0f} MB/s (JSON), {speeds['bulk Arrow']:.0f} MB/s "
        f"(Arrow); COPY {speeds['COPY as CSV, the same columns']:.0f} MB/s",
        details=[
            f"{name}: {lap}, {sizes[name] / 1e6:.1f} MB, {speeds[name]:.0f} MB/s, {ROWS / lap.median:,.0f} rows/s"
            for name, lap in laps.items()
        ],
    )


@contextmanager
def _served(space: Workspace) -> Iterator[httpx.Client]:
    """A client of a server process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "api.app:create_app", "--factory", "--port", str(port)]
    command += ["--log-level", "warning"]
    process = subprocess.Popen(command, env={**os.environ, **space.environment()})
    try:
        # Uncompressed: the bytes that are counted are those that travel.
        headers = {"accept-encoding": "identity"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, headers=headers, trust_env=False) as client:
            _wait_until_ready(client)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if client.get("/api/v1/instruments").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"the API is not ready after {START_SECONDS} s")
        time.sleep(0.2)


def _get(client: httpx.Client, path: str, query: dict[str, object], **headers: str) -> tuple[float, bytes]:
    started = time.perf_counter()
    answer = client.get(path, params=query, headers=headers)  # type: ignore[arg-type]
    seconds = time.perf_counter() - started
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:200]}")
    return seconds, answer.content
