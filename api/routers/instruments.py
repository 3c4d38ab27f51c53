"""`/instruments`: symbols and what there is of them."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.context import ContextDependency, json_response
from api.schemas import Instruments
from btc_pipeline.market.instruments import ALIASES
from btc_pipeline.storage.queries import INSTRUMENTS

router = APIRouter(prefix="/instruments", tags=["instruments"])


@router.get("", response_model=Instruments, summary="Symbols, venues, decimals, first and last minute")
async def instruments(context: ContextDependency) -> Response:
    """Every symbol that something is stored under."""
    rows = [
        {**row, "aliases": [alias for alias, symbol in ALIASES.items() if symbol == row["symbol"]]}
        for row in await context.connections.fetch(INSTRUMENTS)
    ]
    stored = ["1m", *(interval.name for interval in context.materialized)]
    return json_response(
        {"feed": context.settings.feed, "count": len(rows), "materialized_intervals": stored, "data": rows}
    )
