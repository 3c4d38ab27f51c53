"""Pages by key: links that continue a list exactly where it stopped, whatever was written in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import Request

from api.parameters import EARLIEST, LATEST

Row = TypeVar("Row")

DISTANT_PAST: Final = EARLIEST
DISTANT_FUTURE: Final = LATEST


@dataclass(frozen=True, slots=True)
class TimePage:
    """Rows ascending, and what to ask for to go on: a time and how many rows at that time are known already."""

    rows: list[dict[str, Any]]
    next: tuple[datetime, int] | None = None
    previous: tuple[datetime, int] | None = None


def cut(found: Sequence[dict[str, Any]], limit: int, skip: int, *, newest: bool, time: str = "time") -> TimePage:
    """A page out of rows that were fetched in the direction of reading, `skip` and one more than it may hold.

    Several rows may have one time (strategies, versions): the key is the time and the number of rows at it.

    Args:
        newest: the rows descend, and the page goes on backwards.
    """
    rows = list(found[skip : skip + limit])
    more = None
    if len(found) > skip + limit:
        at = rows[-1][time]
        known = sum(row[time] == at for row in found[: skip + limit])
        more = (at, known)
    if newest:
        return TimePage(rows[::-1], previous=more)
    return TimePage(rows, next=more)


def link(request: Request, **changes: object) -> str:
    """This request's address with other parameters; relative to the server, so that no Host header is believed."""
    parameters = dict(request.query_params)
    for name, value in changes.items():
        parameters.pop(name, None)
        if value is not None:
            parameters[name] = iso(value) if isinstance(value, datetime) else str(value)
    path = request.scope.get("root_path", "") + request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return f"{path}?{urlencode(parameters)}"


def links(request: Request, page: TimePage) -> dict[str, str | None]:
    """The `next` and `previous` of a page."""
    onward = back = None
    if page.next is not None:
        onward = link(request, start=page.next[0], skip=page.next[1])
    if page.previous is not None:
        # `end` is exclusive: the rows at that very time that are still missing lie a microsecond before it.
        back = link(request, end=_just_after(page.previous[0]), skip=page.previous[1])
    return {"next": onward, "previous": back}


def iso(moment: datetime) -> str:
    """ISO 8601 with Z, no more digits than needed."""
    text = moment.astimezone(UTC).isoformat()
    return text.replace("+00:00", "Z")


def _just_after(moment: datetime) -> datetime:
    from datetime import timedelta

    return moment + timedelta(microseconds=1)
