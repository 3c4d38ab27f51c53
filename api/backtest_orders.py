"""What becomes of an order for backtests: an answer from the store, or rows that wait for Dagster's runs."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import anyio.to_thread

from api.bars import find_bounds
from api.context import Context
from api.errors import NotLaunchedError
from api.launching import Launcher, Selector, month_tags
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.backtest_data import no_bar
from btc_pipeline.pipeline.backtest_identity import lookup_key
from btc_pipeline.pipeline.backtest_request import BacktestRequest, DataRange, plan_backtest
from btc_pipeline.pipeline.backtests import Prepared, new_run, scope_of
from btc_pipeline.storage import backtest_statements as statements
from btc_pipeline.storage.backtests import ROW_TAG, mark_parameters
from btc_pipeline.storage.instruments import READ_ALL, instrument_of
from btc_pipeline.storage.times import to_date, to_datetime


class Known(NamedTuple):
    """A run that has a row, and where it is."""

    id: UUID
    status: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that is asked for, its lookup key, and the one with that key that is done, queued or running already."""

    prepared: Prepared
    lookup_key: str
    known: Known | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an order.

    Attributes:
        group: of all its runs.
        runs: one each that was asked for.
        launched: ids of those that are new.
    """

    group: UUID
    runs: list[Known]
    launched: set[UUID]


async def look(context: Context, request: BacktestRequest) -> Asked:
    """Checks a request, and looks for a run that was made or asked for already.

    Raises:
        UserError: it cannot be run.
    """
    bounds = await find_bounds(context.connections, request.symbol)
    data = DataRange(bounds.first, bounds.last, context.now() // MINUTES_PER_DAY)
    plan = plan_backtest(request, context.settings, data)
    known = await context.connections.fetch(READ_ALL) if context.settings.warm_ups else []
    sources = {str(row["symbol"]): instrument_of(dict(row)) for row in known}
    scope = scope_of(plan, context.settings, bounds.instrument, data, sources)
    traded = to_datetime(scope.traded.start), to_datetime(scope.traded.stop)
    if not await context.connections.fetch(statements.TRADED, plan.symbol, *traded):
        raise no_bar(scope)
    marks = []
    for symbol, days in scope.minutes:
        marks.append((await context.connections.fetch(statements.MARK, *mark_parameters(symbol, days)))[0]["mark"])
    # It reads the code's files.
    key = await anyio.to_thread.run_sync(lookup_key, plan, scope, context.settings, marks)
    found = await context.connections.fetch(statements.DONE_BY_LOOKUP_KEY, key)
    found = found or await context.connections.fetch(statements.BUSY_BY_LOOKUP_KEY, key)
    return Asked(Prepared(request, plan, scope), key, _known(found[0]) if found else None)


async def answer(context: Context, asked: Sequence[Asked]) -> Answer:
    """Rows for what is not known, each launched in Dagster, and a group of all; or nothing is left behind.

    Raises:
        NotLaunchedError: Dagster is away, or does not take one.
    """
    group, runs, launched = uuid4(), [one.known for one in asked], set[UUID]()
    if None in runs:
        async with Launcher(context.settings) as launcher:
            selector = await launcher.find()
            try:
                for at, one in enumerate(asked):
                    if runs[at] is None:
                        new, run = new_run(one.prepared, group, one.lookup_key), uuid4()
                        runs[at] = known = _known((await context.connections.fetch(statements.ADD, *new.row(run)))[0])
                        if known.id == run:
                            launched.add(run)
                            await _launch(context, launcher, selector, one, run)
            except NotLaunchedError:
                # One that Dagster has taken already finds its row gone, and ends.
                for run in launched:
                    await context.connections.fetch(statements.DELETE, run)
                raise
    found = [run for run in runs if run is not None]
    return Answer(await _group(context, group, found, launched), found, launched)


async def _launch(context: Context, launcher: Launcher, selector: Selector, one: Asked, run: UUID) -> None:
    config = {**one.prepared.configuration, "backtest_id": str(run)}
    days = one.prepared.plan.days
    tags = {**month_tags(to_date(days[0]), to_date(days[-1]), context.settings.start_date), ROW_TAG: str(run)}
    dagster_run = await launcher.launch(selector, config, tags)
    await context.connections.fetch(statements.SET_DAGSTER_RUN, run, dagster_run)


async def _group(context: Context, group: UUID, runs: Sequence[Known], launched: Container[UUID]) -> UUID:
    """The group that leads to all the runs: that of the launched ones with the others in it, or one there was."""
    others = sorted(run.id for run in runs if run.id not in launched)
    if len(others) == len(runs):
        found = await context.connections.fetch(statements.GROUP_OF, others)
        if found:
            return UUID(str(found[0]["group_id"]))
    if others:
        await context.connections.fetch(statements.JOIN_GROUP, group, others)
    return group


def _known(row: Mapping[str, Any]) -> Known:
    return Known(row["id"], row["status"])
