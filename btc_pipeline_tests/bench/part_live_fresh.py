"""A fresh install: from `up --history` to a decision with an opinion of every default strategy on every interval."""

from __future__ import annotations

import time
from typing import Final

import httpx

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_stack import LiveSpace, Place, place, wait_until
from btc_pipeline_tests.bench.workspace import program

ASKED_SECONDS: Final = 300.0
PATIENCE_SECONDS: Final = 900.0
LOOK_SECONDS: Final = 1.0
SYMBOL: Final = "BTCUSDT.BINANCE"
INTERVALS: Final = ("37m", "148m", "1d")
NEWEST: Final = """
SELECT DISTINCT ON (strategy, interval) strategy, interval, time, target
FROM current_decisions WHERE symbol = %s ORDER BY strategy, interval, time DESC
"""


def run(space: LiveSpace) -> list[Figure]:
    with place(space, "fresh", replay=True) as here:
        command = [program("btc-pipeline"), "up", "--symbol", SYMBOL, "--history"]
        wanted = {(one.strategy.name, one.interval.name) for one in here.settings().strategies_at_work}
        wanted = {(strategy, interval) for strategy, interval in wanted if interval in INTERVALS}
        space.say(f"fresh: up --history, until {len(wanted)} strategies on their intervals have an opinion")
        began = time.monotonic()
        with here.running("up", command) as process:
            wait_until(lambda: here.log("up").read_text().count("the Dagster UI and the API"), process, here.log("up"))
            database = here.database()
            wait_until(
                lambda: wanted <= _decided(database), process, here.log("up"), PATIENCE_SECONDS, poll=LOOK_SECONDS
            )
            seconds = time.monotonic() - began
            too_soon = _too_soon(here)
        said = [line for line in here.log("up").read_text().splitlines() if " history: " in line]
    return [
        Figure(
            "fresh install: up --history -> opinions on 37m, 148m and 1d of all default strategies, replay exchange",
            f"{seconds:.0f} s",
            f"{ASKED_SECONDS:.0f} s",
            seconds <= ASKED_SECONDS and too_soon == 0,
            [*said, f"requests that came too soon: {too_soon}"],
        )
    ]


def _decided(database: Database) -> set[tuple[str, str]]:
    """Which strategies have an opinion at their newest decision, on which intervals."""
    with database.rows() as connection:
        rows = connection.execute(NEWEST, [SYMBOL]).fetchall()
    return {(row["strategy"], row["interval"]) for row in rows if row["target"] is not None}


def _too_soon(here: Place) -> int:
    with httpx.Client(base_url=f"http://127.0.0.1:{here.exchange_port}", trust_env=False, timeout=30) as client:
        venues = client.get("/replay/state").json()["venues"]
    return sum(int(counters["too_soon"]) for counters in venues.values())
