"""The report of one run: its result at both slippages, what costs it bears, buy and hold beside, what is left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import CancelReason, Outcome, Workspace
from btc_pipeline.backtest.market_data import MarketData
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.market.spans import Spans
from btc_pipeline.strategies.base import LONG, Direction, Exits, TargetArray

if TYPE_CHECKING:
    from btc_pipeline.backtest.metrics import Metrics, MonthlyReturn

DEAREST_BPS: Final = 10_000.0
"""Where the search for the break-even cost ends: every fill costs all that it is worth."""
NEAREST_BPS: Final = 0.01
"""How closely it is found."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The account in coins: its equity over the price.

    Attributes:
        start: the capital at the first bar's open; None without a bar.
        end: the equity at the last midnight at its mark.
        total_return: end / start - 1.
        equity: float64[d + 1], as `Outcome.equity`; NaN where no price is known.
    """

    start: float | None
    end: float | None
    total_return: float | None
    equity: Float64Array


@dataclass(frozen=True, slots=True)
class Report:
    """A run and what is to be known about it.

    Attributes:
        account: whose it is.
        outcome: trades, equity, cancelled orders at the account's slippage.
        metrics: at the account's slippage; `stress`: at its stress slippage.
        break_even_bps: cost of a fill, fee and slippage together, at which the run ends with what it began with. None
            where no cost does: it loses at none, gains at any, or trades nothing.
        buy_and_hold: all of the capital long from the first order on, with the same fees, slippage and funding.
        buy_and_hold_equity: float64[d + 1].
        stack: equity in coins.
        monthly: returns by calendar month.
        funding_included: whether a funding history was given.
        holes: spans of more than a day without a bar.
        cancelled: orders that were not filled, by reason.
    """

    account: Account
    outcome: Outcome
    metrics: Metrics
    stress: Metrics
    break_even_bps: float | None
    buy_and_hold: Metrics
    buy_and_hold_equity: Float64Array
    stack: Stack
    monthly: list[MonthlyReturn]
    funding_included: bool
    holes: Spans
    cancelled: dict[CancelReason, int]

    @property
    def head(self) -> list[str]:
        """What a reader must know before the figures, a sentence each."""
        return told_first(self.account, self.funding_included, self.holes)


def told_first(account: Account, funding_included: bool, holes: Spans) -> list[str]:
    """What a reader must know of account and data before any figures, a sentence each."""
    told = [] if funding_included else ["Funding is not included: no history of it is known."]
    told += [
        f"No bars from {_day_time(start)} to {_day_time(end)} UTC ({(end - start) / MINUTES_PER_DAY:.1f} days)."
        for start, end in holes.pairs()
    ]
    return told + account.notes


def backtest(data: MarketData, targets: TargetArray, account: Account) -> Report:
    """Trades targets and reports.

    Args:
        targets: int8[n], one for every bar of `data`.

    Raises:
        ValueError: there is not one target for every bar.
    """
    from btc_pipeline.backtest.metrics import metrics_of, monthly_returns

    workspace = Workspace(data)
    wanted = account.direction.admitted(targets)
    totals, figures = workspace.run(wanted, account)
    outcome, metrics = workspace.outcome(totals), metrics_of(figures)
    stress = metrics
    if account.stress_slippage_bps != account.slippage_bps:
        stress = metrics_of(workspace.run(wanted, account, account.stress_slippage_bps)[1])
    held = metrics_of(workspace.run(np.full(len(targets), LONG, np.int8), holder(account))[1])
    held_equity = workspace.equity.copy()
    return Report(
        account=account,
        outcome=outcome,
        metrics=metrics,
        stress=stress,
        break_even_bps=_break_even(workspace, wanted, account) if len(outcome.trades) else None,
        buy_and_hold=held,
        buy_and_hold_equity=held_equity,
        stack=stack(data, outcome.equity),
        monthly=monthly_returns(outcome.equity, data.days.start),
        funding_included=data.funding is not None,
        holes=long_holes(data),
        cancelled=_counted(outcome.cancelled[:, 1]),
    )


def holder(account: Account) -> Account:
    """The account that buys with all it has and waits, at the same costs."""
    return replace(
        account, size=1.0, notional=None, compounding=True, direction=Direction.LONG, leverage=1.0, exits=Exits()
    )


def stack(data: MarketData, equity: Float64Array) -> Stack:
    """Equity in coins.

    Args:
        equity: float64[d + 1], as `Outcome.equity`.
    """
    if not len(data.bars):
        return Stack(None, None, None, np.full(len(equity), np.nan))
    coins = equity / np.concatenate((data.bars.open[:1], data.mark))
    start, end = float(coins[0]), float(coins[-1])
    if np.isnan(end):
        return Stack(start, None, None, coins)
    return Stack(start, end, end / start - 1.0, coins)


def long_holes(data: MarketData) -> Spans:
    """Where there is no bar for more than a day, from the start of the days to their end; epoch minutes."""
    start, end = data.days.start * MINUTES_PER_DAY, data.days.stop * MINUTES_PER_DAY
    after, before = np.append(start, data.bars.close_time), np.append(data.bars.time, end)
    long = before - after > MINUTES_PER_DAY
    return Spans(after[long], before[long])


def _counted(reasons: Int64Array) -> dict[CancelReason, int]:
    found, counts = np.unique(reasons, return_counts=True)
    return {CancelReason(reason): count for reason, count in zip(found.tolist(), counts.tolist(), strict=True)}


def _break_even(workspace: Workspace, targets: TargetArray, account: Account) -> float | None:
    """The cost of a fill in basis points at which the end equals the beginning, by bisection."""

    def gains(cost: float) -> bool:
        return workspace.final_equity(targets, account, cost) >= account.capital

    low, high = 0.0, account.fees[-1].taker_bps + account.slippage_bps or 1.0
    while gains(high):
        if high >= DEAREST_BPS:
            return None
        low, high = high, high * 2.0
    if low == 0.0 and not gains(low):
        return None
    while high - low > NEAREST_BPS:
        middle = (low + high) / 2.0
        low, high = (middle, high) if gains(middle) else (low, middle)
    return low


def _day_time(minute: int) -> str:
    return str(np.datetime64(minute, "m")).replace("T", " ")
