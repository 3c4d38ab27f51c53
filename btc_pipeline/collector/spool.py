"""Minutes on disk while the database is away: JSON lines in numbered files, oldest first, gone once they are stored.

Belongs here: the files. Does not belong here: when to write and when to replay (`landing`). Not safe for two processes
or threads at once. All of it blocks: from an event loop it is called in a thread.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from btc_pipeline.collector.store import Landing, MinuteStatus
from btc_pipeline.exchanges.base import Minute
from btc_pipeline.market.candles import Scale

ROWS_A_FILE: Final = 1000
SUFFIX: Final = ".jsonl"
UNREADABLE: Final = "unreadable.txt"

SpooledRow = tuple[str, Landing]
"""A symbol and what is to be landed under it."""


@dataclass(frozen=True, slots=True)
class SpooledBatch:
    """What one file holds, in order; lines that cannot be read are given as they are. `number` names it to `remove`."""

    number: int
    rows: Sequence[SpooledRow]
    unreadable: Sequence[str]


class Spool:
    """Rows in files of at most ROWS_A_FILE; what `append` has taken survives the process and a power cut."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """
        Args:
            max_bytes: rows that would not fit are not taken; what is there stays.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._sizes: dict[int, int] = {}
        """Of every file, by its number."""
        self._counts: dict[int, int] = {}
        for path in folder.glob(f"[0-9]*{SUFFIX}"):
            content = path.read_bytes()
            self._sizes[int(path.stem)] = len(content)
            self._counts[int(path.stem)] = content.count(b"\n")
        # A file of an earlier process may end in a torn line: nothing is ever appended to it.
        self._next = max(self._sizes, default=0) + 1
        self._file: BinaryIO | None = None
        self._number = 0

    @property
    def pending(self) -> bool:
        """Whether there is a file to be landed or to be tidied away."""
        return bool(self._sizes)

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return sum(self._counts.values())

    @property
    def size(self) -> int:
        """How many bytes they take on disk."""
        return sum(self._sizes.values())

    def append(self, rows: Sequence[SpooledRow]) -> int:
        """Writes rows and waits until the disk has them.

        Returns:
            How many were taken, from the first on: fewer than given at the cap.

        Raises:
            OSError: the disk takes none of them.
        """
        lines = [_line(*row) for row in rows]
        taken = 0
        room = self._max_bytes - self.size
        while taken < len(lines) and len(lines[taken]) <= room:
            room -= len(lines[taken])
            taken += 1
        written = 0
        while written < taken:
            part = lines[written : min(taken, written + self._room_in_file())]
            try:
                self._write(part)
            except OSError:
                if not written:
                    raise
                break
            written += len(part)
        return written

    def oldest(self) -> SpooledBatch | None:
        """The oldest file's rows; None if nothing waits. The same until it is removed, but for what is appended."""
        if not self._sizes:
            return None
        number = min(self._sizes)
        rows: list[SpooledRow] = []
        unreadable: list[str] = []
        # A last line without its end was torn when the process died: it had not been taken.
        for line in self._path(number).read_bytes().split(b"\n")[:-1]:
            try:
                rows.append(_row(line))
            except (ValueError, KeyError, TypeError):
                unreadable.append(line.decode("utf-8", "replace"))
        if number == self._number:
            self._finish()
        return SpooledBatch(number, rows, unreadable)

    def remove(self, batch: SpooledBatch) -> None:
        """Forgets a batch: the database has committed it. Lines that could not be read are kept in a file beside."""
        if batch.unreadable:
            with (self._folder / UNREADABLE).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in batch.unreadable)
                file.flush()
                os.fsync(file.fileno())
        self._path(batch.number).unlink(missing_ok=True)
        _sync(self._folder)
        self._sizes.pop(batch.number, None)
        self._counts.pop(batch.number, None)

    def close(self) -> None:
        """Closes the file that is being written."""
        self._finish()

    def _room_in_file(self) -> int:
        if self._file is not None and self._counts[self._number] >= ROWS_A_FILE:
            self._finish()
        return ROWS_A_FILE - (self._counts[self._number] if self._file is not None else 0)

    def _write(self, lines: Sequence[bytes]) -> None:
        if self._file is None:
            self._number, self._next = self._next, self._next + 1
            self._file = self._path(self._number).open("xb", buffering=0)
            self._sizes[self._number] = self._counts[self._number] = 0
            _sync(self._folder)
        content = b"".join(lines)
        try:
            written = 0
            while written < len(content):
                written += self._file.write(content[written:]) or 0
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._sizes[self._number])
            self._finish()
            raise
        self._sizes[self._number] += len(content)
        self._counts[self._number] += len(lines)

    def _finish(self) -> None:
        """No more is appended to the file being written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}{SUFFIX}"


def _sync(folder: Path) -> None:
    """A new or a removed name survives a power cut only once its folder is synced."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(symbol: str, landing: Landing) -> bytes:
    one = landing.minute
    return (
        json.dumps(
            {
                "symbol": symbol,
                "time": one.time,
                "prices": [one.open, one.high, one.low, one.close],
                "volume": one.volume,
                "trades": one.trades,
                "quote_volume": _or_null(one.quote_volume),
                "taker_buy_volume": _or_null(one.taker_buy_volume),
                "decimals": [one.decimals.price, one.decimals.volume, one.decimals.quote],
                "status": str(landing.status),
                "reason": landing.reason,
            },
            separators=(",", ":"),
        )
        + "\n"
    ).encode()


def _row(line: bytes) -> SpooledRow:
    said = json.loads(line)
    open_, high, low, close = map(float, said["prices"])
    minute = Minute(
        said["time"],
        open_,
        high,
        low,
        close,
        volume=float(said["volume"]),
        trades=said["trades"],
        quote_volume=_or_nan(said["quote_volume"]),
        taker_buy_volume=_or_nan(said["taker_buy_volume"]),
        decimals=Scale(*said["decimals"]),
    )
    return said["symbol"], Landing(minute, MinuteStatus(said["status"]), said["reason"])


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
