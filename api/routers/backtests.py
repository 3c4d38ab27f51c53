"""`/backtests`: runs that are asked for here and made by Dagster, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from api import backtest_orders as orders
from api.backtest_schemas import (
    BacktestComparison,
    BacktestDecisionsPage,
    BacktestEquityPage,
    BacktestOrder,
    BacktestRun,
    BacktestsAccepted,
    BacktestsPage,
    BacktestTradesPage,
    Deleted,
)
from api.columns import csv, tables_of
from api.context import Context, ContextDependency, json_response
from api.labels import file_name
from api.paging import DISTANT_FUTURE, DISTANT_PAST, cut, links
from api.parameters import EndText, Limit, Skip, StartText, parse_range
from api.streaming import ClosingResponse
from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.market.instruments import canonical_symbol
from btc_pipeline.problems import shown
from btc_pipeline.storage import backtest_statements as statements
from btc_pipeline.storage.backtests import ABANDONED, parse_id, why_nothing

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

router = APIRouter(prefix="/backtests", tags=["backtests"])

MOST_COMPARED: Final = 20

RunId = Annotated[str, Path(description="A run's id.", max_length=100)]


class Status(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Part(StrEnum):
    """What belongs to a run."""

    TRADES = "trades"
    EQUITY = "equity"
    DECISIONS = "decisions"


@router.post("", status_code=202, response_model=BacktestsAccepted, summary="Ask for runs, one an interval")
async def ask_for(context: ContextDependency, order: BacktestOrder) -> Response:
    """Answers at once with ids; each run is a Dagster run, and `GET /backtests/{id}` says where it is.

    A run that was made already, with nothing changed since, is given from the store (`from_store`); one that is queued
    or running already is given as it is (`joined`). `GET /backtests?group={group_id}` lists all of them. While Dagster
    is away and something is to be run, the answer is 503, and nothing is stored.
    """
    await _settle(context)
    try:
        asked = [await orders.look(context, request) for request in order.requests()]
    except UserError as error:
        raise order.in_its_words(error) from error
    answer = await orders.answer(context, asked)
    rows = [
        {
            "id": run.id,
            "interval": one.prepared.plan.one.interval.name,
            "status": run.status,
            "from_store": run.status == Status.DONE,
            "joined": run.status != Status.DONE and run.id not in answer.launched,
            "address": f"/api/v1/backtests/{run.id}",
        }
        for one, run in zip(asked, answer.runs, strict=True)
    ]
    head = {"feed": context.settings.feed, "id": rows[0]["id"], "group_id": answer.group, "count": len(rows)}
    content = {**head, "data": rows}
    response = json_response(content)
    response.status_code = 202
    return response


@router.get("", response_model=BacktestsPage, summary="Runs, by when they were asked for")
async def runs(
    request: Request,
    context: ContextDependency,
    symbol: Annotated[str | None, Query(description="All without it.")] = None,
    status: Annotated[Status | None, Query(description="All without it.")] = None,
    group: Annotated[str | None, Query(description="Those that were asked for together.", max_length=100)] = None,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = 100,
    skip: Skip = 0,
) -> Response:
    """Ascending by `created_at`; of the results the metrics alone."""
    first, last = parse_range(start, end)
    newest = first is None
    wanted = None if symbol is None else canonical_symbol(symbol)
    members = None if group is None else parse_id(group, "group")
    await _settle(context)
    found = await context.connections.fetch(
        statements.list_statement(newest=newest),
        wanted,
        status,
        members,
        first or DISTANT_PAST,
        last or DISTANT_FUTURE,
        skip + limit + 1,
    )
    page = cut([_run(dict(row)) for row in found], limit, skip, newest=newest, time="created_at")
    addresses = links(request, page)
    return json_response({"feed": context.settings.feed, "count": len(page.rows), **addresses, "data": page.rows})


@router.get("/compare", response_model=BacktestComparison, summary="Metrics of several runs side by side")
async def compare(
    context: ContextDependency,
    ids: Annotated[str, Query(description="Ids, comma-separated; 2 to 20.", max_length=2_000)],
) -> Response:
    """`metrics` has an array a metric, in the order of `ids`; null where a run is not done or a figure not defined."""
    wanted = list(dict.fromkeys(parse_id(one.strip(), "ids") for one in ids.split(",")))
    if not 2 <= len(wanted) <= MOST_COMPARED:
        wrong = f"ids {shown(ids)} is not valid: two different ids are needed, {MOST_COMPARED} at most are taken."
        raise UserError(wrong, field="ids")
    rows = [await _read(context, one, "ids") for one in wanted]
    metrics = [(row["results"] or {}).get("metrics", {}) for row in rows]
    names = dict.fromkeys(name for one in metrics for name in one)
    content = {
        "feed": context.settings.feed,
        "count": len(rows),
        "metrics": {name: [one.get(name) for one in metrics] for name in names},
        "data": rows,
    }
    return json_response(content)


@router.get("/{run}", response_model=BacktestRun, summary="A run: where it is, and its results")
async def one_run(context: ContextDependency, run: RunId) -> Response:
    """`status` is queued, running (with `progress`, 0 to 1), done (with `results`) or failed (with `message`)."""
    await _settle(context)
    return json_response({"feed": context.settings.feed, **await _read(context, parse_id(run, "run"), "run")})


@router.get("/{run}/trades", response_model=BacktestTradesPage, summary="A run's trades")
async def trades(
    request: Request,
    context: ContextDependency,
    run: RunId,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = 1000,
    skip: Skip = 0,
) -> Response:
    """Ascending by entry; `start` and `end` bound the entry."""
    return await _page(request, context, run, Part.TRADES, start, end, limit, skip)


@router.get("/{run}/equity", response_model=BacktestEquityPage, summary="A run's equity at midnights")
async def equity(
    request: Request,
    context: ContextDependency,
    run: RunId,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = 1000,
    skip: Skip = 0,
) -> Response:
    """At the start, and at every midnight (UTC) that ends one of its days, marked to the last price."""
    return await _page(request, context, run, Part.EQUITY, start, end, limit, skip)


@router.get("/{run}/decisions", response_model=BacktestDecisionsPage, summary="A run's decisions")
async def decisions(
    request: Request,
    context: ContextDependency,
    run: RunId,
    start: StartText = None,
    end: EndText = None,
    limit: Limit = 1000,
    skip: Skip = 0,
) -> Response:
    """Where the target changes; between two of them every bar has the earlier one's target."""
    return await _page(request, context, run, Part.DECISIONS, start, end, limit, skip)


