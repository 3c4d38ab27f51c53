"""`python -m btc_pipeline_tests.bench [PART ...]`: measures, then prints one table and what lies behind it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from btc_pipeline_tests.bench import (
    part_api,
    part_day,
    part_disk,
    part_growth,
    part_import,
    part_materialize,
    part_memory,
    part_shell,
)
from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.market import find_market
from btc_pipeline_tests.bench.report import measure, print_figures, say
from btc_pipeline_tests.bench.workspace import Workspace, workspace

PARTS: Final[dict[str, Callable[[Workspace], list[Figure]]]] = {
    "import": part_import.run,
    "materialize": part_materialize.run,
    "shell": part_shell.run,
    "growth": part_growth.run,
    "day": part_day.run,
    "api": part_api.run,
    "memory": part_memory.run,
    "disk": part_disk.run,
}


def main() -> int:
    """Runs the parts that are asked for, all by default; 1 if a figure is not reached."""
    arguments = _arguments()
    chosen = arguments.parts or list(PARTS)
    began = time.monotonic()
    with workspace(arguments.folder, find_market, say) as space:
        say(f"minutes: {space.market.description}")
        description = space.market.description
        figures = measure(PARTS, chosen, space)
    return print_figures("btc_pipeline benchmarks", figures, description, time.monotonic() - began)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m btc_pipeline_tests.bench", description="Measures the pipeline.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--folder", type=Path, help="where the temporary data folder is made; the system's by default")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: use {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
