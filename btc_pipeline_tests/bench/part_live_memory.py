"""The collector's memory over three virtual days, hour by hour."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

import numpy as np

from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_stack import LiveSpace, place

DAYS: Final = 3
MEMORY_ASKED: Final = 128e6
SLOPE_ASKED: Final = 1e6
FRAMES: Final = 60
HOURS_A_DAY: Final = 24


@dataclass(frozen=True, slots=True)
class Virtual:
    """Virtual days that were run.

    Attributes:
        seconds, processor: real ones, and the process's own processor time.
        minutes: stored since the start.
        rss: bytes at the start and after every virtual hour.
    """

    seconds: float
    processor: float
    minutes: int
    rss: list[int]


def virtual_days(space: LiveSpace, name: str, days: int, frames: int) -> Virtual:
    """A collector for so many virtual days, in a process of its own beside an empty database.

    Raises:
        RuntimeError: it broke, or minutes are missing.
    """
    with place(space, name) as here:
        command = [sys.executable, "-m", "btc_pipeline_tests.bench.live_virtual", here.database().uri, str(here.folder)]
        done = subprocess.run(
            [*command, str(days), str(frames)], env=here.environment(), capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}\n{done.stderr[-2000:]}")
    found = Virtual(**json.loads(done.stdout.splitlines()[-1]))
    if found.minutes < days * 1440 - 1:
        raise RuntimeError(f"{found.minutes} minutes are stored of {days} days")
    return found


def run(space: LiveSpace) -> list[Figure]:
    found = virtual_days(space, "memory", DAYS, FRAMES)
    last_day = np.array(found.rss[-HOURS_A_DAY - 1 :], dtype=float)
    slope = float(np.polyfit(np.arange(len(last_day)) / HOURS_A_DAY, last_day, 1)[0])
    ends = ", ".join(f"{one / 1e6:.1f}" for one in found.rss[HOURS_A_DAY::HOURS_A_DAY])
    return [
        Figure(
            "collector memory after 3 virtual days; slope over the last",
            f"{found.rss[-1] / 1e6:.0f} MB; {slope / 1e6:+.2f} MB a day",
            "128 MB; below 1 MB a day",
            found.rss[-1] <= MEMORY_ASKED and slope < SLOPE_ASKED,
            [
                (
                    "RSS of a process that the replay exchange and the test's world share; nothing is subtracted: the "
                    "collector's own process is listed with the whole stack"
                ),
                (
                    f"before the collector began {found.rss[0] / 1e6:.1f} MB, after an hour {found.rss[1] / 1e6:.1f}, "
                    f"at the end of each day {ends}"
                ),
                f"slope: least squares over {len(last_day)} hourly samples; {FRAMES} frames a minute",
                f"{found.seconds:.0f} s, of which {found.processor:.0f} s of the process's own processor time",
            ],
        )
    ]
