"""Figures: their definitions on curves reckoned by hand, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.backtest.metrics import FEWEST_DAYS, NAMES, measure, metrics_of, monthly_returns

ANNUALISED = {"cagr", "sharpe", "sortino", "calmar", "volatility"}
NO_TRADES = np.empty(0)


def figures(equity, profits=NO_TRADES, bars=10, held=5, turnover=0.0):
    return metrics_of(measure(np.array(equity, float), np.array(profits, float), bars, held, turnover, 1.0, 2.0))


def curve(days, *ends):
    """Equity of 100 that goes up and down by turns, then has those values."""
    return [100.0, *([101.0, 100.0] * days)[: days - len(ends)], *ends]


def test_money_and_drawdown_by_hand():
    found = figures([100, 120, 90, 150], turnover=230)
    assert found.final_equity == 150
    assert found.net_profit == 50
    assert found.total_return == 0.5
    assert found.max_drawdown == -0.25
    assert found.exposure == 0.5
    assert found.turnover == 2
    assert (found.fees, found.funding) == (1, 2)


def test_trades_by_hand():
    found = figures([100, 101], [10, -5, 20, -5])
    assert found.trades == 4
    assert found.win_rate == 0.5
    assert found.profit_factor == 3
    assert found.expectancy == 5
    assert (found.best_trade, found.worst_trade) == (20, -5)
    assert found.sqn == pytest.approx(2 * 5 / np.std([10, -5, 20, -5], ddof=1))


def test_a_doubling_within_a_year_is_a_growth_of_one():
    found = figures(curve(365, 200.0))
    assert found.cagr == pytest.approx(1.0)
    assert found.calmar == pytest.approx(1.0 / (1 / 101))


def test_what_is_annualised_needs_thirty_days():
    assert {name for name in NAMES if getattr(figures(curve(FEWEST_DAYS - 1), [1, -1]), name) is None} == ANNUALISED
    assert not [name for name in NAMES if getattr(figures(curve(FEWEST_DAYS), [1, -1]), name) is None]


def test_what_is_undefined_is_none():
    flat = figures([100.0] * 41)
    undefined = {"sharpe", "sortino", "calmar"}
    trades = {"win_rate", "profit_factor", "expectancy", "best_trade", "worst_trade", "sqn"}
    assert {name for name in NAMES if getattr(flat, name) is None} == undefined | trades
    assert figures([100, 100], [5]).sqn is None
    assert figures([100, 100], [5, 5]).sqn is None
    assert figures([100, 100], [5, 6]).profit_factor is None
    assert figures([100, 100], [-5]).profit_factor == 0
    assert figures([100, 100], bars=0).exposure is None


@given(st.floats(-0.02, 0.02), st.integers(30, 400))
def test_growth_without_deviation_has_no_sharpe_whatever_its_rounding(rate, days):
    assert figures(100 * (1 + rate) ** np.arange(days + 1)).sharpe is None


def test_what_is_lost_stays_lost():
    found = figures([*curve(40), 50.0, 0.0, 0.0])
    assert found.total_return == found.max_drawdown == found.cagr == -1
    assert found.calmar == -1
    assert np.isfinite([found.sharpe, found.sortino, found.volatility]).all()


def test_months_begin_where_the_last_one_ended():
    # 2015-01-30 to 2015-03-02.
    equity = [100.0, 100.0, 110.0, *[121.0] * 28, 60.5, 60.5]
    found = monthly_returns(np.array(equity), 16436 + 29)
    assert [(one.year, one.month) for one in found] == [(2015, 1), (2015, 2), (2015, 3)]
    assert [one.value for one in found] == pytest.approx([0.1, 0.1, -0.5])


def test_a_month_that_begins_with_nothing_has_no_return():
    assert [one.value for one in monthly_returns(np.array([100.0, 0.0, 0.0]), 16436 + 30)] == [-1.0, None]
