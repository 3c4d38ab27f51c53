"""`make bench-backtest`, or `python -m btc_pipeline_tests.bench.backtest_main [PART ...]`: the figures of backtests."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from btc_pipeline_tests.bench import (
    part_backtest_fresh,
    part_backtest_growth,
    part_backtest_post,
    part_backtest_single,
    part_backtest_sweep,
)
from btc_pipeline_tests.bench.backtest_market import BacktestSpace, backtest_space
from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.report import measure, print_figures, say

PARTS: Final[dict[str, Callable[[BacktestSpace], list[Figure]]]] = {
    "sweep": part_backtest_sweep.run,
    "single": part_backtest_single.run,
    "fresh": part_backtest_fresh.run,
    "growth": part_backtest_growth.run,
    "post": part_backtest_post.run,
}


def main() -> int:
    """Runs the parts that are asked for, all by default; 1 if a figure is not reached."""
    arguments = _arguments()
    began = time.monotonic()
    with backtest_space(arguments.folder, say) as space:
        description = space.market.description
        figures = measure(PARTS, arguments.parts or list(PARTS), space)
    return print_figures("btc_pipeline, backtests", figures, description, time.monotonic() - began)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m btc_pipeline_tests.bench.backtest_main", description="Measures backtests and sweeps."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--folder", type=Path, help="where temporary files are made; the system's by default")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: use {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
