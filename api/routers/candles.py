"""`/candles`: pages of rows, the latest, and hundreds of thousands by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.bars import BarPage, BarRequest, bar_before, find_bounds, made_bars, read_page
from api.caching import tagged
from api.columns import (
    COLUMNS,
    VWAP,
    VWAP_OF,
    digest,
    ipc_stream,
    json_columns,
    made_table,
    right_labels,
    stored_part,
)
from api.context import Context, ContextDependency, json_response
from api.filling import fill
from api.paging import link
from api.parameters import (
    Align,
    AlignChoice,
    EndText,
    IntervalText,
    Limit,
    StartText,
    SymbolText,
    label,
    minute_from,
    parse_range,
)
from api.schemas import BulkCandles, CandlesPage, LatestCandle
from btc_pipeline.errors import UserError
from btc_pipeline.market.intervals import Interval
from btc_pipeline.storage.queries import BAR_AT_OFFSET, BAR_COLUMNS, read_bars_table
from btc_pipeline.storage.times import to_datetime, to_minute

router = APIRouter(prefix="/candles", tags=["candles"])

MAX_BULK: Final = 1_000_000
DEFAULT_BULK: Final = 500_000
DEFAULT_COLUMNS: Final = "time,open,high,low,close,volume,usable"
ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"


async def bar_request(
    context: Context, symbol: str, interval: str, start: str | None, end: str | None, limit: int
) -> BarRequest:
    """The request that an endpoint's parameters spell."""
    chosen = Interval.parse(interval)
    first, last = parse_range(start, end)
    return BarRequest(
        bounds=await find_bounds(context.connections, symbol, chosen),
        interval=chosen,
        start=minute_from(first),
        end=minute_from(last),
        limit=limit,
        materialized=context.is_stored(chosen),
        rule=context.settings.rule,
        now=context.now(),
    )


@router.get("", response_model=CandlesPage, summary="Bars as rows, a page at a time")
async def candles(
    request: Request,
    context: ContextDependency,
    symbol: SymbolText,
    interval: IntervalText,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = 1000,
    align: AlignChoice = Align.LEFT,
    fill_gaps: Annotated[
        bool,
        Query(alias="fill", description="Show slots without a bar flat at the close before them, marked `filled`."),
    ] = False,
) -> Response:
    """Bars ascending by time: from `start` on, or else the newest ones before `end`."""
    wanted = await bar_request(context, symbol, interval, start, end, limit)
    page = await read_page(context.connections, wanted)
    if fill_gaps:
        page = await _filled(context, wanted, page)
    if align is Align.RIGHT:
        for row in page.rows:
            row["time"] = label(row["time"], wanted.interval, align)
    head = _head(request, context, wanted, align, page, len(page.rows))
    return json_response({**head, "data": page.rows})


@router.get("/latest", response_model=LatestCandle, summary="The last closed bar, and the one now forming")
async def latest(
    context: ContextDependency,
    symbol: SymbolText,
    interval: IntervalText = "1m",
    align: AlignChoice = Align.LEFT,
) -> Response:
    """What a live reader polls."""
    wanted = await bar_request(context, symbol, interval, None, None, 2)
    rows = (await read_page(context.connections, wanted)).rows
    forming = rows.pop() if rows and rows[-1]["forming"] else None
    closed = rows[-1] if rows else None
    for row in (forming, closed):
        if row is not None:
            row["time"] = label(row["time"], wanted.interval, align)
    last = wanted.bounds.last
    return json_response(
        {
            "symbol": wanted.bounds.instrument.symbol,
            "feed": context.settings.feed,
            "interval": wanted.interval.name,
            "align": align,
            "closed": closed,
            "forming": forming,
            "last_minute": to_datetime(last),
            "age_seconds": max(0, wanted.now - last - 1) * 60,
        }
    )


