"""A figure: what was measured, what was asked, whether it was reached; and the clock."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `reached` is None where a number is only printed."""

    name: str
    measured: str
    asked: str = "print"
    reached: bool | None = None
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Laps:
    """Seconds of several rounds of one thing."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:.2f} s (of {', '.join(f'{one:.2f}' for one in self.seconds)})"


def timed(function: Callable[[], T]) -> tuple[float, T]:
    """The seconds that a call takes, and what it returns."""
    gc.collect()
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def alternate(rounds: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, Laps]:
    """Runs the sides in turn, A B A B, so that a noisy neighbour meets all of them; each returns its seconds."""
    laps: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            laps[name].append(side())
    return {name: Laps(seconds) for name, seconds in laps.items()}