@router.get(
    "/{run}/csv",
    summary="All of a run's trades, equity or decisions as CSV",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def export(context: ContextDependency, run: RunId, what: Annotated[Part, Query()] = Part.TRADES) -> Response:
    """Times are ISO 8601 in UTC. A run that is not done has no file: 422 says why."""
    await _settle(context)
    wanted = parse_id(run, "run")
    _, nothing = _nothing(await _read(context, wanted, "run"))
    if nothing is not None:
        raise UserError(nothing, field="run")

    def read(cursor: Cursor) -> Iterator[bytes]:
        yield from csv(tables_of(cursor, statements.EXPORTS[what], (str(wanted),)), quoting="needed")

    name = file_name(context.settings, f"backtest_{wanted}_{what}.csv")
    return ClosingResponse(
        await context.connections.stream(read),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.delete("/{run}", response_model=Deleted, summary="Remove a run with all that belongs to it")
async def delete(context: ContextDependency, run: RunId) -> Response:
    """A run that is still running ends without a trace."""
    wanted = parse_id(run, "run")
    if not await context.connections.fetch(statements.DELETE, wanted):
        raise _unknown(wanted, "run")
    return json_response({"deleted": wanted})


async def _settle(context: Context) -> None:
    """Runs whose process has ended are failed, and do not look as if they ran."""
    await context.connections.fetch(statements.FAIL_ABANDONED, *ABANDONED)


async def _page(
    request: Request,
    context: Context,
    run: str,
    what: Part,
    start: str | None,
    end: str | None,
    limit: int,
    skip: int,
) -> Response:
    first, last = parse_range(start, end)
    wanted, newest = parse_id(run, "run"), first is None
    await _settle(context)
    status, nothing = _nothing(await _read(context, wanted, "run"))
    found = await context.connections.fetch(
        statements.part_statement(what, newest=newest),
        wanted,
        first or DISTANT_PAST,
        last or DISTANT_FUTURE,
        skip + limit + 1,
    )
    time = "entry_time" if what is Part.TRADES else "time"
    page = cut([_row(dict(row)) for row in found], limit, skip, newest=newest, time=time)
    addresses = links(request, page)
    head = {"id": wanted, "feed": context.settings.feed, "status": status, "message": nothing, "count": len(page.rows)}
    return json_response({**head, **addresses, "data": page.rows})


async def _read(context: Context, run: UUID, field: str) -> dict[str, Any]:
    found = await context.connections.fetch(statements.ONE, run)
    if not found:
        if await context.connections.fetch(statements.IS_GROUP, run):
            wrong = f"{run} is the id of a group, not of a run: GET /api/v1/backtests?group={run} lists its runs."
            raise UnknownNameError(wrong, field=field)
        raise _unknown(run, field)
    return _run(dict(found[0]))


def _nothing(run: dict[str, Any]) -> tuple[str, str | None]:
    """Where a run is, and why there are no parts of it; None where there are."""
    return run["status"], why_nothing(run["id"], run["status"], run["message"])


def _unknown(run: UUID, field: str) -> UnknownNameError:
    return UnknownNameError(f"backtest {str(run)!r} is unknown: GET /api/v1/backtests lists them.", field=field)


def _run(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("configuration", "results", "metrics"):
        if row.get(name) is not None:
            row[name] = json.loads(row[name])
    return row


def _row(row: dict[str, Any]) -> dict[str, Any]:
    if "indicator_snapshot" in row:
        row["indicator_snapshot"] = json.loads(row["indicator_snapshot"])
    return row
