"""Query parameters: the types that endpoints share, times, and the guard that every query passes.

Belongs here: what text from outside becomes before anything else sees it. Does not belong here: what is done with it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import Query, Request

from btc_pipeline.errors import UserError
from btc_pipeline.market.intervals import Interval
from btc_pipeline.problems import shown, unknown_name

MAX_LIMIT: Final = 10_000
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

# Fewer milliseconds than these are before 1973: meant as seconds, or as a date without hyphens.
_FEWEST_MILLISECONDS: Final = 10**11
_INTEGER: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_LOST_PLUS: Final = re.compile(r"(T.*) ([0-9]{2}:?[0-9]{2})", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_HOW: Final = "use ISO 8601 (2016-01-01, 2016-01-01T12:30Z; UTC if it names no zone) or epoch milliseconds"
_RANGE: Final = "from 1970 to 2199"


class Align(StrEnum):
    """Which end of a bar names it."""

    LEFT = "left"
    RIGHT = "right"


SymbolText = Annotated[
    str,
    Query(
        description="`BTC` (Hyperliquid's perpetual) or `NAME.VENUE`.",
        openapi_examples={"one": {"value": "BTC"}},
        json_schema_extra={"pattern": r"^([A-Z0-9][A-Z0-9:@/_-]{0,30}\.[A-Z][A-Z0-9_-]{0,30}|BTC|cbBTC|cbBTC-PERP)$"},
    ),
]
IntervalText = Annotated[
    str,
    Query(
        description="`1m` to `1440m`, `1h` to `24h`, `1d`, `3d`, `1w` or `1M`; stored or not.",
        openapi_examples={"stored": {"value": "37m"}, "made on the spot": {"value": "41m"}},
        json_schema_extra={
            "pattern": r"^(([1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m|([1-9]|1[0-9]|2[0-4])h|1d|3d|1w|1M)$"
        },
    ),
]
StartText = Annotated[
    str | None,
    Query(
        description="The first open time wanted, whatever `align` is: ISO 8601 (UTC if it names no zone) or epoch "
        "milliseconds. Without it: the newest rows before `end`.",
        openapi_examples={"date": {"value": "2016-01-01"}, "milliseconds": {"value": "1451606400000"}},
    ),
]
EndText = Annotated[
    str | None,
    Query(
        description="Open times before this one, itself not included.",
        openapi_examples={"time": {"value": "2016-02-01T12:00Z"}},
    ),
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows of a page.")]
Skip = Annotated[
    int, Query(ge=0, le=MAX_LIMIT, description="Rows at the page's edge that are known already; set by links.")
]
AlignChoice = Annotated[
    Align, Query(description="`left`: a bar's `time` is when it opens; `right`: when it closes. The same rows come.")
]


async def guard(request: Request) -> None:
    """Refuses what no endpoint can use: unknown and repeated parameters, control characters in any value.

    Raises:
        UserError: with the nearest name of a parameter that is not known.
    """
    known = _parameters_of(request.scope["route"])
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise UserError(unknown_name("parameter", name, known), field=name[:40])
        if name in seen:
            raise UserError(f"{name} is given twice.", field=name)
        seen.add(name)
        if _CONTROL.search(value):
            raise UserError(f"{name} {value!r:.40} is not valid: it contains a control character.", field=name)


def parse_time(text: str | None, field: str) -> datetime | None:
    """A moment from ISO 8601 or epoch milliseconds, in UTC; None for None.

    Raises:
        UserError: it is neither, or out of range.
    """
    if text is None:
        return None
    if _INTEGER.fullmatch(text):
        moment = _of_milliseconds(text, field)
    else:
        try:
            # "+00:00" in a URL arrives as " 00:00" where nobody has escaped the plus.
            parsed = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text))
            moment = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
        except ValueError:
            raise UserError(f"{field} {shown(text)} is not a time: {_HOW}.", field=field) from None
        except OverflowError:
            raise UserError(f"{field} {shown(text)} is out of range: use a time {_RANGE}.", field=field) from None
    if not EARLIEST <= moment < LATEST:
        raise UserError(f"{field} {shown(text)} is out of range: use a time {_RANGE}.", field=field)
    return moment


def parse_range(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """Both ends of a half-open range.

    Raises:
        UserError: one is no time, or the start is not before the end.
    """
    first, last = parse_time(start, "start"), parse_time(end, "end")
    if first is not None and last is not None and first >= last:
        raise UserError(f"start {start} is not before end {end}: the range is half-open, [start, end).", field="start")
    return first, last


def minute_from(moment: datetime | None) -> int | None:
    """The first epoch minute at or after a moment."""
    return None if moment is None else -((EARLIEST - moment) // timedelta(minutes=1))


def label(time: datetime, interval: Interval, align: Align) -> datetime:
    """The name of the bar that opens at a time."""
    if align is Align.LEFT:
        return time
    if not interval.is_month:
        return time + timedelta(minutes=interval.minutes)
    return time.replace(year=time.year + time.month // 12, month=time.month % 12 + 1)


def _of_milliseconds(text: str, field: str) -> datetime:
    milliseconds = int(text)
    if milliseconds < _FEWEST_MILLISECONDS:
        raise UserError(f"{field} {text} is too small for epoch milliseconds (seconds, a date?): {_HOW}.", field=field)
    if milliseconds >= (LATEST - EARLIEST) // timedelta(milliseconds=1):
        raise UserError(f"{field} {text} is out of range: use a time {_RANGE}.", field=field)
    return EARLIEST + timedelta(milliseconds=milliseconds)


def _parameters_of(route: Any) -> list[str]:
    """The names that a route takes; they do not change, so they are kept on it."""
    known: list[str] | None = getattr(route, "known_query_parameters", None)
    if known is None:
        found, waiting = [], [route.dependant]
        while waiting:
            dependant = waiting.pop()
            found += [field.alias for field in dependant.query_params]
            waiting += dependant.dependencies
        known = route.known_query_parameters = list(dict.fromkeys(found))
    return known
