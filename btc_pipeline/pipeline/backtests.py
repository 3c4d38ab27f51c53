"""Backtests: a request becomes a run that is stored, or is answered by one that was made already."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from btc_pipeline.errors import UserError
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.backtest_data import Replay, Scope
from btc_pipeline.pipeline.backtest_identity import lookup_key, run_key
from btc_pipeline.pipeline.backtest_request import BacktestRequest, DataRange, Plan, plan_backtest
from btc_pipeline.pipeline.backtest_results import Result, compute
from btc_pipeline.settings import Settings
from btc_pipeline.storage.backtests import (
    Keys,
    NewRun,
    Run,
    RunLog,
    add_run,
    find_done,
    read_mark,
    read_run,
    store_result,
)
from btc_pipeline.storage.candles import first_and_last_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument, read_instruments
from btc_pipeline.storage.times import to_date

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

__all__ = ["BacktestRequest", "Prepared", "StoredRun", "backtest", "new_run", "prepare", "run_backtest", "scope_of"]

Progress = Callable[[float], None]
"""Told how far a run is, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with everything decided: the plan, and which minutes it looks at."""

    request: BacktestRequest
    plan: Plan
    scope: Scope

    @property
    def configuration(self) -> dict[str, Any]:
        """The request with what it left open, as JSON has it."""
        plan = self.plan
        account = plan.account
        return {
            **self.request.given(),
            "start": to_date(plan.days.start).isoformat(),
            "end": to_date(plan.days.stop).isoformat(),
            "parameters": dict(plan.one.parameters),
            "direction": str(account.direction),
            "slippage_bps": account.slippage_bps,
            **{name: getattr(account.exits, name) or 0.0 for name in ("stop", "target", "trailing")},
        }


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run that is done, and whether it was done before it was asked for."""

    run: Run
    from_store: bool


def prepare(cursor: Cursor, settings: Settings, request: BacktestRequest, *, now: int | None = None) -> Prepared:
    """Checks a request against what is stored, and decides what it leaves open.

    Args:
        now: the epoch minute; a day that is not over by then is not replayed.

    Raises:
        UserError: it cannot be run; the message says why, and what could be.
    """
    instrument = find_instrument(cursor, request.symbol)
    bounds = first_and_last_minute(cursor, instrument.symbol)
    if bounds is None:
        raise UserError(f"symbol {instrument.symbol!r} has no minutes yet.", field="symbol")
    today = (int(time.time()) // 60 if now is None else now) // MINUTES_PER_DAY
    data = DataRange(*bounds, today)
    plan = plan_backtest(request, settings, data)
    sources = {one.symbol: one for one in read_instruments(cursor)} if settings.warm_ups else {}
    return Prepared(request, plan, scope_of(plan, settings, instrument, data, sources))


def scope_of(
    plan: Plan, settings: Settings, instrument: Instrument, data: DataRange, instruments: dict[str, Instrument]
) -> Scope:
    """Which minutes a plan looks at."""
    warm_up = settings.warm_ups.get(plan.symbol)
    return Scope(
        instrument,
        plan.one.interval,
        plan.one.lookbacks(),
        plan.days,
        data.days,
        warm_up,
        instruments.get(warm_up.source) if warm_up else None,
    )


def backtest(
    database: Database,
    settings: Settings,
    request: BacktestRequest,
    progress: Progress = lambda _: None,
    *,
    now: int | None = None,
) -> tuple[Prepared, Result]:
    """Runs a request and stores nothing.

    Raises:
        UserError: it cannot be run.
    """
    with database.arrow() as cursor:
        prepared = prepare(cursor, settings, request, now=now)
        replay = Replay.read(cursor, prepared.scope, settings.rule)
    return prepared, compute(prepared.plan, replay, progress)


def run_backtest(
    database: Database,
    settings: Settings,
    request: BacktestRequest,
    progress: Progress = lambda _: None,
    *,
    backtest_id: UUID | str | None = None,
    dagster_run_id: str | None = None,
    group_id: UUID | None = None,
    now: int | None = None,
) -> StoredRun:
    """Runs a request and stores all of its result in one transaction; a run that was made already is given instead.

    Args:
        progress: told how far it is; so is the run's row.
        backtest_id: a run that waits for it; its row ends as done or failed. Without one, a row is made.
        group_id: of runs that were asked for together.
        now: the epoch minute.

    Raises:
        UserError: it cannot be run; a run that waited for it is failed with these words.
    """
    if backtest_id is not None:
        waiting = read_run(database, backtest_id)
        if waiting.status == "done":
            return StoredRun(waiting, from_store=True)
        with RunLog.running(database, waiting.id, dagster_run_id) as log:
            found = _look(database, settings, request, now)
            _complete(database, found, log, progress)
        return StoredRun(read_run(database, waiting.id), from_store=found.done is not None)
    found = _look(database, settings, request, now)
    if found.done is not None:
        return StoredRun(found.done, from_store=True)
    prepared = found.prepared
    with database.rows() as connection:
        run = add_run(connection, new_run(prepared, group_id, found.lookup_key))
    with RunLog.running(database, run, dagster_run_id) as log:
        _complete(database, found, log, progress)
    return StoredRun(read_run(database, run), from_store=False)


def new_run(prepared: Prepared, group_id: UUID | None = None, lookup_key: str | None = None) -> NewRun:
    """The row of a run that is asked for."""
    plan = prepared.plan
    who = (plan.symbol, plan.one.interval.name, plan.one.strategy.name)
    return NewRun(*who, prepared.configuration, group_id, lookup_key)


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is of a request: a run with its key that is done, or the minutes to run it on."""

    prepared: Prepared
    lookup_key: str
    done: Run | None
    run_key: str = ""
    replay: Replay | None = None


def _look(database: Database, settings: Settings, request: BacktestRequest, now: int | None) -> _Found:
    with database.arrow() as cursor:
        prepared = prepare(cursor, settings, request, now=now)
        plan, scope = prepared.plan, prepared.scope
        lookup = lookup_key(plan, scope, settings, [read_mark(cursor, *minutes) for minutes in scope.minutes])
        done = find_done(database, lookup_key=lookup)
        if done is not None:
            return _Found(prepared, lookup, done)
        replay = Replay.read(cursor, scope, settings.rule)
    _ = replay.data  # refused, where there is none, before there is a row
    key = run_key(plan, replay, settings)
    return _Found(prepared, lookup, find_done(database, run_key=key), key, replay)


def _complete(database: Database, found: _Found, log: RunLog, progress: Progress) -> None:
    """Gives a run its result: another one's with the same key, or one that is computed now."""
    if found.done is not None or found.replay is None:
        assert found.done is not None  # noqa: S101 `_look` has read the minutes where there is none
        log.copy(found.done)
        return

    def tell(share: float) -> None:
        log.progress(share)
        progress(share)

    prepared = found.prepared
    plan = prepared.plan
    result = compute(plan, found.replay, tell)
    keys = Keys(found.run_key, found.lookup_key, result.result_hash)
    with database.arrow() as cursor:
        store_result(cursor, log.run, keys, prepared.configuration, result.results, result.tables)
    progress(1.0)
