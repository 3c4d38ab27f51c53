"""`/indicators`: stored values."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated

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
)
from api.schemas import IndicatorsPage
from btc_pipeline.errors import UnknownNameError
from btc_pipeline.market.intervals import Interval
from btc_pipeline.storage.queries import INDICATOR_DEFINITIONS, indicators_statement

router = APIRouter(prefix="/indicators", tags=["indicators"])


@router.get("", response_model=IndicatorsPage, summary="Indicator values at bars")
async def indicators(
    request: Request,
    context: ContextDependency,
    symbol: SymbolText,
    interval: IntervalText,
    name: Annotated[
        str | None,
        Query(description="Names, comma-separated; all without it.", openapi_examples={"one": {"value": "ma44"}}),
    ] = None,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = 1000,
    skip: Skip = 0,
    align: AlignChoice = Align.LEFT,
) -> Response:
    """A row a value, ascending by time and name; `definitions` tells what the names mean."""
    chosen = Interval.parse(interval)
    first, last = parse_range(start, end)
    instrument = (await find_bounds(context.connections, symbol)).instrument
    definitions = {
        row["indicator_name"]: {
            "indicator": row["indicator"],
            "output": row["output"],
            "parameters": json.loads(row["parameters"]),
        }
        for row in await context.connections.fetch(INDICATOR_DEFINITIONS)
    }
    names = list(definitions) if name is None else [check_name(one, list(definitions)) for one in name.split(",")]
    newest = first is None
    found = await context.connections.fetch(
        indicators_statement(newest=newest),
        instrument.symbol,
        chosen.name,
        first or DISTANT_PAST,
        last or DISTANT_FUTURE,
        skip + limit + 1,
        sorted(set(names)),
    )
    page = cut([dict(row) for row in found], limit, skip, newest=newest)
    addresses = links(request, page)
    for row in page.rows:
        row["time"] = label(row["time"], chosen, align)
    return json_response(
        {
            "symbol": instrument.symbol,
            "feed": context.settings.feed,
            "interval": chosen.name,
            "align": align,
            "count": len(page.rows),
            **addresses,
            "warm_up": context.warm_up_of(instrument.symbol),
            "definitions": {name: definitions[name] for name in sorted(set(names))},
            "data": page.rows,
        }
    )


def check_name(name: str, known: list[str]) -> str:
    """The name of an indicator that is stored.

    Raises:
        UnknownNameError: with the nearest one.
    """
    wanted = name.strip()
    if wanted in known:
        return wanted
    near = get_close_matches(wanted, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"stored: {', '.join(sorted(known)) or 'none yet'}."
    raise UnknownNameError(f"indicator {wanted[:40]!r} is unknown: {hint}", field="name")
