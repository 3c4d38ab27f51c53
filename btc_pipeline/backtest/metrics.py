"""Figures of a run, from equity at midnights and closed trades; undefined is None.

One compiled function computes them for a single run and for every row of a sweep. Returns are daily, a year has 365
days, the risk-free rate is 0; what is annualised needs 30 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from btc_pipeline.backtest import exits, kernel
from btc_pipeline.backtest.compiled import compiled
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import Int64Array

DAYS_A_YEAR: Final = 365
FEWEST_DAYS: Final = 30
ROUNDING: Final = 1e-12
"""A deviation of daily returns, or of profits over their mean, that is nothing but rounding."""


class Metrics(NamedTuple):
    """The figures, in the order of the kernel's vector. Fractions, not percent; money in quote currency.

    Attributes:
        final_equity, net_profit: money.
        total_return: E1 / E0 - 1.
        cagr: (E1 / E0) ** (365 / days) - 1.
        sharpe: mean(r) / std(r, ddof=1) * sqrt(365).
        sortino: mean(r) / sqrt(sum(min(r, 0) ** 2) / n) * sqrt(365).
        max_drawdown: min(E / cummax(E) - 1).
        calmar: cagr / |max_drawdown|.
        volatility: std(r, ddof=1) * sqrt(365).
        trades: closed ones, as are those of all that follows.
        win_rate, profit_factor (sum of wins / |sum of losses|), expectancy (mean profit), best_trade, worst_trade.
        sqn: sqrt(n) * mean(profit) / std(profit, ddof=1).
        exposure: share of bars in a position.
        turnover: value of all fills / mean equity.
        fees, funding: paid.
    """

    final_equity: float | None
    net_profit: float | None
    total_return: float | None
    cagr: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float | None
    calmar: float | None
    volatility: float | None
    trades: int
    win_rate: float | None
    profit_factor: float | None
    expectancy: float | None
    best_trade: float | None
    worst_trade: float | None
    sqn: float | None
    exposure: float | None
    turnover: float | None
    fees: float | None
    funding: float | None


NAMES: Final = Metrics._fields
LOWER_IS_BETTER: Final = frozenset({"volatility", "turnover", "fees", "funding", "exposure"})
"""By all others a higher figure ranks first (a drawdown is negative)."""


def metrics_of(vector: Float64Array) -> Metrics:
    """The kernel's vector with None for what is undefined, and a count as a whole number."""
    figures = Metrics._make(None if np.isnan(value) else value for value in vector.tolist())
    return figures._replace(trades=int(figures.trades))


@compiled
def measure(equity, profits, bars, bars_held, turnover, fees, funding):
    """The figures of a run as a vector in the order of `Metrics`, NaN where undefined.

    Args:
        equity: float64[d + 1], at the start and at d midnights.
        profits: float64[k], of the closed trades.
        bars, bars_held: counts.
        turnover: value of all fills.
        fees, funding: paid.
    """
    found = np.full(20, np.nan)
    days = len(equity) - 1
    first, last = equity[0], equity[days]
    found[0], found[1], found[2] = last, last - first, last / first - 1.0

    # Returns; what is lost is lost: behind an equity of 0 they are 0.
    total, peak, drawdown, held = 0.0, first, 0.0, first
    for day in range(1, days + 1):
        before = equity[day - 1]
        total += equity[day] / before - 1.0 if before > 0.0 else 0.0
        peak = max(peak, equity[day])
        drawdown = min(drawdown, equity[day] / peak - 1.0)
        held += equity[day]
    found[6] = drawdown
    if days >= FEWEST_DAYS:
        mean = total / days
        squares, downside = 0.0, 0.0
        for day in range(1, days + 1):
            before = equity[day - 1]
            change = equity[day] / before - 1.0 if before > 0.0 else 0.0
            squares += (change - mean) * (change - mean)
            downside += min(change, 0.0) * min(change, 0.0)
        deviation = np.sqrt(squares / (days - 1))
        year = np.sqrt(DAYS_A_YEAR)
        found[3] = max(last / first, 0.0) ** (DAYS_A_YEAR / days) - 1.0
        found[8] = deviation * year
        # A deviation that is rounding alone divides nothing.
        if deviation > ROUNDING:
            found[4] = mean / deviation * year
        if downside > 0.0:
            found[5] = mean / np.sqrt(downside / days) * year
        if drawdown < 0.0:
            found[7] = found[3] / -drawdown

    count = len(profits)
    found[9] = count
    if count:
        wins, losses, won, summed = 0.0, 0.0, 0, 0.0
        best, worst = profits[0], profits[0]
        for profit in profits:
            summed += profit
            best, worst = max(best, profit), min(worst, profit)
            if profit > 0.0:
                wins += profit
                won += 1
            else:
                losses -= profit
        average = summed / count
        found[10], found[12], found[13], found[14] = won / count, average, best, worst
        if losses > 0.0:
            found[11] = wins / losses
        if count > 1:
            squares = 0.0
            for profit in profits:
                squares += (profit - average) * (profit - average)
            deviation = np.sqrt(squares / (count - 1))
            if deviation > ROUNDING * abs(average):
                found[15] = np.sqrt(float(count)) * average / deviation
    if bars:
        found[16] = bars_held / bars
    mean_equity = held / (days + 1)
    if mean_equity > 0.0:
        found[17] = turnover / mean_equity
    found[18], found[19] = fees, funding
    return found


@compiled
def _measure_run(ledger, totals, bars):
    """`measure` of what `kernel.simulate` left behind."""
    count = int(totals[kernel.TRADES])
    if count and ledger.trades[count - 1, kernel.REASON] == exits.OPEN:
        count -= 1
    return measure(
        ledger.equity,
        ledger.trades[:count, kernel.PROFIT],
        bars,
        totals[kernel.BARS_HELD],
        totals[kernel.TURNOVER],
        totals[kernel.FEES_PAID],
        totals[kernel.FUNDING_PAID],
    )


@compiled
def measure_each(bars, minutes, midnights, payments, fees, settings, targets, ledger, totals, figures):
    """`kernel.simulate` of each row of targets, int8[k, n], and its figures; the ledger is that of the last.

    Args:
        totals, figures: float64[k, 7], float64[k, 20], filled with what `simulate` and `measure` give.

    Returns:
        Whether they are; False where minutes are needed and not given.
    """
    for row in range(len(targets)):
        totals[row] = kernel.simulate(bars, minutes, midnights, payments, fees, settings, targets[row], ledger)
        if totals[row, kernel.NEEDS_MINUTES]:
            return False
        figures[row] = _measure_run(ledger, totals[row], len(bars.close))
    return True


@dataclass(frozen=True, slots=True)
class MonthlyReturn:
    """The change of equity within a calendar month (UTC), the first and last ones as far as the range goes."""

    year: int
    month: int
    value: float | None


def monthly_returns(equity: Float64Array, first_day: int) -> list[MonthlyReturn]:
    """Returns by month.

    Args:
        equity: float64[d + 1], at the start of the day `first_day` (since 1970-01-01) and at every midnight after.
    """
    days: Int64Array = np.arange(first_day, first_day + len(equity) - 1)
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    found = []
    for month in np.unique(months):
        rows = np.flatnonzero(months == month)
        before, after = float(equity[rows[0]]), float(equity[rows[-1] + 1])
        year, number = divmod(int(month.astype(np.int64)), 12)
        found.append(MonthlyReturn(1970 + year, number + 1, after / before - 1 if before > 0 else None))
    return found
