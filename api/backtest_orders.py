"""What becomes of an order for backtests: an answer from the store, or rows that wait for Dagster's runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import anyio.to_thread

from api.bars import find_bounds
from api.context import Context
from api.errors import NotLaunchedError
from api.launching import Launcher, month_tags
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.backtest_data import no_bar
from btc_pipeline.pipeline.backtest_identity import lookup_key
from btc_pipeline.pipeline.backtest_request import BacktestRequest, DataRange, plan_backtest
from btc_pipeline.pipeline.backtests import Prepared, new_run, scope_of
from btc_pipeline.storage import backtest_statements as statements
from btc_pipeline.storage.backtests import mark_parameters
from btc_pipeline.storage.instruments import READ_ALL, instrument_of
from btc_pipeline.storage.times import to_date, to_datetime


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A run that is asked for, and the one with its key that is done already."""

    prepared: Prepared
    done: UUID | None


async def look(context: Context, request: BacktestRequest) -> Asked:
    """Checks a request, and looks for a run that was made already.

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
    return Asked(Prepared(request, plan, scope), found[0]["id"] if found else None)


async def launch(context: Context, asked: Sequence[Asked], group: UUID) -> dict[Asked, UUID]:
    """Rows for runs, each launched in Dagster; all of them, or none is left behind.

    Raises:
        NotLaunchedError: Dagster is away, or does not take one.
    """
    if not asked:
        return {}
    async with Launcher(context.settings) as launcher:
        selector = await launcher.find()
        runs: dict[Asked, UUID] = {}
        try:
            for one in asked:
                run = runs[one] = uuid4()
                await context.connections.fetch(statements.ADD, *new_run(one.prepared, group).row(run))
                config = {**one.prepared.configuration, "backtest_id": str(run)}
                days = one.prepared.plan.days
                tags = month_tags(to_date(days[0]), to_date(days[-1]), context.settings.start_date)
                dagster_run = await launcher.launch(selector, config, tags)
                await context.connections.fetch(statements.SET_DAGSTER_RUN, run, dagster_run)
        except NotLaunchedError:
            # One that Dagster has taken already finds its row gone, and ends.
            for run in runs.values():
                await context.connections.fetch(statements.DELETE, run)
            raise
    return runs
