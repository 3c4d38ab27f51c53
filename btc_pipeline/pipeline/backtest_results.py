"""The result of a run: what its row says, and the rows of its tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from btc_pipeline.backtest.engine import CancelReason, ExitReason, Trades
from btc_pipeline.backtest.market_data import MarketData
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.backtest_data import Replay
from btc_pipeline.pipeline.backtest_request import Plan
from btc_pipeline.storage.backtests import Tables
from btc_pipeline.storage.decisions import decisions_table
from btc_pipeline.storage.times import to_datetime, to_timestamps
from btc_pipeline.strategies.decisions import Decisions

if TYPE_CHECKING:
    from btc_pipeline.backtest.report import Report

MADE: Final = 0.2
DECIDED: Final = 0.6
TRADED: Final = 0.9
"""How far a run is when its bars are made, its targets known, its trades done."""

MOST_CANCELLED: Final = 100
"""Orders that were not filled are told one by one as far as this."""


@dataclass(frozen=True)
class Result:
    """What became of a run.

    Attributes:
        data: what was traded.
        decisions: those where the target changes.
        warmed: how many decisions saw bars of the warm-up's source.
    """

    plan: Plan
    data: MarketData
    decisions: Decisions
    report: Report
    warmed: int

    @property
    def result_hash(self) -> str:
        return self.report.outcome.trades.result_hash

    @property
    def head(self) -> list[str]:
        """What must be known before the figures are read."""
        warm = f"{self.warmed:,} decisions saw bars of another venue (warm-up)."
        return [*self.report.head, *([warm] if self.warmed else [])]

    @property
    def results(self) -> dict[str, Any]:
        """The figures, as JSON has them; money in quote currency, returns as fractions, undefined is null."""
        report, outcome = self.report, self.report.outcome
        return {
            "head": self.head,
            "bars": outcome.bars,
            "days": len(self.data.days),
            "metrics": report.metrics._asdict(),
            "stress": report.stress._asdict(),
            "buy_and_hold": report.buy_and_hold._asdict(),
            "slippage_bps": report.account.slippage_bps,
            "stress_slippage_bps": report.account.stress_slippage_bps,
            "break_even_bps": report.break_even_bps,
            "base": {
                "start": report.stack.start,
                "end": report.stack.end,
                "total_return": report.stack.total_return,
            },
            "monthly_returns": [asdict(month) for month in report.monthly],
            "cancelled_orders": self._cancelled_orders(),
            "cancelled": {reason.name.lower(): count for reason, count in report.cancelled.items()},
            "funding_included": report.funding_included,
            "warmed": self.warmed,
        }

    def _cancelled_orders(self) -> list[dict[str, str]]:
        first = self.report.outcome.cancelled[:MOST_CANCELLED]
        times = self.data.bars.time[first[:, 0]].tolist()
        return [
            {"time": to_datetime(time).isoformat(), "reason": CancelReason(reason).name.lower()}
            for time, reason in zip(times, first[:, 1].tolist(), strict=True)
        ]

    @property
    def trades(self) -> pa.Table:
        """Round trips with the columns of `backtest_trades`."""
        return trades_table(self.report.outcome.trades)

    @property
    def equity(self) -> pa.Table:
        """Equity at the start and at midnights with the columns of `backtest_equity`."""
        return equity_table(self.data, self.report)

    @property
    def tables(self) -> Tables:
        """All that is stored beside the run's row."""
        one = self.plan.one
        who = (self.plan.symbol, one.interval.name, one.strategy.name, one.parameters)
        return Tables(self.trades, self.equity, decisions_table(*who, self.decisions))


def compute(plan: Plan, replay: Replay, progress: Callable[[float], None]) -> Result:
    """Decides and trades.

    Raises:
        UserError: there is no bar in the days, or the strategy gave an answer that cannot be used.
    """
    from btc_pipeline.backtest.report import backtest

    data = replay.data
    progress(MADE)
    targets, warmed, decisions = plan.one.changes(replay.frames, replay.scope.slots, replay.warm_bars)
    progress(DECIDED)
    report = backtest(data, targets, plan.account)
    progress(TRADED)
    return Result(plan, data, decisions, report, int(warmed.sum()))


def trades_table(trades: Trades) -> pa.Table:
    """Trades with the columns of `backtest_trades`."""
    return pa.table(
        {
            "number": np.arange(1, len(trades) + 1, dtype=np.int32),
            "entry_time": to_timestamps(trades.entry_time),
            "exit_time": to_timestamps(trades.exit_time),
            "side": trades.side.astype(np.int16),
            "quantity": trades.quantity,
            "entry_price": trades.entry_price,
            "exit_price": trades.exit_price,
            "fees": trades.fees,
            "funding": trades.funding,
            "profit": trades.profit,
            "reason": pa.array([ExitReason(code).name.lower() for code in trades.reason.tolist()], pa.string()),
        }
    )


def equity_table(data: MarketData, report: Report) -> pa.Table:
    """Equity with the columns of `backtest_equity`, at the start and at every midnight that ends a day."""
    equity = report.outcome.equity
    return pa.table(
        {
            "time": to_timestamps(np.append(data.days.start * MINUTES_PER_DAY, data.midnight)),
            "equity": equity,
            "equity_base": pa.array(report.stack.equity, from_pandas=True),
            "drawdown": equity / np.maximum.accumulate(equity) - 1.0,
        }
    )
