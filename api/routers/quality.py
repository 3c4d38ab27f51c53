"""`/data-quality`: gaps, rejected rows, anomalies, failures."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.bars import find_bounds
from api.context import ContextDependency, json_response
from api.paging import DISTANT_FUTURE, DISTANT_PAST, cut, links
from api.parameters import EndText, Limit, Skip, StartText, parse_range
from api.schemas import QualityPage
from btc_pipeline.storage.queries import quality_statement

router = APIRouter(prefix="/data-quality", tags=["data quality"])


class Kind(StrEnum):
    """What is wrong."""

    GAP = "gap"
    REJECTED_ROW = "rejected_row"
    ANOMALY = "anomaly"
    FAILURE = "failure"


class Resolved(StrEnum):
    """Open problems, settled ones, or both."""

    NO = "false"
    YES = "true"
    ALL = "all"


@router.get("", response_model=QualityPage, summary="Gaps, rejected rows, anomalies and failures")
async def data_quality(
    request: Request,
    context: ContextDependency,
    symbol: Annotated[str | None, Query(description="All without it.")] = None,
    kind: Annotated[Kind | None, Query(description="All without it.")] = None,
    resolved: Annotated[Resolved, Query(description="`false`: what is open.")] = Resolved.NO,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = 1000,
    skip: Skip = 0,
) -> Response:
    """Ascending by when they start (or were detected). Gaps are stored cut at midnight and shown whole."""
    first, last = parse_range(start, end)
    wanted = None if symbol is None else (await find_bounds(context.connections, symbol)).instrument.symbol
    newest = first is None
    found = await context.connections.fetch(
        quality_statement(newest=newest),
        wanted,
        kind,
        None if resolved is Resolved.ALL else resolved is Resolved.YES,
        first or DISTANT_PAST,
        last or DISTANT_FUTURE,
        skip + limit + 1,
    )
    page = cut([dict(row) for row in found], limit, skip, newest=newest, time="at")
    addresses = links(request, page)
    for row in page.rows:
        del row["at"]
        row["payload"] = None if row["payload"] is None else json.loads(row["payload"])
    return json_response({"feed": context.settings.feed, "count": len(page.rows), **addresses, "data": page.rows})
