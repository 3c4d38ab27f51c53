"""Everything that the pipeline says of two years, recounted from the csv files in plain Python.

It knows the rules of design.md and none of the product's code: csv, integers and the exact division of integers. The
tests compare with `==`.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

UNIT = 10**8
"""Prices and volumes are counted in hundred-millionths."""

OUTAGE_AFTER = 180
COVERAGE_PERCENT = 99
WEEK_START = -3 * 1440
"""Monday 1969-12-29 in epoch minutes."""


@dataclass(frozen=True)
class Minute:
    open: int
    high: int
    low: int
    close: int
    volume: int

    @property
    def traded(self) -> bool:
        return self.volume != 0 or not self.open == self.high == self.low == self.close


@dataclass(frozen=True)
class Bar:
    slot: int
    time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    minutes: int
    quiet: int
    expected: int
    usable: bool


@dataclass(frozen=True)
class Decided:
    target: int | None
    type: str
    confidence: float
    seen: float | None


def read_history(paths: list[Path]) -> tuple[dict[int, Minute], set[int]]:
    """(minutes by epoch minute, quiet minutes without a row) of files that write no row where nothing traded.

    A hole is between two rows of one file; one longer than OUTAGE_AFTER is not known to be quiet.
    """
    minutes: dict[int, Minute] = {}
    quiet: set[int] = set()
    for path in paths:
        times = []
        with gzip.open(path, "rt", newline="") as file:
            for time_ms, open_, close, high, low, volume in csv.reader(file):
                time, rest = divmod(int(time_ms), 60_000)
                assert rest == 0
                minutes[time] = Minute(*(_units(text) for text in (open_, high, low, close, volume)))
                times.append(time)
        for before, after in pairwise(times):
            assert before < after
            if after - before - 1 <= OUTAGE_AFTER:
                quiet.update(range(before + 1, after))
    return minutes, quiet


def _units(text: str) -> int:
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and len(fraction) <= 8:
        return int(whole) * UNIT + int(fraction.ljust(8, "0"))
    value = Decimal(text) * UNIT
    assert value == int(value)
    return int(value)


def bars_of(minutes: dict[int, Minute], quiet: set[int], length: int, origin: int, start: int, end: int) -> list[Bar]:
    """The bars of `length` minutes that close in (start, end], on a grid through `origin`."""
    held: dict[int, list[int]] = {}
    for time in minutes:
        held.setdefault((time - origin) // length, []).append(time)
    bars = []
    for slot in sorted(held):
        first, close = slot * length + origin, (slot + 1) * length + origin
        traded = sorted(time for time in held[slot] if minutes[time].traded)
        if not traded or not start < close <= end:
            continue
        silent = sum(1 for time in range(first, close) if time in quiet and time not in minutes)
        present = len(held[slot]) + silent
        closing_known = close - 1 in minutes or close - 1 in quiet
        bars.append(
            Bar(
                slot,
                first,
                minutes[traded[0]].open,
                max(minutes[time].high for time in traded),
                min(minutes[time].low for time in traded),
                minutes[traded[-1]].close,
                sum(minutes[time].volume for time in traded),
                present,
                silent + len(held[slot]) - len(traded),
                length,
                present * 100 >= COVERAGE_PERCENT * length and closing_known,
            )
        )
    return bars


def sums_of(bars: list[Bar], period: int) -> Iterator[int | None]:
    """For each bar the sum of the last `period` closes, where those bars make a window."""
    slack = max(2, period // 20)
    for at in range(len(bars)):
        window = bars[at - period + 1 : at + 1] if at + 1 >= period else []
        holds = (
            bool(window)
            and window[-1].slot - window[0].slot + 1 <= period + slack
            and sum(1 for bar in window if not bar.usable) <= slack
        )
        yield sum(bar.close for bar in window) if holds else None


def averages_of(bars: list[Bar], period: int) -> dict[int, float]:
    """The simple average at each bar that has one, by the bar's time; the double nearest to the exact quotient."""
    return {
        bar.time: total / (period * UNIT)
        for bar, total in zip(bars, sums_of(bars, period), strict=True)
        if total is not None
    }


def decisions_of(bars: list[Bar], period: int) -> dict[int, Decided]:
    """Long above the average, short below, no opinion at equality, on a bar that is not usable, or without average."""
    decided: dict[int, Decided] = {}
    before_slot, before_target = None, None
    for bar, total in zip(bars, sums_of(bars, period), strict=True):
        target, confidence = None, 0.0
        if total is not None and bar.usable and bar.close * period != total:
            target = 1 if bar.close * period > total else -1
            average = total / (period * UNIT)
            confidence = min(abs(bar.close / UNIT - average) / average / 0.02, 1.0)
        held = before_target if before_slot == bar.slot - 1 and before_target is not None else 0
        decided[bar.time] = Decided(
            target, type_of(held, target), confidence, None if total is None else total / (period * UNIT)
        )
        before_slot, before_target = bar.slot, target
    return decided


def type_of(held: int, target: int | None) -> str:
    if target is None or target == held:
        return "HOLD"
    if target == 0:
        return "CLOSE_LONG" if held == 1 else "CLOSE_SHORT"
    return "OPEN_LONG" if target == 1 else "OPEN_SHORT"
