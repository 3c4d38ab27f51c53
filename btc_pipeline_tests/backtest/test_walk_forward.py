"""Walk-forward: what is chosen rests on nothing behind the split; what is traded begins flat and ends closed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import ExitReason, simulate
from btc_pipeline.backtest.metrics import NAMES
from btc_pipeline.backtest.sweep import column_of, sweep
from btc_pipeline.backtest.walk_forward import Split, default_split, rolling_splits, walk_forward
from btc_pipeline.errors import UserError
from btc_pipeline.strategies.base import Exits
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.backtest.made_history import CASES, DAYS, FIRST_DAY, OWN, START, history_of, made_history
from btc_pipeline_tests.strategies.made_frames import torn_minutes

SETS = [{"period": period} for period in (5, 9, 20, 44)]
ACCOUNT = Account(leverage=2.0, exits=Exits(stop=0.02, trailing=0.03))
DAY_BY_DAY = rolling_splits(range(FIRST_DAY, FIRST_DAY + DAYS), 1, 1)
METRIC = "total_return"


def test_windows_follow_one_another():
    splits = rolling_splits(range(100, 110), 4, 2)
    assert splits == [
        Split(range(100, 104), range(104, 106)),
        Split(range(102, 106), range(106, 108)),
        Split(range(104, 108), range(108, 110)),
    ]


def test_the_last_window_may_be_shorter():
    assert rolling_splits(range(100, 109), 4, 3)[-1] == Split(range(103, 107), range(107, 109))


@given(days=st.integers(2, 400), train=st.integers(1, 399), test=st.integers(1, 400))
def test_test_days_are_everything_behind_the_first_train_days(days, train, test):
    if train < days:
        splits = rolling_splits(range(days), train, test)
        assert [day for split in splits for day in split.test] == list(range(train, days))
        assert all(len(split.train) == train and split.train.stop == split.test.start for split in splits)


@pytest.mark.parametrize(("train", "test"), [(10, 1), (0, 1), (5, 0)])
def test_windows_that_do_not_fit(train, test):
    with pytest.raises(UserError, match="does not fit into 10 days"):
        rolling_splits(range(10), train, test)


def test_two_thirds_to_choose_on_by_default():
    assert default_split(range(100, 109)) == Split(range(100, 106), range(106, 109))
    assert default_split(range(100, 102)) == Split(range(100, 101), range(101, 102))
    assert default_split(range(100, 101)) is None


@settings(max_examples=20)
@given(case=st.sampled_from(CASES), seed=st.integers(0, 10**6))
def test_what_is_chosen_on_is_what_there_was_on_that_day(case, seed):
    strategy, sets = case
    found = walk_forward(strategy, sets, made_history(seed, strategy, sets), ACCOUNT, DAY_BY_DAY, METRIC)
    minutes = torn_minutes(seed, DAYS * 1440, START, step=40)
    for window in found.windows:
        train = window.split.train
        then = minutes.take(minutes.time < train.stop * 1440)
        past = history_of(then, list(made_history(seed, strategy, sets).frames), train.stop - FIRST_DAY)
        bars = past.data.bars
        bars = bars.take(bars.time >= OWN.open(OWN.slot(train.start * 1440 - 1) + 1))
        data = replace(past.data, bars=bars, days=train, mark=past.data.mark[train.start - FIRST_DAY :])
        table = sweep(strategy, sets, replace(past, data=data), ACCOUNT)
        values = table[:, column_of(METRIC)]
        assert window.chosen == int(np.argmax(values))
        assert window.train.tobytes() == table[window.chosen].tobytes()


@settings(max_examples=20)
@given(case=st.sampled_from(CASES), seed=st.integers(0, 10**6), minutes=st.booleans())
def test_the_account_goes_on_with_what_it_has_and_begins_flat(case, seed, minutes):
    strategy, sets = case
    account = ACCOUNT if minutes else Account()
    history = made_history(seed, strategy, sets)
    found = walk_forward(strategy, sets, history, account, DAY_BY_DAY, METRIC)
    left, fees, equity = account.capital, 0.0, [account.capital]
    for window in found.windows:
        days = window.split.test
        bars = history.data.bars
        mine = (bars.time >= days.start * 1440) & (bars.close_time <= days.stop * 1440)
        mark = history.data.mark[days.start - FIRST_DAY : days.stop - FIRST_DAY]
        data = replace(history.data, bars=bars.take(mine), days=days, mark=mark)
        one = StrategyOnInterval(strategy, sets[window.chosen], OWN)
        outcome = simulate(data, one.decide(history.frames, range(10**9)).target[mine], replace(account, capital=left))
        left, fees = outcome.equity[-1], fees + outcome.fees
        trades = outcome.trades
        if len(trades) and trades.reason[-1] == ExitReason.OPEN:
            value = trades.quantity[-1] * mark[-1]
            worse = value * account.slippage_bps / 10_000
            fee = (value - trades.side[-1] * worse) * account.fees[0].taker_bps / 10_000
            left, fees = left - worse - fee, fees + fee
        equity.append(left)
        assert window.test[NAMES.index("final_equity")] == pytest.approx(left, rel=1e-12)
    assert found.days == range(FIRST_DAY + 1, FIRST_DAY + DAYS)
    assert found.equity == pytest.approx(equity, rel=1e-12)
    assert found.figures[NAMES.index("final_equity")] == found.equity[-1]
    assert found.figures[NAMES.index("fees")] == pytest.approx(fees, rel=1e-9)


def test_a_fixed_value_above_what_is_left_is_cut_to_it():
    history = made_history(5, MovingAverage(), SETS)
    fixed, whole = (
        walk_forward(MovingAverage(), SETS, history, account, DAY_BY_DAY, METRIC)
        for account in (Account(notional=1e9), Account())
    )
    assert fixed.equity.min() < 10_000.0
    assert fixed.equity.tobytes() == whole.equity.tobytes()


def test_every_trade_counts_once_and_profits_make_the_result():
    history = made_history(5, MovingAverage(), SETS)
    found = walk_forward(MovingAverage(), SETS, history, Account(), DAY_BY_DAY, METRIC)
    figures = dict(zip(NAMES, found.figures.tolist(), strict=True))
    assert figures["trades"] == sum(window.test[NAMES.index("trades")] for window in found.windows)
    assert figures["expectancy"] * figures["trades"] == pytest.approx(figures["net_profit"], rel=1e-9)


def test_where_the_metric_is_undefined_for_all_nothing_is_traded():
    history = made_history(5, MovingAverage(), SETS)
    still = replace(history.frames[OWN], usable=np.zeros(len(history.frames[OWN]), np.bool_))
    history = replace(history, frames={OWN: still})
    found = walk_forward(MovingAverage(), SETS, history, Account(), DAY_BY_DAY, "win_rate")
    assert [window.chosen for window in found.windows] == [None] * len(DAY_BY_DAY)
    assert found.equity.tolist() == [10_000.0] * DAYS
    assert np.isnan(found.windows[0].test).all()


def test_an_annualised_metric_needs_thirty_days():
    history = made_history(5, MovingAverage(), SETS)
    with pytest.raises(UserError, match="sharpe is undefined below 30"):
        walk_forward(MovingAverage(), SETS, history, Account(), DAY_BY_DAY, "sharpe")
