"""Times as written: ISO 8601, or a whole number of s, ms, µs or ns since 1970, to epoch minutes.

Belongs here: units, and telling them apart. Does not belong here: the order of rows (`checks`).

A file has one unit. Whole numbers tell theirs by magnitude: from 2009 to 5138 the four ranges do not overlap. ISO
times without an offset are UTC, but a file may not mix them with times that have one: a lost offset would be a silent
shift.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from btc_pipeline.importing.arrow_arrays import to_numpy
from btc_pipeline.market.candles import BoolArray
from btc_pipeline.market.intervals import Int64Array


class TimeUnit(StrEnum):
    """How a file writes times."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"
    ISO_8601 = "iso8601"


_UNKNOWN, _S, _MS, _US, _NS, _ISO_UTC, _ISO_OFFSET = range(7)
_UNIT_OF_KIND: Final = (
    TimeUnit.ISO_8601, TimeUnit.SECONDS, TimeUnit.MILLISECONDS, TimeUnit.MICROSECONDS, TimeUnit.NANOSECONDS,
    TimeUnit.ISO_8601, TimeUnit.ISO_8601,
)  # fmt: skip
_WORDS: Final = (
    "no time", "seconds", "milliseconds", "microseconds", "nanoseconds",
    "ISO 8601 without an offset", "ISO 8601 with an offset",
)  # fmt: skip
_PER_MINUTE: Final = np.array([1, 60, 60_000, 60_000_000, 60_000_000_000, 60_000_000, 60_000_000], dtype=np.int64)
_FIRST_OF_NEXT_KIND: Final = np.array([10**11, 10**14, 10**17], dtype=np.int64)

_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.0*)?")
_ISO: Final = re.compile(
    r"""([0-9]{4}-[0-9]{2}-[0-9]{2})
    (?:[ T]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?)?
    ([ ]?Z|[ ]?UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?""",
    re.VERBOSE,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

NOT_A_TIME: Final = "is not a time; write ISO 8601 such as 2024-01-31T23:59:00Z, or whole s, ms, µs or ns since 1970"

ONE_UNIT: Final = "a file has one unit"


@dataclass(frozen=True, slots=True)
class Times:
    """A column of times, n rows.

    Attributes:
        unit: the unit of most rows.
        minutes: int64, epoch minutes, rounded down; meaningless where `unreadable`.
        unreadable: bool, the text is not a time.
        other_unit: bool, it is one in another unit than most.
        uneven: bool, it is not on a whole minute.
    """

    unit: TimeUnit
    minutes: Int64Array
    unreadable: BoolArray
    other_unit: BoolArray
    uneven: BoolArray
    _kinds: Int64Array
    _main_kind: int

    def explain_unit(self, row: int) -> str:
        """What is wrong with the unit of a row that `other_unit` marks."""
        return f"is in {_WORDS[self._kinds[row]]}, the other rows are in {_WORDS[self._main_kind]}; {ONE_UNIT}"


def parse_times(texts: Any) -> Times:
    """Epoch minutes of a column of texts (Arrow strings of n rows, trimmed)."""
    values, kinds = _parse_whole_numbers(texts) or _parse_iso(texts) or _parse_one_by_one(texts.to_pylist())
    counts = np.bincount(kinds, minlength=7)
    counts[_UNKNOWN] = 0
    main = int(np.argmax(counts)) if counts.any() else _UNKNOWN
    unreadable = np.asarray(kinds == _UNKNOWN)
    minutes, rest = np.divmod(values, _PER_MINUTE[kinds])
    return Times(
        unit=_UNIT_OF_KIND[main],
        minutes=minutes,
        unreadable=unreadable,
        other_unit=np.asarray((kinds != main) & ~unreadable),
        uneven=np.asarray((rest != 0) & ~unreadable),
        _kinds=kinds,
        _main_kind=main,
    )


def text_of_minute(minute: int) -> str:
    """An epoch minute for a message; empty when no calendar has it."""
    try:
        return (_EPOCH + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%MZ")
    except OverflowError:
        return ""


def _kind_of(values: Int64Array) -> Int64Array:
    return np.searchsorted(_FIRST_OF_NEXT_KIND, values, side="right").astype(np.int64) + _S


def _parse_whole_numbers(texts: Any) -> tuple[Int64Array, Int64Array] | None:
    if not pc.all(pc.ascii_is_decimal(texts)).as_py():  # Arrow's cast would read 0x10 as 16
        return None
    try:
        values: Int64Array = to_numpy(texts.cast(pa.int64()))
    except pa.ArrowInvalid:
        return None
    return values, _kind_of(values)


def _parse_iso(texts: Any) -> tuple[Int64Array, Int64Array] | None:
    for kind, arrow_type in ((_ISO_OFFSET, pa.timestamp("us", "UTC")), (_ISO_UTC, pa.timestamp("us"))):
        try:
            values: Int64Array = to_numpy(texts.cast(arrow_type).cast(pa.int64()))
        except pa.ArrowInvalid:
            continue
        return values, np.full(len(values), kind, dtype=np.int64)
    return None


def _parse_one_by_one(texts: list[str]) -> tuple[Int64Array, Int64Array]:
    parsed = np.array([_parse_one(text) for text in texts], dtype=np.int64).reshape(-1, 2)
    return parsed[:, 0].copy(), parsed[:, 1].copy()


def _parse_one(text: str) -> tuple[int, int]:
    """(value, kind) of one text; ISO times in microseconds, rounded up so that finer ones stay off the minute."""
    if _WHOLE_NUMBER.fullmatch(text):
        value = int(text.partition(".")[0])
        if value >= 2**63:
            return 0, _UNKNOWN
        return value, int(np.searchsorted(_FIRST_OF_NEXT_KIND, value, side="right")) + _S
    match = _ISO.fullmatch(text)
    if not match:
        return 0, _UNKNOWN
    date, hour, minute, second, fraction, zone = match.groups()
    offset = "+00:00" if zone is None or zone.strip() in ("Z", "UTC") else zone
    try:
        moment = datetime.fromisoformat(f"{date}T{hour or '00'}:{minute or '00'}:{second or '00'}{offset}")
        value = (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return 0, _UNKNOWN
    if fraction and fraction.strip("0"):
        value += max(1, int(fraction.ljust(6, "0")[:6]))
    return value, _ISO_UTC if zone is None else _ISO_OFFSET
