"""`/decisions`: what strategies wanted at the close of bars, now or as it was known."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.bars import find_bounds
from api.context import ContextDependency, json_response
from api.paging import DISTANT_FUTURE, DISTANT_PAST, cut, links
from api.parameters import (
    Align,
    AlignChoice,
    EndText,
    IntervalText,
    Limit,
    Skip,
    StartText,
    SymbolText,
    label,
    parse_range,
    parse_time,
)
from api.schemas import DecisionsPage
from btc_pipeline.market.intervals import Interval
from btc_pipeline.storage.queries import decisions_statement

router = APIRouter(prefix="/decisions", tags=["decisions"])


class Versions(StrEnum):
    """Which versions of a decision."""

    CURRENT = "current"
    ALL = "all"


@router.get("", response_model=DecisionsPage, summary="Decisions, current or as they were known")
async def decisions(
    request: Request,
    context: ContextDependency,
    symbol: SymbolText,
    interval: IntervalText,
    strategy: Annotated[
        str | None,
        Query(
            max_length=100,
            description="A strategy's name; all without it.",
            openapi_examples={"one": {"value": "ma44"}},
        ),
    ] = None,
    start: StartText = None,
    end: EndText = None,
    as_of: Annotated[
        str | None,
        Query(
            description="A moment: the newest version recorded by then of each decision; one withdrawn by then is left "
            "out.",
            openapi_examples={"time": {"value": "2026-01-01T00:00Z"}},
        ),
    ] = None,
    versions: Annotated[Versions, Query(description="`all`: superseded ones and withdrawals, too.")] = Versions.CURRENT,
    limit: Limit = 1000,
    skip: Skip = 0,
    align: AlignChoice = Align.LEFT,
) -> Response:
    """Ascending by time and strategy. Those of backtests are not among them."""
    chosen = Interval.parse(interval)
    first, last = parse_range(start, end)
    moment = parse_time(as_of, "as_of")
    wanted = None if strategy is None else context.settings.registry.get(strategy).name
    instrument = (await find_bounds(context.connections, symbol)).instrument
    newest = first is None
    found = await context.connections.fetch(
        decisions_statement(newest=newest, every_version=versions is Versions.ALL),
        instrument.symbol,
        chosen.name,
        first or DISTANT_PAST,
        last or DISTANT_FUTURE,
        moment,
        skip + limit + 1,
        wanted,
    )
    page = cut([dict(row) for row in found], limit, skip, newest=newest)
    addresses = links(request, page)
    return json_response(
        {
            "symbol": instrument.symbol,
            "feed": context.settings.feed,
            "interval": chosen.name,
            "align": align,
            "count": len(page.rows),
            "as_of": moment,
            "warm_up": context.warm_up_of(instrument.symbol),
            **addresses,
            "data": [_decision(row, chosen, align) for row in page.rows],
        }
    )


def _decision(row: dict[str, Any], interval: Interval, align: Align) -> dict[str, Any]:
    row["time"] = label(row["time"], interval, align)
    row["parameters"] = json.loads(row["parameters"])
    row["indicator_snapshot"] = json.loads(row["indicator_snapshot"])
    return row
