"""Two real years of 37m bars: every fill, fee, equity sample and figure equals a recount from the files' text."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
import pytest

from btc_pipeline.backtest.engine import simulate
from btc_pipeline.backtest.market_data import MarketData, Minutes, marks_of
from btc_pipeline.backtest.report import backtest
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.gaps import classify_holes
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline.strategies.base import TargetArray
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.backtest.recount import DAY, Recount
from btc_pipeline_tests.backtest.recount_cases import ACCOUNTS, made_case, made_funding, made_hash
from btc_pipeline_tests.backtest.recount_file import (
    DAYS,
    LENGTH,
    QUIET_AT_MOST,
    file_bars,
    file_minutes,
    moving_average_targets,
)
from btc_pipeline_tests.backtest.recount_market import assert_same, within
from btc_pipeline_tests.backtest.recount_metrics import recount_metrics
from btc_pipeline_tests.real_data import bitfinex_minutes, needs_real_data

pytestmark = pytest.mark.proof

INTERVAL = Interval.parse(f"{LENGTH}m")

PINNED = {
    (44, "plain"): "dddc55c0bd3cef8a51ec5a2e0075e560",
    (125, "plain"): "ab29e9db6d7e09a45845c5a045347ba4",
    (125, "everything, both"): "ccd6da9adf5778d1ffadaf897f2a512c",
    (125, "everything, long"): "efa21ac41893cee4ca3e909728e8f5cc",
    (125, "everything, short"): "de131dfb0844f3b5ee4239c5ba8a1d49",
    (125, "fixed notional"): "d60a7f51bb8c60d3d6253902e3a6d815",
    (125, "no compounding"): "45d4475c294498a57dba0ce0cc4cb110",
    (125, "liquidated"): "1cc62f8d5e2e4f72a1e0cc078d60a5f8",
}
"""Result hashes, written down when the recounts were equal."""
MADE = "9b2d9b9699aa1df796c951ad1a1b5557"

money = within(1e-12, least=10_000.0)
"""Doubles against 40 digits, after up to 2,000 trades: of the larger of the value and the capital."""
ratio = within(1e-11, least=0.0)
"""Figures that rest on returns: the plain account ends at a thousandth of its capital, and they lose three digits."""


@lru_cache(maxsize=1)
def real_years() -> MarketData:
    """The pipeline's bars of the two years."""
    minutes = Candles.concatenate([bitfinex_minutes(year) for year in (2015, 2016)])
    quiet = classify_holes(minutes.time, vouch=True, outage_after=QUIET_AT_MOST).quiet
    slots = range(-(-DAYS.start * DAY // LENGTH), DAYS.stop * DAY // LENGTH)
    bars = resample(minutes, INTERVAL, slots, vouched=quiet)
    return MarketData(bars, DAYS, marks_of(minutes, DAYS), lambda: Minutes.of(minutes))


def targets_of(period: int) -> TargetArray:
    return StrategyOnInterval(MovingAverage(), {"period": period}, INTERVAL).targets({INTERVAL: real_years().bars})


@needs_real_data
def test_bars_are_those_of_the_file():
    bars = real_years().bars
    assert bars.time.tolist() == [bar.open_time for bar in file_bars()]
    assert bars.usable.tolist() == [bar.usable for bar in file_bars()]
    assert [Decimal(repr(price)) for price in bars.open.tolist()] == [bar.open for bar in file_bars()]


@needs_real_data
@pytest.mark.parametrize("period", [44, 125])
def test_targets_are_those_of_the_integers(period):
    assert targets_of(period).tolist() == moving_average_targets(period)


@needs_real_data
@pytest.mark.parametrize(
    ("period", "case", "funded"),
    [(44, "plain", False), (125, "plain", False)] + [(125, case, True) for case in ACCOUNTS if case != "plain"],
)
def test_runs_equal_the_recount(period, case, funded):
    account, data = ACCOUNTS[case], real_years()
    funding = made_funding(DAYS) if funded else None
    targets = targets_of(period)

    report = backtest(replace(data, funding=funding), targets, account)

    with localcontext(prec=40):
        told = [] if funding is None else zip(funding.time.tolist(), map(exact, funding.rate.tolist()), strict=True)
        wanted = account.direction.admitted(np.array(moving_average_targets(period), np.int8)).tolist()
        books = Recount(account).run(file_bars(), file_minutes(), wanted, DAYS, told)
        assert_same(report.outcome, books, money)
        expected = recount_metrics(books, len(file_bars()))
    for name, ours in report.metrics._asdict().items():
        assert money(ours, expected[name]) if name in MONEY else ratio(ours, expected[name]), (name, ours)
    assert report.outcome.trades.result_hash == PINNED[period, case]


MONEY = {"final_equity", "net_profit", "expectancy", "best_trade", "worst_trade", "fees", "funding"}


def exact(value: float) -> Decimal:
    """The decimal that a short double was written as."""
    return Decimal(repr(value))


def test_the_made_up_run_trades_in_every_way():
    market, targets = made_case()
    trades = simulate(market.data, targets, ACCOUNTS["everything, both"]).trades
    assert set(trades.reason.tolist()) >= {0, 1, 2, 3}
    assert made_hash() == MADE


@pytest.mark.parametrize(
    "environment",
    [{}, {"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}, {"NUMBA_CPU_NAME": "generic"}],
    ids=["another process", "not compiled", "one thread", "a processor without AVX"],
)
def test_the_hash_is_the_same(environment):
    run = subprocess.run(
        [sys.executable, "-m", "btc_pipeline_tests.backtest.recount_cases"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == MADE
