"""`make bench-live`, or `python -m btc_pipeline_tests.bench.live_main [PART ...]`: the figures of everything live."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from btc_pipeline_tests.bench import (
    part_live_archive,
    part_live_decision,
    part_live_fresh,
    part_live_hole,
    part_live_landing,
    part_live_memory,
    part_live_replay,
    part_live_restart,
    part_live_stack,
    part_live_venues,
)
from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_stack import LiveSpace, live_space
from btc_pipeline_tests.bench.report import measure, print_figures, say

PARTS: Final[dict[str, Callable[[LiveSpace], list[Figure]]]] = {
    "landing": part_live_landing.run,
    "decision": part_live_decision.run,
    "hole": part_live_hole.run,
    "restart": part_live_restart.run,
    "memory": part_live_memory.run,
    "stack": part_live_stack.run,
    "replay": part_live_replay.run,
    "archive": part_live_archive.run,
    "fresh": part_live_fresh.run,
    "venues": part_live_venues.run,
}


def main() -> int:
    """Runs the parts that are asked for, all by default; 1 if a figure is not reached."""
    arguments = _arguments()
    began = time.monotonic()
    with live_space(arguments.folder, say, minutes=arguments.minutes, closes=arguments.closes) as space:
        figures = measure(PARTS, arguments.parts or list(PARTS), space)
    return print_figures(
        "btc_pipeline, live", figures, "a made-up market at 60 frames a minute", time.monotonic() - began
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m btc_pipeline_tests.bench.live_main", description="Measures it live.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument(
        "--folder", type=Path, help="where the temporary data folders are made; the system's by default"
    )
    parser.add_argument("--minutes", type=int, default=6, help="of which landing measures every close; 6 by default")
    parser.add_argument("--closes", type=int, default=30, help="of bars that decision waits for; 30 by default")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: use {', '.join(PARTS)}")
    if min(arguments.minutes, arguments.closes) < 1:
        parser.error("--minutes and --closes are at least 1")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
