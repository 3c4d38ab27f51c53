"""kill -9 of a process that spools: what it said it has, is on disk."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from btc_pipeline.collector.spool import Spool
from btc_pipeline_tests.collector.made_landings import FIRST

COLLECTING = """
import asyncio, sys
from pathlib import Path
import structlog
from btc_pipeline.collector.landing import Lander
from btc_pipeline.collector.spool import Spool
from btc_pipeline.collector.store import MinuteStore
from btc_pipeline.timing.clock import SystemClock
from btc_pipeline_tests.collector.made_landings import FIRST, SYMBOL, landing

async def collect():
    store = MinuteStore("postgresql://btc_bot@127.0.0.1:1/nowhere")
    lander = Lander(store, Spool(Path(sys.argv[1]), 10**9), SystemClock())
    lander.on_landed = lambda _, minutes: print(*(one - FIRST for one in minutes), flush=True)
    running = asyncio.create_task(lander.run())
    n = int(sys.argv[2])
    while True:
        lander.put(SYMBOL, [landing(FIRST + n)])
        n += 1
        await asyncio.sleep(0.0005)

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(collect())
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_has_on_disk_what_it_told_of_and_the_next_goes_on_behind_it(tmp_path, seed):
    rng = random.Random(seed)
    told: list[int] = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", COLLECTING, str(tmp_path), str(len(told))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 60)):
            told += map(int, process.stdout.readline().split())
        process.kill()
        told += [int(one) for line in process.stdout if line.endswith("\n") for one in line.split()]
        process.wait()
        process.stdout.close()
    spool = Spool(tmp_path, 10**9)
    found = []
    while (batch := spool.oldest()) is not None:
        found += [row.minute.time - FIRST for _, row in batch.rows]
        spool.remove(batch)
    assert len(told) > 1
    # More may be there: rows that the disk had when the process could not say so any more.
    assert set(told) <= set(found)
    assert sorted(set(found)) == list(range(max(found) + 1))
