"""Small candle files to spoil, one cell at a time."""

from __future__ import annotations

from pathlib import Path

from btc_pipeline.errors import UserError
from btc_pipeline.importing.reader import read_candle_file

HEADER = ["time", "open", "high", "low", "close", "volume"]
START = 28_401_120  # 2024-01-01T00:00Z in epoch minutes
START_MS = START * 60_000


def rows(n: int = 8) -> list[list[str]]:
    """Valid rows under `HEADER`, one a minute, times in ms; row i is line i + 2 of the file."""
    return [
        [str(START_MS + i * 60_000), f"{100 + i}.5", f"{102 + i}.25", f"{99 + i}.75", f"{101 + i}", f"0.{i + 1}"]
        for i in range(n)
    ]


def spoilt(row: int, column: str, value: str, n: int = 8) -> list[list[str]]:
    """Valid rows but for one cell."""
    table = rows(n)
    table[row][HEADER.index(column)] = value
    return table


def write(folder: Path, table: list[list[str]], header: list[str] | None = HEADER, name: str = "candles.csv") -> Path:
    """Writes a CSV file."""
    lines = [",".join(line) for line in ([header] if header else []) + table]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def error_of(path: Path, **options: object) -> str:
    """The message with which a file is refused."""
    try:
        read_candle_file(path, **options)  # type: ignore[arg-type]
    except UserError as error:
        return str(error)
    raise AssertionError(f"{path.name} was accepted")