@router.get(
    "/bulk",
    response_model=BulkCandles,
    summary="Hundreds of thousands of bars by column",
    responses={200: {"content": {ARROW_STREAM: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def bulk(
    request: Request,
    context: ContextDependency,
    symbol: SymbolText,
    interval: IntervalText,
    start: StartText = None,
    end: EndText = None,
    limit: Annotated[int, Query(ge=1, le=MAX_BULK, description="Bars at most.")] = DEFAULT_BULK,
    align: AlignChoice = Align.LEFT,
    columns: Annotated[
        str, Query(description=f"Comma-separated, out of: {', '.join(COLUMNS)}.", max_length=300)
    ] = DEFAULT_COLUMNS,
) -> Response:
    """An array a column, times as epoch milliseconds; as an Arrow IPC stream where `Accept` asks for
    `application/vnd.apache.arrow.stream`.
    """
    names = _columns(columns)
    wanted = await bar_request(context, symbol, interval, start, end, limit)
    table, page = await _read_table(context, wanted, names)
    table = right_labels(table, wanted.interval, align)
    head = _head(request, context, wanted, align, page, table.num_rows)
    arrow = ARROW_STREAM in request.headers.get("accept", "")
    tag = digest(table, str(head), str(arrow))
    if arrow:
        # What JSON says in its head.
        told = {key: str(value) for key, value in head.items() if value is not None}
        response = StreamingResponse(ipc_stream(table.replace_schema_metadata(told)), media_type=ARROW_STREAM)
    else:
        response = StreamingResponse(json_columns(head, table), media_type="application/json")
    response.headers["Vary"] = "Accept"
    return tagged(request, response, tag)


def _head(
    request: Request, context: Context, wanted: BarRequest, align: Align, page: BarPage, count: int
) -> dict[str, Any]:
    return {
        "symbol": wanted.bounds.instrument.symbol,
        "feed": context.settings.feed,
        "interval": wanted.interval.name,
        "align": str(align),
        "count": count,
        "next": None if page.next_start is None else link(request, start=page.next_start),
        "previous": None if page.previous_end is None else link(request, end=page.previous_end),
    }


async def _filled(context: Context, wanted: BarRequest, page: BarPage) -> BarPage:
    """A page with its empty slots filled; it holds no more rows for it, so it may end earlier."""
    interval, slots, before = wanted.interval, wanted.slots(), None
    at = [interval.slot(to_minute(row["time"])) for row in page.rows]
    if wanted.start is None:
        first = at[0] if at else slots.stop
        stop = slots.stop if at else first
        kept = range(max(first, stop - wanted.limit), stop)
        back = page.previous_end if kept.start == first else to_datetime(interval.open(kept.start))
        return BarPage(fill(page.rows, interval, kept, None), None, back)
    if not at or at[0] > slots.start:
        before = await bar_before(context.connections, wanted, interval.open(slots.start))
    first = slots.start if before is not None else at[0] if at else slots.stop
    stop = slots.stop if page.next_start is None else interval.slot(to_minute(page.next_start))
    kept = range(first, max(first, min(stop, first + wanted.limit)))
    onward = page.next_start if kept.stop >= stop else to_datetime(interval.open(kept.stop))
    return BarPage(fill(page.rows, interval, kept, before), onward, None)


def _columns(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in COLUMNS:
            raise UserError(f"columns: {name[:40]!r} is unknown: use some of {', '.join(COLUMNS)}.", field="columns")
    return names


async def _read_table(context: Context, wanted: BarRequest, names: Sequence[str]) -> tuple[pa.Table, BarPage]:
    """The bars as a table of the named columns, and how to go on."""
    connections, interval, now = context.connections, wanted.interval, wanted.now
    symbol = wanted.bounds.instrument.symbol
    start, end = wanted.stored_window()
    back = onward = None
    made, left = None, range(0)
    room = wanted.limit
    if wanted.start is None:
        made, left = await made_bars(connections, wanted, room, newest=True)
        room -= len(made)
        if left:
            back = to_datetime(interval.open(left.stop))
            start = end
        elif start < end:
            edge = await connections.fetch(BAR_AT_OFFSET, symbol, interval.name, end, max(room - 1, 0))
            if room == 0:
                back, start = (to_datetime(int(made.time[0])) if edge else None), end
            elif len(edge):
                start = edge[0]["time"]
                back = start if len(edge) > 1 else None
    parts = [made_table(made, now)] if made is not None and len(made) else []
    if start < end and room:
        parts.insert(0, await _stored_table(context, wanted, names, to_minute(start), to_minute(end), room + 1))
        if parts[0].num_rows > room:
            onward = parts[0]["time"][room].as_py()
            parts[0] = parts[0].slice(0, room)
    if wanted.start is not None and onward is None:
        room -= sum(part.num_rows for part in parts)
        if room:
            made, left = await made_bars(connections, wanted, room, newest=False)
            parts.append(made_table(made, now))
        else:
            left = wanted.made_slots()
        onward = to_datetime(interval.open(left.start)) if left else None
    if not parts:
        parts = [made_table((await made_bars(connections, wanted, 0, newest=True))[0], now)]
    table = pa.concat_tables([part.select(list(names)).cast(parts[-1].select(list(names)).schema) for part in parts])
    return table, BarPage([], onward, back)


async def _stored_table(
    context: Context, wanted: BarRequest, names: Sequence[str], start: int, end: int, limit: int
) -> pa.Table:
    symbol, interval = wanted.bounds.instrument.symbol, wanted.interval
    wanted_columns = {*names, *(VWAP_OF if VWAP in names else ())}
    read = ["time", *(name for name in BAR_COLUMNS if name in wanted_columns and name != "time")]
    every = ["time", *(name for name in names if name != "time")]
    table = await context.connections.large(
        lambda cursor: read_bars_table(cursor, symbol, interval, read, start, end, limit)
    )
    return stored_part(table, every, interval, wanted.now)
