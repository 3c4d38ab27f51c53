"""Restarting: from SIGTERM to the collector until a minute that was not there is readable; real processes."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

import psycopg

from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_stack import LiveSpace, Place, end, place, wait_until

ASKED: Final = 3.0
ROUNDS: Final = 7
RUN_SECONDS: Final = 12.0
GIVEN_UP_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.005
LOSE: Final = """
DELETE FROM candles WHERE symbol = 'BTC' AND interval = '1m' AND time >= now() - interval '4 minutes' RETURNING time
"""
NEWEST: Final = "SELECT count(*) FROM candles WHERE symbol = 'BTC' AND interval = '1m' AND time >= %s"


def run(space: LiveSpace) -> list[Figure]:
    stops, starts = [], []
    with (
        place(space, "restart") as here,
        here.exchange(),
        psycopg.connect(here.database().uri, autocommit=True) as connection,
    ):
        for number in range(ROUNDS):
            space.say(f"restart: {number + 1} of {ROUNDS}")
            stops.append(_run_once(here, connection))
            starts.append(_start(here, connection))
    whole = [stop + start for stop, start in zip(stops, starts, strict=True)]
    return [
        Figure(
            "collector restart -> first new row",
            f"median {statistics.median(whole):.2f} s, slowest {max(whole):.2f} s",
            f"{ASKED:.0f} s",
            statistics.median(whole) <= ASKED,
            [
                "from SIGTERM on; new are minutes that the database loses meanwhile, as if they had closed then",
                f"to its end: {', '.join(f'{value:.2f}' for value in stops)} s",
                f"from its start to the row: {', '.join(f'{value:.2f}' for value in starts)} s",
            ],
        )
    ]


def _run_once(here: Place, connection: psycopg.Connection[Any]) -> float:
    """Lets a collector run, and stops it; the seconds that takes."""
    with here.collector() as process:
        wait_until(lambda: _stored(connection), process, here.log("collector"))
        time.sleep(RUN_SECONDS)
        began = time.monotonic()
        end(process)
        return time.monotonic() - began


def _stored(connection: psycopg.Connection[Any]) -> bool:
    return bool(connection.execute("SELECT 1 FROM candles WHERE time >= now() - interval '3 minutes'").fetchone())


def _start(here: Place, connection: psycopg.Connection[Any]) -> float:
    """Seconds from the start of a process to the first row that was not there."""
    lost = [time for (time,) in connection.execute(LOSE).fetchall()]
    if not lost:
        raise RuntimeError("there was no new minute to lose")
    began = time.monotonic()
    with here.collector():
        while time.monotonic() - began < GIVEN_UP_SECONDS:
            row = connection.execute(NEWEST, [min(lost)]).fetchone()
            if row and row[0]:
                return time.monotonic() - began
            time.sleep(POLL_SECONDS)
    raise RuntimeError(f"no new row after {GIVEN_UP_SECONDS:.0f} s\n{here.log('collector').read_text()[-2000:]}")
