"""The report of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import CancelReason, Workspace, simulate
from btc_pipeline.backtest.fees import EPOCH, Fee
from btc_pipeline.backtest.market_data import MarketData
from btc_pipeline.backtest.metrics import measure, metrics_of
from btc_pipeline.backtest.report import NEAREST_BPS, backtest, holder
from btc_pipeline.market.candles import Scale, empty_candles
from btc_pipeline.market.intervals import Interval
from btc_pipeline.strategies.base import LONG, Exits
from btc_pipeline_tests.backtest.recount_market import FIRST_DAY, made_market

NO_FEE = (Fee(EPOCH, 0.0, 0.0),)
MARKET = made_market(3, 37, 40 * 1440, volatility=0.05, tick=0.01, hole=3000)
BARS = MARKET.data.bars


def prophet() -> np.ndarray:
    """Targets that know the next bars, so that a run gains."""
    ahead = np.concatenate((BARS.close[20:], np.full(20, BARS.close[-1])))
    return np.where(ahead > BARS.close, 1, -1).astype(np.int8)


def test_it_has_the_result_at_both_slippages():
    account = Account(slippage_bps=1.0, stress_slippage_bps=10.0)
    report = backtest(MARKET.data, prophet(), account)
    for ours, slippage in ((report.metrics, 1.0), (report.stress, 10.0)):
        run = simulate(MARKET.data, prophet(), account, slippage_bps=slippage)
        profits = run.trades.profit[run.trades.closed]
        figures = measure(run.equity, profits, run.bars, run.bars_held, run.turnover, run.fees, run.funding)
        assert ours == metrics_of(figures)
    assert report.stress.final_equity < report.metrics.final_equity


@pytest.mark.parametrize("configured", [0.0, 3.0, 900.0])
def test_at_the_break_even_cost_the_end_is_the_beginning(configured):
    account = Account(fees=NO_FEE, slippage_bps=configured)
    report = backtest(MARKET.data, prophet(), account)
    workspace = Workspace(MARKET.data)
    assert report.break_even_bps > 0
    assert workspace.final_equity(prophet(), account, report.break_even_bps) >= account.capital
    assert workspace.final_equity(prophet(), account, report.break_even_bps + NEAREST_BPS) < account.capital


@pytest.mark.parametrize(
    "targets",
    [-prophet(), np.zeros(len(BARS), np.int8)],
    ids=["loses at no cost", "trades nothing"],
)
def test_where_no_cost_does_there_is_no_break_even(targets):
    assert backtest(MARKET.data, targets, Account()).break_even_bps is None


def test_an_open_gain_above_any_cost_has_no_break_even():
    market = replace(MARKET.data, mark=MARKET.data.mark * 4)
    assert backtest(market, np.full(len(BARS), LONG, np.int8), Account()).break_even_bps is None


def test_buy_and_hold_pays_the_same_costs():
    account = Account(fees=(Fee(EPOCH, 100.0, 0.0),), slippage_bps=50.0, leverage=3.0, size=2.0, exits=Exits(stop=0.01))
    report = backtest(MARKET.data, prophet(), account)
    price = BARS.open[1] * 1.005
    coins = np.floor(10_000 / 1.01 / price * 1e8) / 1e8
    kept = 10_000 - coins * price * 1.01
    assert report.buy_and_hold_equity[-1] == pytest.approx(kept + coins * MARKET.data.mark[-1])
    assert report.buy_and_hold.trades == 0
    assert holder(account).exits == Exits()


def test_the_stack_is_equity_in_coins():
    report = backtest(MARKET.data, prophet(), Account())
    assert report.stack.start == 10_000 / BARS.open[0]
    assert report.stack.end == report.outcome.equity[-1] / MARKET.data.mark[-1]
    assert report.stack.total_return == report.stack.end / report.stack.start - 1
    assert len(report.stack.equity) == len(report.outcome.equity)


def test_the_head_tells_of_funding_and_of_holes_longer_than_a_day():
    report = backtest(MARKET.data, prophet(), Account())
    ((start, end),) = report.holes.pairs()
    at = int(np.argmax(np.diff(BARS.time)))
    assert (start, end) == (BARS.close_time[at], BARS.time[at + 1])
    assert report.head[0] == "Funding is not included: no history of it is known."
    assert report.head[1].startswith("No bars from 2015-01-2")
    funded = made_market(3, 37, 5 * 1440, funding_every=60)
    assert backtest(funded.data, np.zeros(len(funded.bars), np.int8), Account()).head == []


def test_the_head_tells_of_leverage_that_nothing_uses():
    funded = made_market(3, 37, 5 * 1440, funding_every=60)

    def head(**account):
        return backtest(funded.data, np.zeros(len(funded.bars), np.int8), Account(**account)).head

    assert head(leverage=3.0, size=0.5) == ["Leverage 3 is not used: size 0.5 takes 0.5 x equity."]
    assert head(leverage=3.0) == ["Leverage 3 is not used: size 1 takes 1 x equity."]
    for used in ({"size": 1.5}, {"notional": 12_000.0}, {"compounding": False}):
        assert head(leverage=3.0, **used) == []


def test_cancelled_orders_are_counted_by_reason():
    report = backtest(MARKET.data, np.full(len(BARS), LONG, np.int8), Account(capital=50.0, lot_decimals=0))
    assert report.cancelled == {CancelReason.TOO_SMALL: len(BARS) - 2, CancelReason.HOLE: 1}


def test_months_are_those_of_the_days():
    report = backtest(MARKET.data, prophet(), Account())
    assert [(one.year, one.month) for one in report.monthly] == [(2015, 1), (2015, 2)]
    grown = np.prod([1 + one.value for one in report.monthly])
    assert grown == pytest.approx(report.outcome.equity[-1] / 10_000)


def test_a_range_without_bars_is_reported():
    days = range(FIRST_DAY, FIRST_DAY + 3)
    data = MarketData(empty_candles(Interval.parse("37m"), Scale(2, 8)), days, np.full(3, np.nan), lambda: None)
    report = backtest(data, np.zeros(0, np.int8), Account())
    assert report.metrics.total_return == 0
    assert report.metrics.exposure is None
    assert report.break_even_bps is None
    assert report.stack.end is None
    assert report.holes.total == 3 * 1440
