"""Frames and rows as text: what all wires have in common.

Belongs here: JSON objects of frames, minutes of milliseconds, what is kept of what cannot be taken, pages of minutes.
Does not belong here: any venue's fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from btc_pipeline.exchanges.base import MINUTE_MS, History, Minute, Unreadable

LONGEST_PAYLOAD: Final = 2_000
_LAST_MS: Final = 1 << 47


def read_object(frame: str | bytes) -> dict[str, Any] | Unreadable:
    """The JSON object of a frame. Numbers with a point stay text: a double would have lost how they were written."""
    try:
        message = json.loads(frame, parse_float=str)
    except (ValueError, RecursionError):
        return Unreadable("a frame that is no JSON", shown(frame))
    if not isinstance(message, dict):
        return Unreadable("a frame that is no object", shown(frame))
    return message


def require(row: Mapping[str, Any], keys: Iterable[str], what: str = "candle") -> None:
    """
    Raises:
        ValueError: a row, which is a `what`, lacks one of the keys.
    """
    missing = [key for key in keys if key not in row]
    if missing:
        raise ValueError(f"a {what} without {', '.join(missing)}")


def read_count(value: object, name: str) -> int:
    """A whole number that is not negative.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} {value!r:.40} is no count")
    return value


def read_minute(opened: int, last: int, first_name: str, last_name: str) -> int:
    """The epoch minute of a candle's first and last millisecond.

    Raises:
        ValueError: they are those of no minute.
    """
    if opened % MINUTE_MS or last != opened + MINUTE_MS - 1:
        raise ValueError(f"{first_name} {opened} and {last_name} {last} are no minute")
    return opened // MINUTE_MS


def unreadable(row: object, error: ValueError, opened: object, coin: object = None) -> Unreadable:
    """A row that was refused, with its minute (of `opened`, in milliseconds) and its coin as far as it has them."""
    valid = isinstance(opened, int) and 0 < opened < _LAST_MS and opened % MINUTE_MS == 0
    minute = opened // MINUTE_MS if isinstance(opened, int) and valid else None
    return Unreadable(str(error), shown(json.dumps(row)), minute, coin if isinstance(coin, str) else None)


def shown(frame: str | bytes) -> str:
    """What is kept of a frame."""
    text = frame if isinstance(frame, str) else frame.decode(errors="replace")
    return text[:LONGEST_PAYLOAD]


def pages(start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """The epoch minutes [start, end) in spans of at most so many, ascending."""
    for first in range(max(start, 0), end, most):
        yield first, min(first + most, end)


def history_of(
    rows: Iterable[object],
    read: Callable[[object], Minute],
    refuse: Callable[[object, ValueError], Unreadable],
    start: int,
    end: int,
) -> History:
    """The minutes of [start, end) among rows in any order; of two about one minute the later one holds."""
    minutes: dict[int, Minute] = {}
    refused: list[Unreadable] = []
    for row in rows:
        try:
            minute = read(row)
        except ValueError as error:
            refused.append(refuse(row, error))
        else:
            if start <= minute.time < end:
                minutes[minute.time] = minute
    return History([minutes[time] for time in sorted(minutes)], refused)
