"""The result of a run: what its row says, and the rows of its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from btc_pipeline.backtest.engine import ExitReason, Outcome, Trades, simulate
from btc_pipeline.backtest.market_data import MarketData
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.backtest_data import Replay
from btc_pipeline.pipeline.backtest_request import Plan
from btc_pipeline.storage.backtests import Tables
from btc_pipeline.storage.decisions import decisions_table
from btc_pipeline.storage.times import to_datetime, to_timestamps
from btc_pipeline.strategies.base import TargetArray
from btc_pipeline.strategies.decisions import Decisions

LONG_HOLE: Final = MINUTES_PER_DAY
"""A gap of more minutes is told in the report's head."""

MADE, DECIDED, TRADED = 0.2, 0.6, 0.9
"""How far a run is when its bars are made, its targets known, its trades done."""


@dataclass(frozen=True)
class Result:
    """What became of a run.

    Attributes:
        data, targets: what was traded.
        decisions: those where the target changes.
        results: figures and the report's head, as JSON has them.
    """

    data: MarketData
    targets: TargetArray
    decisions: Decisions
    outcome: Outcome
    results: Mapping[str, Any]

    @property
    def result_hash(self) -> str:
        return self.outcome.trades.result_hash

    @property
    def trades(self) -> pa.Table:
        """Round trips with the columns of `backtest_trades`."""
        return trades_table(self.outcome.trades)

    @property
    def equity(self) -> pa.Table:
        """Equity at the start and at midnights with the columns of `backtest_equity`."""
        return equity_table(self.data, self.outcome.equity)

    def tables(self, plan: Plan) -> Tables:
        """All that is stored beside the run's row."""
        one = plan.one
        who = (plan.symbol, one.interval.name, one.strategy.name, one.parameters)
        return Tables(self.trades, self.equity, decisions_table(*who, self.decisions))


def compute(plan: Plan, replay: Replay, progress: Callable[[float], None]) -> Result:
    """Decides and trades.

    Raises:
        UserError: there is no bar in the days, or the strategy gave an answer that cannot be used.
    """
    from btc_pipeline.backtest import metrics

    data = replay.data
    progress(MADE)
    targets, warmed, decisions = plan.one.changes(replay.frames, replay.scope.slots, replay.warm_bars)
    progress(DECIDED)
    outcome = simulate(data, targets, plan.account)
    figures = metrics.measure(
        outcome.equity,
        outcome.trades.profit[outcome.trades.closed],
        outcome.bars,
        outcome.bars_held,
        outcome.turnover,
        outcome.fees,
        outcome.funding,
    )
    progress(TRADED)
    results = {"head": head(replay, int(warmed.sum())), "metrics": metrics.metrics_of(figures)._asdict()}
    return Result(data, targets, decisions, outcome, results)


def head(replay: Replay, warmed: int) -> list[str]:
    """What must be known before the figures are read."""
    said = []
    holes = replay.holes(LONG_HOLE)
    for start, end in holes.pairs():
        days = (end - start) / MINUTES_PER_DAY
        said.append(
            f"no minutes from {to_datetime(start):%Y-%m-%d %H:%M} to {to_datetime(end):%Y-%m-%d %H:%M}: {days:.1f} days"
        )
    source = replay.scope.warm
    if warmed and source is not None:
        said.append(f"{warmed:,} decisions saw bars of {source.instrument.symbol} (warm-up)")
    return said


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


def equity_table(data: MarketData, equity: Float64Array) -> pa.Table:
    """Equity with the columns of `backtest_equity`; `equity` is float64[d + 1]."""
    time = np.append(data.days.start * MINUTES_PER_DAY, data.midnight)
    price = np.append(data.bars.open[0], data.mark)
    # A loss of everything leaves no highest equity but the first.
    highest = np.maximum.accumulate(equity)
    return pa.table(
        {
            "time": to_timestamps(time),
            "equity": equity,
            "equity_base": pa.array(equity / price, from_pandas=True),
            "drawdown": equity / highest - 1.0,
        }
    )
