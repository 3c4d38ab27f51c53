"""The whole stack under `btc-pipeline up`, in a replay: memory and processor, idle and in a day's backfill."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_processes import REPLAY_EXCHANGE, Sample, memory, processor
from btc_pipeline_tests.bench.live_stack import LiveSpace, Place, Stack, place, wait_until
from btc_pipeline_tests.bench.part_memory import BACKFILL, BACKFILL_STATE, DONE

IDLE_ASKED, PEAK_ASKED = 1.5e9, 2.0e9
IDLE_SECONDS: Final = 200
SETTLE_SECONDS: Final = 30
BACKFILL_SECONDS: Final = 300
LOOK_SECONDS: Final = 0.5
ASK_SECONDS: Final = 3.0
MINUTES_A_DAY: Final = 1440
_OF_A_DAY: Final = "FROM candles WHERE symbol = 'BTC' AND interval = '1m' AND (time AT TIME ZONE 'UTC')::date = %s"
LOSE: Final = f"DELETE {_OF_A_DAY}"
COUNT: Final = f"SELECT count(*) AS n {_OF_A_DAY}"


def run(space: LiveSpace) -> list[Figure]:
    with place(space, "stack", replay=True) as here, here.up() as stack:
        space.say("stack: waiting until nothing is at work")
        wait_until(lambda: _is_idle(stack), seconds=600, poll=2)
        time.sleep(SETTLE_SECONDS)
        space.say(f"stack: idle for {IDLE_SECONDS} s")
        runs_before = len(stack.runs())
        idle_before = memory(stack.pid, here.data_dir)
        used, seconds = _idle(stack, here)
        idle = max(idle_before, memory(stack.pid, here.data_dir), key=lambda sample: sum(sample.values()))
        runs = len(stack.runs()) - runs_before
        space.say("stack: a day's backfill")
        peak, highest, filled = _backfill(stack, here)
    return [_memory_figure(idle, peak, highest, filled), _processor_figure(used, seconds, runs)]


def _is_idle(stack: Stack) -> bool:
    """The past is made, and no run is queued or at work."""
    runs = stack.runs()
    return bool(runs) and all(run["status"] in DONE for run in runs) and _first_decision(stack)


def _first_decision(stack: Stack) -> bool:
    page = stack.api.get("/decisions", params={"symbol": "BTC", "interval": "37m"})
    return page.is_success and bool(page.json()["data"])


def _idle(stack: Stack, here: Place) -> tuple[Sample, float]:
    """Processor seconds by process, and in how many."""
    began, before = time.monotonic(), processor(stack.pid, here.data_dir)
    time.sleep(IDLE_SECONDS)
    after = processor(stack.pid, here.data_dir)
    used = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in {*before, *after}}
    return used, time.monotonic() - began


def _backfill(stack: Stack, here: Place) -> tuple[Sample, Sample, int]:
    """A day is lost, and backfilled from all assets as the UI does it: peak, each process's highest, minutes after."""
    day = datetime.now(UTC).date() - timedelta(days=2)
    database = here.database()
    _lose(database, day)
    params = {"assetSelection": stack.assets(), "partitionNames": [day.isoformat()], "title": "bench"}
    answer: dict[str, Any] = stack.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    if "backfillId" not in answer:
        raise RuntimeError(f"the backfill was refused: {answer}")
    peak: Sample = {}
    highest: Sample = {}
    asked, deadline = time.monotonic(), time.monotonic() + BACKFILL_SECONDS
    while True:
        sample = memory(stack.pid, here.data_dir)
        peak = max(peak, sample, key=lambda one: sum(one.values()))
        highest = {name: max(highest.get(name, 0), sample.get(name, 0)) for name in {*highest, *sample}}
        if time.monotonic() - asked > ASK_SECONDS:
            asked = time.monotonic()
            status = stack.ask(BACKFILL_STATE, id=answer["backfillId"])["partitionBackfillOrError"]["status"]
            if status in DONE:
                break
        if asked > deadline:
            raise RuntimeError(f"the backfill is not done after {BACKFILL_SECONDS} s: {status}")
        time.sleep(LOOK_SECONDS)
    if status != "COMPLETED_SUCCESS":
        raise RuntimeError(f"the backfill ended as {status}")
    return peak, highest, _count(database, day)


def _lose(database: Database, day: date) -> None:
    with database.rows() as connection:
        connection.execute(LOSE, [day])


def _count(database: Database, day: date) -> int:
    with database.rows() as connection:
        row = connection.execute(COUNT, [day]).fetchone()
    return int(row["n"]) if row else 0


def _memory_figure(idle: Sample, peak: Sample, highest: Sample, filled: int) -> Figure:
    at_rest, at_work = sum(idle.values()), sum(peak.values())
    return Figure(
        "whole stack under `up`, PSS, idle / peak in a day's backfill",
        f"{at_rest / 1e9:.2f} GB / {at_work / 1e9:.2f} GB",
        "1.5 GB / 2.0 GB",
        at_rest <= IDLE_ASKED and at_work <= PEAK_ASKED and filled == MINUTES_A_DAY,
        [
            f"the day had no minutes; {filled} of {MINUTES_A_DAY} after the backfill of all assets",
            f"{idle.get(REPLAY_EXCHANGE, 0) / 1e6:.0f} MB of it idle are the replay exchange's; a live stack has none",
            *_lines(idle, peak, highest),
        ],
    )


def _lines(idle: Sample, peak: Sample, highest: Sample) -> Iterator[str]:
    for name in sorted({*idle, *highest}, key=lambda name: -max(idle.get(name, 0), highest.get(name, 0))):
        shown = [f"{sample.get(name, 0) / 1e6:6.0f}" for sample in (idle, peak, highest)]
        yield f"{name:20} idle {shown[0]}, at the peak {shown[1]}, highest {shown[2]} MB"


def _processor_figure(used: Sample, seconds: float, runs: int) -> Figure:
    total = sum(used.values())
    without = total - used.get(REPLAY_EXCHANGE, 0.0)
    return Figure(
        "processor of the whole idle live stack",
        f"{without / seconds:.3f} cores, {total / seconds:.3f} with the replay exchange",
        "print",
        None,
        [
            f"{seconds:.0f} s at 60 frames a minute; runs of the live lane meanwhile: {runs}",
            "a process that ended counts with its parent: PostgreSQL starts one for every connection",
            *(
                f"{name:20} {value / seconds:.4f} cores"
                for name, value in sorted(used.items(), key=lambda one: -one[1])
            ),
        ],
    )
