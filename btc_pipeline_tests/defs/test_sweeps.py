"""Sweeps as runs: parts in any order are the whole, what is there is not computed again, mistakes end a run at once."""

from __future__ import annotations

import random
from typing import Any

import dagster as dg
import numpy as np
import pytest

from btc_pipeline.backtest.metrics import NAMES
from btc_pipeline.defs.build import build_definitions
from btc_pipeline.defs.queue import SWEEP_ROWS
from btc_pipeline.defs.sweeps import SWEEP
from btc_pipeline.pipeline.backtests import BacktestRequest, backtest
from btc_pipeline.pipeline.sweeps import SweepRequest, run_part, run_sweep
from btc_pipeline.settings import load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.sweeps import read_rows
from btc_pipeline_tests.defs.worlds import FIRST, SYMBOL, edit_minute, metadata_of

RUN = {"symbol": SYMBOL, "interval": "37m", "start": "2016-01-01", "end": "2016-01-05", "strategy": "ma", "stop": 0.02}
GRID = ["period=5..30"]


def launch(instance: dg.DagsterInstance, part: int = 1, parts: int = 1, **changed: Any) -> dg.ExecuteInProcessResult:
    config = {"run": RUN, "grid": GRID, "rank": "total_return", "part": part, "parts": parts, **changed}
    return (
        build_definitions()
        .resolve_job_def(SWEEP)
        .execute_in_process(
            instance=instance,
            run_config={
                "ops": {SWEEP_ROWS: {"config": config}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )
    )


def test_parts_together_are_the_whole(world: Database, instance: dg.DagsterInstance) -> None:
    settings = load_settings()
    request = SweepRequest(BacktestRequest.of(RUN), tuple(GRID), "total_return")
    whole = run_sweep(world, settings, request)
    order = [1, 2, 3, 4]
    random.Random(5).shuffle(order)
    for number, part in enumerate(order, 1):
        told = metadata_of(launch(instance, part, 4))[SWEEP_ROWS]
        assert ("best" in told) == (number == 4)
    stored = read_rows(world, told["sweep_key"])
    assert stored is not None
    assert stored.complete
    assert stored.numbers == list(range(26))
    assert [dict(one) for one in stored.parameters] == [dict(one) for one in whole.prepared.grid.sets]
    assert stored.table.tobytes() == whole.whole.tobytes()
    best = whole.prepared.grid.sets[int(np.argmax(whole.whole[:, NAMES.index("total_return")]))]
    assert told["best"].records[0].data["parameters (in-sample only)"] == f"period={best['period']}"


def test_every_row_is_the_stored_kind_of_run(world: Database, own_settings: None) -> None:
    settings = load_settings()
    result = run_sweep(world, settings, SweepRequest(BacktestRequest.of(RUN), tuple(GRID), "total_return"))
    for one, row in zip(result.prepared.grid.sets, result.whole, strict=True):
        _, single = backtest(world, settings, BacktestRequest.of({**RUN, "parameters": dict(one)}))
        figures = [np.nan if value is None else value for value in single.report.metrics]
        assert np.array(figures).tobytes() == row.tobytes()


def test_rows_that_are_there_are_not_computed_again(world: Database, own_settings: None) -> None:
    settings, told = load_settings(), []
    request = SweepRequest(BacktestRequest.of(RUN), tuple(GRID))

    def ask() -> str:
        told.append(0)
        return run_part(world, settings, request, progress=lambda done, _: told.append(done))[0]

    first = ask()
    assert sum(told) == 26
    assert ask() == first
    assert sum(told) == 26
    edit_minute(world, FIRST * 1440 + 5)
    assert ask() != first
    assert sum(told) == 52


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"grid": ["perod=5..9"]}, "Did you mean period"),
        ({"grid": ["period=4..9"]}, "period 4 is not valid"),
        ({"part": 5, "parts": 4}, "part 5 of 4 is not valid"),
        ({"rank": "sharp"}, "Did you mean sharpe"),
        ({"run": {**RUN, "strategy": "mma"}}, "strategy 'mma' is unknown"),
        ({"run": {**RUN, "symbol": "NOTHING.HERE"}}, "NOTHING.HERE"),
    ],
)
def test_a_mistake_fails_the_run_with_words(
    world: Database, instance: dg.DagsterInstance, changed: dict[str, Any], words: str
) -> None:
    result = launch(instance, **changed)
    assert not result.success
    failures = [event for event in result.all_events if event.is_step_failure]
    assert words in str(failures[0].step_failure_data.error)
    with world.rows() as connection:
        assert connection.execute("SELECT count(*) AS n FROM sweep_rows").fetchone() == {"n": 0}
