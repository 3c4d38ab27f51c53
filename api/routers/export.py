"""`/export/csv`: whole ranges as a file, written as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import pyarrow as pa
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from api.bars import BarRequest
from api.columns import COLUMNS, csv, made_table, right_labels, stored_part, tables_of
from api.context import ContextDependency
from api.labels import file_name
from api.paging import DISTANT_FUTURE, DISTANT_PAST
from api.parameters import Align, AlignChoice, EndText, IntervalText, StartText, SymbolText, parse_range
from api.routers.candles import bar_request
from api.streaming import ClosingResponse
from btc_pipeline.storage.queries import (
    BAR_COLUMNS,
    EXPORT_DECISIONS,
    EXPORT_INDICATORS,
    check_source_minutes,
    make_bars,
    stream_bars,
)
from btc_pipeline.storage.times import to_minute

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

router = APIRouter(prefix="/export", tags=["export"])

NO_LIMIT: Final = 2**40


class What(StrEnum):
    """What is exported."""

    CANDLES = "candles"
    INDICATORS = "indicators"
    DECISIONS = "decisions"


@router.get(
    "/csv",
    summary="Candles, indicators or current decisions as CSV, however many",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def export_csv(
    context: ContextDependency,
    symbol: SymbolText,
    interval: IntervalText,
    start: StartText = None,
    end: EndText = None,
    what: Annotated[What, Query()] = What.CANDLES,
    align: AlignChoice = Align.LEFT,
) -> Response:
    """All rows of the range, all there are without one; times are ISO 8601 in UTC. It carries no ETag."""
    wanted = await bar_request(context, symbol, interval, start, end, NO_LIMIT)
    first, last = parse_range(start, end)
    if what is What.CANDLES:
        check_source_minutes(wanted.interval, wanted.made_slots())

    def read(cursor: Cursor) -> Iterator[bytes]:
        if what is What.CANDLES:
            tables, quoting = _candles(cursor, wanted), "none"
        else:
            statement = EXPORT_INDICATORS if what is What.INDICATORS else EXPORT_DECISIONS
            limits = (first or DISTANT_PAST, last or DISTANT_FUTURE)
            parameters = (wanted.bounds.instrument.symbol, wanted.interval.name, *limits)
            tables, quoting = tables_of(cursor, statement, parameters), "needed"
        yield from csv((right_labels(table, wanted.interval, align) for table in tables), quoting=quoting)

    name = f"{wanted.bounds.instrument.symbol}_{wanted.interval}_{what}.csv".replace("/", "-").replace(":", "-")
    name = file_name(context.settings, name)
    return ClosingResponse(
        await context.connections.stream(read),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _candles(cursor: Cursor, wanted: BarRequest) -> Iterator[pa.Table]:
    instrument, interval = wanted.bounds.instrument, wanted.interval
    start, end = map(to_minute, wanted.stored_window())
    if start < end:
        for batch in stream_bars(cursor, instrument.symbol, interval, BAR_COLUMNS, start, end, NO_LIMIT):
            yield stored_part(batch, COLUMNS, interval, wanted.now)
    slots = wanted.made_slots()
    # Without slots, too: an export of nothing still has its header.
    yield made_table(make_bars(cursor, instrument, interval, slots, wanted.rule), wanted.now)
