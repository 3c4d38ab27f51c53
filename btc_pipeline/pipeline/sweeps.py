"""Sweeps over stored minutes: the whole in this process, or one part of it whose rows are stored.

Belongs here: what is asked for, reading minutes once, in-sample and out-of-sample, walk-forward. Does not belong here:
the arithmetic (`backtest`), how a report looks (`cli`), Dagster (`defs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from btc_pipeline.backtest.grid import Grid, build_grid, parse_axis
from btc_pipeline.backtest.history import History
from btc_pipeline.backtest.report import long_holes, told_first
from btc_pipeline.backtest.sweep import column_of, longest_lookbacks, ranking, sweep
from btc_pipeline.backtest.walk_forward import (
    Split,
    WalkForward,
    check_train_days,
    default_split,
    rolling_splits,
    walk_forward,
)
from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import Int64Array, Interval
from btc_pipeline.pipeline.backtest_data import Replay, Scope
from btc_pipeline.pipeline.backtest_identity import run_key
from btc_pipeline.pipeline.backtest_request import Plan
from btc_pipeline.pipeline.backtests import BacktestRequest, prepare
from btc_pipeline.pipeline.content import combined_digest
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.sweeps import SweepRows, read_rows, write_rows

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

DEFAULT_RANK: Final = "sharpe"

Progress = Callable[[int, int], None]
"""(sets done since the last time, sets in all)."""


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What is asked for.

    Attributes:
        run: everything but the parameters, as of a single run.
        grid: parameters as `grid.parse_axis` reads them; those left out have their defaults.
        rank: the metric by which the best is chosen.
        walk_forward: train and test days of rolling windows, if these are wanted.
        two_parameters: whether a map of two parameters is wanted, and the grid must have as many.
    """

    run: BacktestRequest
    grid: tuple[str, ...]
    rank: str = DEFAULT_RANK
    walk_forward: tuple[int, int] | None = None
    two_parameters: bool = False


@dataclass(frozen=True)
class Prepared:
    """A request with everything decided, and the minutes it looks at."""

    request: SweepRequest
    plan: Plan
    grid: Grid
    replay: Replay

    @cached_property
    def history(self) -> History:
        """Bars and what an account trades; made at the first use."""
        replay = self.replay
        return History(self.plan.one.interval, replay.frames, replay.data, replay.warm_bars)

    def key(self, settings: Settings) -> str:
        """A digest of everything that can change a row of the whole."""
        return combined_digest(
            run_key(self.plan, self.replay, settings), json.dumps([dict(one) for one in self.grid.sets])
        )


@dataclass(frozen=True)
class SweepResult:
    """Figures of every set, float64[k, len(metrics.NAMES)] each, NaN where undefined.

    Attributes:
        whole: over all days.
        split, in_sample, out_of_sample: over the first days, and over those behind them; None where there are too few
            days to split.
        walk_forward: if it was asked for.
    """

    prepared: Prepared
    whole: Float64Array
    split: Split | None
    in_sample: Float64Array | None
    out_of_sample: Float64Array | None
    walk_forward: WalkForward | None

    @property
    def chosen_by(self) -> Float64Array:
        """The figures that choose: those of the days that are in-sample alone, for the others must not."""
        return self.whole if self.in_sample is None else self.in_sample

    @property
    def order(self) -> Int64Array:
        """Rows with the best first."""
        return ranking(self.chosen_by, self.prepared.request.rank)

    @property
    def head(self) -> list[str]:
        """What must be known before the figures are read."""
        data, grid, replay = self.prepared.history.data, self.prepared.grid, self.prepared.replay
        told = told_first(self.prepared.plan.account, data.funding is not None, long_holes(data))
        if replay.warm_bars is not None:
            told.append(f"Windows reach back to bars of {replay.warm_bars.warm_up.source} (warm-up).")
        if self.out_of_sample is None:
            told.append("No out-of-sample result stands beside these: there are too few days to split.")
        if np.isnan(self.chosen_by[:, column_of(self.prepared.request.rank)]).all():
            told.append(f"{self.prepared.request.rank} is undefined for every set: they stand in the grid's order.")
        if self.walk_forward is not None and self.prepared.request.walk_forward is not None:
            last, asked = len(self.walk_forward.windows[-1].split.test), self.prepared.request.walk_forward[1]
            if last < asked:
                told.append(
                    f"The last walk-forward window trades {last} days instead of {asked}: the range ends there."
                )
        if grid.refused:
            told.append(f"{grid.refused:,} combinations are left out, as the strategy asks for: {grid.refusal}")
        return told


