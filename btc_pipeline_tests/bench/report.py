"""One table of figures, and what lies behind each."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import psutil
from rich.console import Console
from rich.table import Table

from btc_pipeline_tests.bench.figures import Figure

S = TypeVar("S")

_progress: Final = Console(stderr=True, highlight=False)
_answers: Final = Console(highlight=False, width=None if sys.stdout.isatty() else 150)


def measure(parts: Mapping[str, Callable[[S], list[Figure]]], chosen: Sequence[str], space: S) -> list[Figure]:
    """Runs the chosen parts one after another; one that breaks does not take the others' figures away."""
    figures: list[Figure] = []
    for name in chosen:
        say(f"measuring: {name}")
        try:
            figures += parts[name](space)
        except Exception as error:  # noqa: BLE001 whatever it is, it is told with the figures
            _progress.print_exception()
            figures.append(Figure(name, f"broke: {error!s:.80}", "", reached=False))
    return figures


def print_figures(title: str, figures: Sequence[Figure], description: str, seconds: float) -> int:
    """The table, the details and the machine; the exit code: 1 if a figure is not reached."""
    table = Table("figure", "measured", "asked", "reached", title=title, title_justify="left")
    for figure in figures:
        reached = {True: "[green]yes[/green]", False: "[red]NO[/red]", None: ""}[figure.reached]
        table.add_row(figure.name, figure.measured, figure.asked, reached)
    _answers.print(table)
    for figure in figures:
        if figure.details:
            _answers.print(f"[bold]{figure.name}[/bold]")
            for line in figure.details:
                _answers.print(f"  {line}", soft_wrap=True, markup=False)
    _answers.print(
        f"{description}; {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Python {platform.python_version()}; load now {os.getloadavg()[0]:.1f}; {seconds / 60:.1f} minutes in all"
    )
    return int(any(figure.reached is False for figure in figures))


def say(line: str) -> None:
    """A line of progress."""
    _progress.print(f"[dim]{time.strftime('%H:%M:%S', time.gmtime())}[/dim] {line}")
