"""`python -m btc_pipeline_tests.bench.live_virtual URI FOLDER DAYS FRAMES`: a collector on virtual time, in a process.

Prints its memory at the beginning and after every virtual hour as JSON. The replay exchange is in the same process.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

import psutil

from btc_pipeline.exchanges.replay import Behaviour
from btc_pipeline.exchanges.replay.synthetic import SyntheticMarket
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.live.world import World, live

START: Final = 1_790_208_000.0  # 2026-09-24
HOURS_A_DAY: Final = 24
KEPT_REQUESTS: Final = 100


def main() -> None:
    """Runs for so many virtual days."""
    uri, folder, days, frames = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    bytes_used: list[int] = []
    began = time.monotonic()

    async def script(world: World) -> None:
        # What the exchange remembers for tests would grow with time.
        counters = world.exchange.counters
        counters.requests, counters.dials = deque(maxlen=KEPT_REQUESTS), deque(maxlen=KEPT_REQUESTS)
        bytes_used.append(psutil.Process().memory_info().rss)
        world.start_collector()
        for hour in range(1, days * HOURS_A_DAY + 1):
            await world.until(START + hour * 3600)
            bytes_used.append(psutil.Process().memory_info().rss)
        await world.stop_collector()

    live(
        Database(uri),
        folder,
        SyntheticMarket(),
        script,
        start=START,
        behaviour=Behaviour(frames_per_minute=frames),
    )
    with Database(uri).rows() as connection:
        row = connection.execute("SELECT count(*) AS n FROM candles WHERE time >= to_timestamp(%s)", [START]).fetchone()
    seconds = time.monotonic() - began
    stored = row["n"] if row else 0
    told = {"seconds": seconds, "processor": time.process_time(), "minutes": stored, "rss": bytes_used}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