def parse_walk_forward(text: str) -> tuple[int, int]:
    """`180d/60d` as days to choose on and days to trade.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,4})d/([1-9][0-9]{0,4})d", text, re.ASCII)
    if not match:
        raise UserError(
            f"walk-forward {text!r:.40} is not valid: write 180d/60d, days to choose on and days to trade.",
            field="walk_forward",
        )
    return int(match[1]), int(match[2])


def prepare_sweep(cursor: Cursor, settings: Settings, request: SweepRequest, *, now: int | None = None) -> Prepared:
    """Checks a request against strategies and data, and reads the minutes.

    Args:
        now: the epoch minute.

    Raises:
        UserError: it cannot be run; the message says why, and what could be.
    """
    column_of(request.rank)
    strategy, interval = settings.registry.get(request.run.strategy), Interval.parse(request.run.interval)
    grid = build_grid(strategy, interval, [parse_axis(text) for text in request.grid])
    if request.two_parameters:
        _ = grid.pair
    # A preset's own parameters are not for others to give.
    first = {name: value for name, value in grid.sets[0].items() if name not in strategy.fixed}
    prepared = prepare(cursor, settings, request.run.model_copy(update={"parameters": first}), now=now)
    scope: Scope = replace(prepared.scope, lookbacks=longest_lookbacks(strategy, grid.sets, interval))
    if request.walk_forward is not None:
        check_train_days(rolling_splits(scope.days, *request.walk_forward), request.rank)
    return Prepared(request, prepared.plan, grid, Replay.read(cursor, scope, settings.rule))


def run_sweep(
    database: Database,
    settings: Settings,
    request: SweepRequest,
    progress: Progress = lambda _, __: None,
    *,
    now: int | None = None,
) -> SweepResult:
    """Runs all of it in this process; nothing is stored.

    Raises:
        UserError: it cannot be run.
    """
    with database.arrow() as cursor:
        prepared = prepare_sweep(cursor, settings, request, now=now)
    plan, grid, history = prepared.plan, prepared.grid, prepared.history
    split = default_split(plan.days)
    splits = [] if request.walk_forward is None else rolling_splits(plan.days, *request.walk_forward)
    total = len(grid) * (1 + (2 if split else 0) + len(splits))

    def tell(done: int) -> None:
        progress(done, total)

    def figures(of: History) -> Float64Array:
        return sweep(plan.one.strategy, grid.sets, of, plan.account, progress=tell)

    tell(0)
    whole = figures(history)
    before = behind = None
    if split is not None:
        lookbacks = prepared.replay.scope.lookbacks
        before = figures(history.within(split.train, lookbacks))
        behind = figures(history.within(split.test, lookbacks))
    walked = None
    if splits:
        walked = walk_forward(plan.one.strategy, grid.sets, history, plan.account, splits, request.rank, progress=tell)
    return SweepResult(prepared, whole, split, before, behind, walked)


def run_part(
    database: Database,
    settings: Settings,
    request: SweepRequest,
    part: tuple[int, int] = (1, 1),
    progress: Progress = lambda _, __: None,
    *,
    now: int | None = None,
) -> tuple[str, SweepRows]:
    """Runs one part of a sweep over all days and stores its rows, unless they are there already.

    Returns:
        The sweep's key, and all of its rows so far.

    Args:
        part: (number, of how many), numbers from 1.

    Raises:
        UserError: it cannot be run.
    """
    with database.arrow() as cursor:
        prepared = prepare_sweep(cursor, settings, request, now=now)
    plan, grid = prepared.plan, prepared.grid
    numbers, key = grid.part(*part), prepared.key(settings)
    stored = read_rows(database, key)
    if stored is not None and set(numbers) <= set(stored.numbers):
        return key, stored
    sets = [grid.sets[number] for number in numbers]
    table = sweep(
        plan.one.strategy, sets, prepared.history, plan.account, progress=lambda done: progress(done, len(sets))
    )
    rows = list(zip(numbers, sets, table, strict=True))
    write_rows(database, key, configuration(prepared), len(grid), rows)
    return key, read_rows(database, key) or SweepRows(len(grid), [], [], table)


def configuration(prepared: Prepared) -> Mapping[str, Any]:
    """What was asked for, as JSON has it."""
    request = prepared.request
    return {**request.run.given(), "grid": list(request.grid), "rank": request.rank}
