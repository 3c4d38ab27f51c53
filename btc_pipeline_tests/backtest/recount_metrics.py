"""Metrics of a recount, from their definitions, in `Decimal`."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from statistics import mean

from btc_pipeline_tests.backtest.recount import Books

YEAR = Decimal(365)


def deviation(values: list[Decimal]) -> Decimal:
    middle = mean(values)
    return (sum((one - middle) ** 2 for one in values) / (len(values) - 1)).sqrt()


def recount_metrics(books: Books, bars: int) -> dict[str, Decimal]:
    """The figures of a run of 30 days or more that has won and lost."""
    equity = books.equity
    days = len(equity) - 1
    returns = [after / before - 1 for before, after in pairwise(equity)]
    peaks = [max(equity[: at + 1]) for at in range(len(equity))]
    profits = [trade.profit for trade in books.trades if trade.reason != "OPEN"]
    wins = [one for one in profits if one > 0]
    losses = [one for one in profits if one <= 0]
    downside = (sum(min(one, Decimal(0)) ** 2 for one in returns) / days).sqrt()
    cagr = (equity[-1] / equity[0]) ** (YEAR / days) - 1
    drawdown = min(one / peak - 1 for one, peak in zip(equity, peaks, strict=True))
    return {
        "final_equity": equity[-1],
        "net_profit": equity[-1] - equity[0],
        "total_return": equity[-1] / equity[0] - 1,
        "cagr": cagr,
        "sharpe": mean(returns) / deviation(returns) * YEAR.sqrt(),
        "sortino": mean(returns) / downside * YEAR.sqrt(),
        "max_drawdown": drawdown,
        "calmar": cagr / abs(drawdown),
        "volatility": deviation(returns) * YEAR.sqrt(),
        "trades": Decimal(len(profits)),
        "win_rate": Decimal(len(wins)) / len(profits),
        "profit_factor": sum(wins) / abs(sum(losses)),
        "expectancy": sum(profits) / len(profits),
        "best_trade": max(profits),
        "worst_trade": min(profits),
        "sqn": Decimal(len(profits)).sqrt() * mean(profits) / deviation(profits),
        "exposure": Decimal(books.bars_held) / bars,
        "turnover": books.turnover / mean(equity),
        "fees": books.fees,
        "funding": books.funding,
    }
