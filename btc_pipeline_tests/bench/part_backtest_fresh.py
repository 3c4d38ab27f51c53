"""A sweep in a new process: from its start to the first table, with and without compiled code; and its memory."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from typing import Final

from btc_pipeline.settings import PROJECT
from btc_pipeline_tests.bench.backtest_market import ACCOUNT, PERIODS, BacktestSpace
from btc_pipeline_tests.bench.figures import Figure, Laps, timed

ROUNDS: Final = 3
ASKED_PRESENT: Final = 3.0
ASKED_ABSENT: Final = 15.0
ASKED_BYTES: Final = 300e6
CHILD: Final = """
import json, pickle, sys, threading, time
import numpy as np
import psutil
from btc_pipeline.backtest.history import History
from btc_pipeline.backtest.market_data import MarketData
from btc_pipeline.backtest.sweep import sweep
from btc_pipeline.strategies.moving_average import MovingAverage

bars, days, mark, account, periods = pickle.load(open(sys.argv[1], "rb"))
history = History(bars.interval, {bars.interval: bars}, MarketData(bars, days, mark, None))
process, seen, stop = psutil.Process(), [], threading.Event()
watch = "watch" in sys.argv
idle = process.memory_info().rss
def sample():
    while not stop.wait(0.002):
        seen.append(process.memory_info().rss)
if watch:
    threading.Thread(target=sample, daemon=True).start()
began = time.perf_counter()
for _ in range(3 if watch else 1):
    table = sweep(MovingAverage(), [{"period": one} for one in periods], history, account)
seconds = time.perf_counter() - began
stop.set()
print(json.dumps({"seconds": seconds, "idle": idle, "peak": max(seen, default=idle), "rows": len(table)}))
"""


def run(space: BacktestSpace) -> list[Figure]:
    data = space.four_years.data
    file = space.folder / "four_years.pickle"
    file.write_bytes(pickle.dumps((data.bars, data.days, data.mark, ACCOUNT, PERIODS)))
    cache = space.folder / "compiled"

    def new_process(*arguments: str) -> dict[str, float]:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(file), *arguments],
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            check=True,
        )
        told: dict[str, float] = json.loads(done.stdout)
        return told

    absent, present = [], []
    for _ in range(ROUNDS):
        shutil.rmtree(cache, ignore_errors=True)
        absent.append(timed(new_process)[0])
        present.append(timed(new_process)[0])
    memory = new_process("watch")
    above = memory["peak"] - memory["idle"]
    return [
        _cold("present", Laps(present), ASKED_PRESENT),
        _cold("absent", Laps(absent), ASKED_ABSENT),
        Figure(
            f"memory of the {len(PERIODS)}-parameter sweep on four years of 37m",
            f"{above / 1e6:.0f} MB above the idle process",
            f"at most {ASKED_BYTES / 1e6:.0f} MB",
            above <= ASKED_BYTES,
            [
                f"RSS, every 2 ms: idle with bars loaded {memory['idle'] / 1e6:.0f} MB",
                f"highest in three sweeps {memory['peak'] / 1e6:.0f} MB, numba itself included",
            ],
        ),
    ]


def _cold(cache: str, laps: Laps, asked: float) -> Figure:
    return Figure(
        f"first sweep in a new process, compile cache {cache}",
        f"{laps.median:.1f} s",
        f"at most {asked:.0f} s",
        laps.median <= asked,
        [f"from the process's start to its end: {laps}; four years of 37m, {len(PERIODS)} sets"],
    )
