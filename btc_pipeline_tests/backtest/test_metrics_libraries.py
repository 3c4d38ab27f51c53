"""Twelve figures on 1,000 random equity curves against empyrical-reloaded and quantstats (docs/metrics.md)."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pandas as pd
import pytest

from btc_pipeline.backtest.metrics import measure, metrics_of, monthly_returns

os.environ.setdefault("MPLBACKEND", "Agg")
empyrical = pytest.importorskip("empyrical")
quantstats = pytest.importorskip("quantstats")

pytestmark = pytest.mark.proof

CURVES, PARTS = 1_000, 10
FIRST_DAY = 16436
YEAR = 365


def made(seed):
    """(equity, profits of trades): noise of any size, drift of either sign, stretches without a position."""
    random = np.random.default_rng(seed)
    days = int(random.integers(30, 700))
    change = random.normal(random.normal(0, 0.002), random.choice([0.0005, 0.01, 0.05]), days)
    change[random.random(days) < random.choice([0, 0.3])] = 0.0
    change[:2] = 0.01, -0.01
    equity = 10_000 * np.cumprod(np.concatenate(([1.0], 1 + np.maximum(change, -0.5))))
    profits = random.normal(random.normal(0, 0.1), 0.3, int(random.integers(5, 200)))
    profits[:2] = 0.4, -0.4
    return equity, profits


def close(ours, theirs):
    return ours is not None and abs(ours - theirs) <= 1e-9 * max(1.0, abs(theirs))


def series(values):
    return pd.Series(values, index=pd.date_range("2015-01-01", periods=len(values), freq="D"))


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.filterwarnings("ignore")
def test_twelve_figures_equal_both_libraries(part):
    stats = quantstats.stats
    for seed in range(part, CURVES, PARTS):
        equity, profits = made(seed)
        ours = metrics_of(measure(equity, profits, 10, 5, 0.0, 0.0, 0.0))
        returns, trades = series(equity[1:] / equity[:-1] - 1), series(profits)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = {
                "total_return": (empyrical.cum_returns_final(returns), stats.comp(returns)),
                "cagr": (empyrical.cagr(returns, annualization=YEAR), stats.cagr(returns, periods=YEAR)),
                "sharpe": (empyrical.sharpe_ratio(returns, annualization=YEAR), stats.sharpe(returns, periods=YEAR)),
                "sortino": (empyrical.sortino_ratio(returns, annualization=YEAR), stats.sortino(returns, periods=YEAR)),
                "volatility": (
                    empyrical.annual_volatility(returns, annualization=YEAR),
                    stats.volatility(returns, periods=YEAR),
                ),
                "max_drawdown": (empyrical.max_drawdown(returns), stats.max_drawdown(returns)),
                "calmar": (empyrical.calmar_ratio(returns, annualization=YEAR), stats.calmar(returns, periods=YEAR)),
                "win_rate": (stats.win_rate(trades),),
                "profit_factor": (stats.profit_factor(trades),),
                "expectancy": (stats.avg_return(trades),),
                "best_trade": (stats.best(trades),),
                "worst_trade": (stats.worst(trades),),
            }
        for name, others in expected.items():
            for theirs in others:
                assert close(getattr(ours, name), theirs), (seed, name, getattr(ours, name), theirs)


def test_monthly_returns_equal_empyrical():
    for seed in range(100):
        equity, _ = made(seed)
        theirs = empyrical.aggregate_returns(series(equity[1:] / equity[:-1] - 1), "monthly")
        ours = {(one.year, one.month): one.value for one in monthly_returns(equity, FIRST_DAY)}
        assert list(ours) == list(theirs.index)
        assert all(close(ours[month], value) for month, value in theirs.items())


class TestWhereTheyDiffer:
    """The rows of the table in docs/metrics.md."""

    def test_quantstats_takes_252_days_a_year_unless_told(self):
        equity, profits = made(1)
        returns = series(equity[1:] / equity[:-1] - 1)
        ours = metrics_of(measure(equity, profits, 10, 5, 0.0, 0.0, 0.0)).sharpe
        assert quantstats.stats.sharpe(returns) == pytest.approx(ours * (252 / 365) ** 0.5)

    @pytest.mark.filterwarnings("ignore")
    def test_flat_equity_has_no_sharpe_here_and_something_else_there(self):
        flat = np.full(41, 10_000.0)
        assert metrics_of(measure(flat, np.empty(0), 10, 0, 0.0, 0.0, 0.0)).sharpe is None
        assert np.isnan(empyrical.sharpe_ratio(series(np.zeros(40)), annualization=YEAR))

    def test_profits_alone_have_no_profit_factor_here_and_an_infinite_one_there(self):
        gains = np.array([0.1, 0.2, 0.3])
        assert metrics_of(measure(np.full(41, 1.0), gains, 10, 5, 0.0, 0.0, 0.0)).profit_factor is None
        assert quantstats.stats.profit_factor(series(gains)) == np.inf

    def test_a_trade_of_no_profit_counts_here_and_not_there(self):
        trades = np.array([0.1, 0.0, -0.1, 0.2])
        ours = metrics_of(measure(np.full(41, 1.0), trades, 10, 5, 0.0, 0.0, 0.0))
        assert ours.win_rate == 0.5
        assert quantstats.stats.win_rate(series(trades)) == pytest.approx(2 / 3)
        assert ours.expectancy == pytest.approx(0.05)
        assert quantstats.stats.avg_return(series(trades)) == pytest.approx(0.2 / 3)

    def test_quantstats_takes_gains_above_one_for_prices(self):
        money = np.array([100.0, 200.0, 50.0])
        assert metrics_of(measure(np.full(41, 1.0), money, 10, 5, 0.0, 0.0, 0.0)).best_trade == 200
        assert quantstats.stats.best(series(money)) == 1.0
