"""Candle files for the command: three days of minutes, a column at a time to spoil."""

from __future__ import annotations

from pathlib import Path

HEADER = "time,open,high,low,close,volume"
START_MS = 1_451_606_400_000  # 2016-01-01T00:00Z
MINUTES_PER_DAY = 1440


def lines(days: int = 3, first_day: int = 0) -> list[str]:
    """A price that goes up and down by cents; every line another volume."""
    rows = []
    for i in range(first_day * MINUTES_PER_DAY, (first_day + days) * MINUTES_PER_DAY):
        cents = 40_000 + (i * i) % 977
        rows.append(
            f"{START_MS + i * 60_000},{cents / 100:.2f},{cents / 100 + 1:.2f},{cents / 100 - 1:.2f},{cents / 100:.2f},"
            f"{1 + i % 9}.5"
        )
    return rows


def write(folder: Path, rows: list[str], name: str = "candles.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path
