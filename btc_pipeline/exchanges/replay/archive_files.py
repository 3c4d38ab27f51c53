"""Files of Binance's public archive: their names, when they are published, and their bytes, always the same ones."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from btc_pipeline.exchanges.replay.behaviour import Behaviour
from btc_pipeline.exchanges.replay.binance_flavour import Flavour
from btc_pipeline.exchanges.replay.binance_text import ARCHIVE_HEADER, KlineText
from btc_pipeline.exchanges.replay.market import Listing
from btc_pipeline.exchanges.replay.tape import Tape
from btc_pipeline.market.intervals import MINUTES_PER_DAY

_PATH: Final = re.compile(
    r"(monthly|daily)/klines/(?P<symbol>[^/]+)/1m/(?P<name>(?P=symbol)-1m-([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?)\.zip"
)
_ZIP_TIME: Final = (2020, 1, 1, 0, 0, 0)


class Content(NamedTuple):
    """The bytes of a file, and their SHA-256 in hexadecimal."""

    data: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Quirks:
    """What is unusual about a file's content; nothing by default.

    Attributes:
        reissued: the volume of one minute is a tick larger.
        mixed_units: the second half of its lines has the other time unit.
        other_header: a header where there is none, or none where there is one.
        short: only the first half of its bytes is left.
    """

    reissued: bool = False
    mixed_units: bool = False
    other_header: bool = False
    short: bool = False


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of 1m klines of the epoch minutes [start, end)."""

    name: str
    listing: Listing
    start: int
    end: int
    monthly: bool

    def published(self, behaviour: Behaviour) -> float:
        """UTC seconds from which on it is there."""
        hours = behaviour.month_file_hours if self.monthly else behaviour.day_file_hours
        return self.end * 60.0 + hours * 3600.0


def find_file(path: str, listings: Mapping[str, Listing]) -> ArchiveFile | None:
    """The file at a path such as monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12.zip; None if there can be none.

    Args:
        listings: by the name of their instrument.
    """
    match = _PATH.fullmatch(path)
    if match is None or match["symbol"] not in listings:
        return None
    monthly = match[1] == "monthly"
    if monthly is not (match[6] is None):
        return None
    try:
        first = date(int(match[4]), int(match[5]), int(match[6] or 1))
        after = (first + timedelta(days=31)).replace(day=1) if monthly else first + timedelta(days=1)
    except (ValueError, OverflowError):
        return None
    return ArchiveFile(match["name"], listings[match["symbol"]], _minute(first), _minute(after), monthly)


class BuildingStoppedError(Exception):
    """Nobody wants the file any more."""


def build_file(
    file: ArchiveFile, tape: Tape, flavour: Flavour, quirks: Quirks, stopped: Callable[[], bool]
) -> Content | None:
    """The bytes of a file. A minute of which the market has no row has no line; None for a file without any.

    Raises:
        BuildingStoppedError: `stopped` said so, which is asked once for every day.
    """
    usual = 1000 if flavour.microseconds_from is not None and file.start >= flavour.microseconds_from else 1
    text = KlineText(file.listing, flavour.padding)
    coin = file.listing.name
    middle = (file.start + file.end) // 2
    lines = [f"{ARCHIVE_HEADER}\n"] if flavour.archive_header is not quirks.other_header else []
    header = len(lines)
    changed = not quirks.reissued
    for minute in range(file.start, file.end):
        if minute % MINUTES_PER_DAY == 0 and stopped():
            raise BuildingStoppedError
        row = tape.market.minute(coin, minute)
        if row is None:
            continue
        flow = tape.flow(coin, row)
        if not changed and row.trades and minute >= middle:
            row, changed = row._replace(volume=row.volume + 1), True
        units = 1001 - usual if quirks.mixed_units and minute >= middle else usual
        lines.append(text.line(row, flow, units))
    if len(lines) == header:
        return None
    data = _zipped(f"{file.name}.csv", "".join(lines).encode())
    if quirks.short:
        data = data[: len(data) // 2]
    return Content(data, hashlib.sha256(data).hexdigest())


def _zipped(name: str, text: bytes) -> bytes:
    buffer = io.BytesIO()
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, text)
    return buffer.getvalue()


def _minute(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // 60
