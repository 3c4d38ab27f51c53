"""Sweeps: every row is the single run with its parameters, to the bit, whatever is shared between them."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import simulate
from btc_pipeline.backtest.metrics import NAMES, measure
from btc_pipeline.backtest.sweep import longest_lookbacks, ranking, sweep
from btc_pipeline.errors import StrategyError, UnknownNameError, UserError
from btc_pipeline.indicators import memo
from btc_pipeline.strategies.base import Direction, Exits, Opinions
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.backtest.made_history import CASES, DAYS, OWN, START, made_history
from btc_pipeline_tests.strategies.made_frames import Crossing

whole = range(10**9)
accounts = st.builds(
    Account,
    direction=st.sampled_from(Direction),
    leverage=st.just(3.0),
    size=st.sampled_from([0.5, 3.0]),
    exits=st.builds(
        Exits,
        stop=st.none() | st.sampled_from([0.01, 0.05]),
        target=st.none() | st.sampled_from([0.01, 0.05]),
        trailing=st.none() | st.sampled_from([0.01, 0.05]),
    ),
)


def single(strategy, parameters, history, account):
    """The figures of the single run: decisions first, then the simulation, then its metrics."""
    one = StrategyOnInterval(strategy, parameters, history.interval)
    targets = one.decide(history.frames, whole, history.warm_bars).target
    outcome = simulate(history.data, targets[len(targets) - len(history.data.bars) :], account)
    return measure(
        outcome.equity,
        outcome.trades.profit[outcome.trades.closed],
        outcome.bars,
        outcome.bars_held,
        outcome.turnover,
        outcome.fees,
        outcome.funding,
    )


@settings(max_examples=60)
@given(
    case=st.sampled_from(CASES),
    seed=st.integers(0, 10**6),
    until=st.none() | st.integers(START + 100, START + 3 * 1440),
    account=accounts,
    threads=st.sampled_from([1, 2]),
)
def test_every_row_is_the_single_run_to_the_bit(case, seed, until, account, threads):
    strategy, sets = case
    history = made_history(seed, strategy, sets, until=until)
    table = sweep(strategy, sets, history, account, threads=threads)
    for row, parameters in zip(table, sets, strict=True):
        assert row.tobytes() == single(strategy, parameters, history, account).tobytes()


@settings(max_examples=25)
@given(case=st.sampled_from(CASES), seed=st.integers(0, 10**6), first=st.integers(0, 2), last=st.integers(1, DAYS))
def test_days_of_a_history_give_what_the_whole_gives_there(case, seed, first, last):
    strategy, sets = case
    days = range(START // 1440 + min(first, last - 1), START // 1440 + last)
    history = made_history(seed, strategy, sets)
    part = history.within(days, longest_lookbacks(strategy, sets, OWN))
    assert {int(day) for day in part.data.bars.day} <= set(days)
    rows = np.searchsorted(history.data.bars.time, part.data.bars.time)
    for parameters in sets:
        one = StrategyOnInterval(strategy, parameters, OWN)
        there = one.targets(part.frames)[-len(rows) :] if len(rows) else np.empty(0, np.int8)
        assert there.tolist() == one.targets(history.frames)[rows].tolist()


def test_what_is_kept_between_parameters_may_be_thrown_away(monkeypatch):
    monkeypatch.setattr(memo, "MOST_BYTES", 100_000)
    strategy, sets = CASES[1]
    history = made_history(3, strategy, sets)
    small = sweep(strategy, sets, history, Account(), threads=1)
    monkeypatch.setattr(memo, "MOST_BYTES", 1 << 40)
    assert small.tobytes() == sweep(strategy, sets, history, Account(), threads=1).tobytes()


def test_a_strategy_cannot_change_what_other_parameters_see():
    class Careless(Crossing):
        name = "careless"

        def decide(self, view, p):
            view["fast"][:] = 0
            raise AssertionError

    strategy, sets = CASES[1]
    history = made_history(3, strategy, sets)
    one = StrategyOnInterval(Careless(), sets[0], OWN)
    for ask in (lambda: one.targets(history.frames), lambda: one.decide(history.frames, whole)):
        with pytest.raises(StrategyError, match=r"ValueError: .*read-only"):
            ask()


def test_a_strategy_that_writes_into_the_bars_ends_the_sweep_and_changes_nothing():
    class Writing(MovingAverage):
        name = "writing"

        def targets(self, view, p):
            closes = view.bars.close
            closes *= 1.01
            return super().targets(view, p)

    sets = [{"period": period} for period in range(5, 48)]
    history = made_history(1, MovingAverage(), sets)
    closes = history.data.bars.close.copy()
    with pytest.raises(StrategyError, match=r"'writing' failed, .*read-only"):
        sweep(Writing(), sets, history, Account())
    assert np.array_equal(history.data.bars.close, closes)


def test_progress_counts_every_set_once():
    strategy, sets = MovingAverage(), [{"period": period} for period in range(5, 48)]
    told: list[int] = []
    sweep(strategy, sets, made_history(1, strategy, sets), Account(), progress=told.append)
    assert sum(told) == len(sets)


def test_a_mistake_of_the_strategy_ends_the_sweep():
    class Short(MovingAverage):
        name = "short"
        asked = 0

        def targets(self, view, p):
            Short.asked += 1
            return np.zeros(3, np.int8)

        def decide(self, view, p):
            return Opinions(np.zeros(3, np.int8), np.ones(3), [])

    sets = [{"period": period} for period in range(5, 501)]
    history = made_history(1, MovingAverage(), sets)
    with pytest.raises(UserError, match="answered for 3 bars"):
        sweep(Short(), sets, history, Account(), threads=2)
    assert Short.asked <= 2


def test_ctrl_c_ends_it_before_the_next_set():
    """However many sets a thread has taken; the one that it is at is all that is waited for."""
    asked, sets = [], [{"period": period} for period in range(5, 501)]

    class Interrupting(MovingAverage):
        name = "interrupting"

        def targets(self, view, p):
            asked.append(p)
            if len(asked) == 3:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.3)
            return super().targets(view, p)

    with pytest.raises(KeyboardInterrupt):
        sweep(Interrupting(), sets, made_history(1, MovingAverage(), sets), Account(), threads=2)
    assert len(asked) <= 4


def test_ranking_puts_the_best_first_and_the_undefined_last():
    table = np.full((4, len(NAMES)), np.nan)
    table[:, NAMES.index("sharpe")] = [1.0, np.nan, 3.0, 1.0]
    table[:, NAMES.index("fees")] = [1.0, np.nan, 3.0, 1.0]
    assert ranking(table, "sharpe").tolist() == [2, 0, 3, 1]
    assert ranking(table, "fees").tolist() == [0, 3, 2, 1]
    with pytest.raises(UnknownNameError, match="Did you mean sharpe"):
        ranking(table, "sharp")
