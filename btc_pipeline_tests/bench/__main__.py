"""`python -m btc_pipeline_tests.bench [PART ...]`: measures, then prints one table and what lies behind it."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

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

progress: Final = Console(stderr=True, highlight=False)
answers: Final = Console(highlight=False, width=None if sys.stdout.isatty() else 150)


def main() -> int:
    """Runs the parts that are asked for, all by default; 1 if a figure is not reached."""
    arguments = _arguments()
    chosen = arguments.parts or list(PARTS)
    began = time.monotonic()
    figures: list[Figure] = []
    broken = False
    with workspace(arguments.folder, find_market, _say) as space:
        _say(f"minutes: {space.market.description}")
        description = space.market.description
        for name in chosen:
            _say(f"measuring: {name}")
            try:
                figures += PARTS[name](space)
            except Exception as error:  # noqa: BLE001 one part that breaks does not take the others' figures away
                progress.print_exception()
                figures.append(Figure(name, f"broke: {error!s:.80}", "", reached=False))
                broken = True
    _print(figures, description, time.monotonic() - began)
    return int(broken or any(figure.reached is False for figure in figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m btc_pipeline_tests.bench", description="Measures the pipeline.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--folder", type=Path, help="where the temporary data folder is made; the system's by default")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: use {', '.join(PARTS)}")
    return arguments


def _print(figures: list[Figure], description: str, seconds: float) -> None:
    table = Table("figure", "measured", "asked", "reached", title="btc_pipeline benchmarks", title_justify="left")
    for figure in figures:
        reached = {True: "[green]yes[/green]", False: "[red]NO[/red]", None: ""}[figure.reached]
        table.add_row(figure.name, figure.measured, figure.asked, reached)
    answers.print(table)
    for figure in figures:
        if figure.details:
            answers.print(f"[bold]{figure.name}[/bold]")
            for line in figure.details:
                answers.print(f"  {line}", soft_wrap=True, markup=False)
    answers.print(
        f"{description}; {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Python {platform.python_version()}; load now {os.getloadavg()[0]:.1f}; {seconds / 60:.1f} minutes in all"
    )


def _say(line: str) -> None:
    progress.print(f"[dim]{time.strftime('%H:%M:%S', time.gmtime())}[/dim] {line}")


if __name__ == "__main__":
    sys.exit(main())
