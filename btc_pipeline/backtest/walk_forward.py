"""Walk-forward: parameters are chosen on some days and traded on the days behind them, window after window.

No look-ahead across a split: the days that parameters are chosen on are cut at their end before anything is computed
(`History.within`). Indicators of the days behind it look back across the split, as they would have on the day. Trades
do not carry over: each side of a split begins flat; on the traded days what is open at the end is closed at the last
price, with slippage and fee, and the account goes on with what it has then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import ExitReason, Outcome, simulate
from btc_pipeline.backtest.fees import fee_at
from btc_pipeline.backtest.history import History
from btc_pipeline.backtest.sweep import column_of, longest_lookbacks, ranking, sweep
from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.strategies.base import Parameters, Strategy
from btc_pipeline.strategies.decisions import StrategyOnInterval

IN_SAMPLE: Final = 2 / 3
"""Share of the days that parameters are chosen on where nothing else is said."""
ANNUALISED: Final = frozenset({"cagr", "sharpe", "sortino", "calmar", "volatility"})


@dataclass(frozen=True, slots=True)
class Split:
    """Days (since 1970-01-01) to choose on, and those behind them to trade."""

    train: range
    test: range


@dataclass(frozen=True, slots=True)
class Window:
    """What came of one split.

    Attributes:
        chosen: the row of the set with the best metric on the train days; None where it is undefined for all.
        train, test: figures as `metrics.measure` gives them, of the train days with the account's own capital and of
            the test days with what was left by then; NaN where nothing was chosen.
    """

    split: Split
    chosen: int | None
    train: Float64Array
    test: Float64Array


@dataclass(frozen=True, slots=True)
class WalkForward:
    """All windows, and the account that traded their test days one after the other.

    Attributes:
        days: the test days.
        equity: float64[d + 1], at the start and at every midnight of the test days.
        figures: of all the test days, as `metrics.measure` gives them.
    """

    windows: list[Window]
    days: range
    equity: Float64Array
    figures: Float64Array


def default_split(days: range) -> Split | None:
    """The first two thirds to choose on, the last third to trade; None where one of them would have no day."""
    middle = days.start + int(len(days) * IN_SAMPLE)
    if not days.start < middle < days.stop:
        return None
    return Split(range(days.start, middle), range(middle, days.stop))


def rolling_splits(days: range, train: int, test: int) -> list[Split]:
    """Windows of so many days, each `test` days later than the one before; the last one's test days may be fewer.

    Raises:
        UserError: there is no room for one.
    """
    if min(train, test) < 1 or train >= len(days):
        raise UserError(
            f"walk-forward {train}d/{test}d does not fit into {len(days)} days: choose on fewer days.",
            field="walk_forward",
        )
    return [
        Split(range(at, at + train), range(at + train, min(at + train + test, days.stop)))
        for at in range(days.start, days.stop - train, test)
    ]


def check_train_days(splits: Sequence[Split], metric: str) -> None:
    """Refuses train days too few for a metric.

    Raises:
        UserError: the metric is annualised, and there are fewer than 30.
    """
    from btc_pipeline.backtest.metrics import FEWEST_DAYS

    fewest = min(len(split.train) for split in splits)
    if metric in ANNUALISED and fewest < FEWEST_DAYS:
        raise UserError(
            f"walk-forward over {fewest} days: {metric} is undefined below {FEWEST_DAYS}; choose on more days, or rank "
            "by another metric.",
            field="walk_forward",
        )


def walk_forward(
    strategy: Strategy,
    parameters: Sequence[Parameters],
    history: History,
    account: Account,
    splits: Sequence[Split],
    metric: str,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> WalkForward:
    """Chooses by a metric on the train days of each split, and trades its test days.

    Args:
        splits: ascending, the test days of each following those of the one before.
        progress: told how many sets are done since the last time, of len(parameters) * len(splits).

    Raises:
        UserError: the metric is undefined on so few train days.
    """
    from btc_pipeline.backtest.metrics import NAMES

    check_train_days(splits, metric)
    lookbacks = longest_lookbacks(strategy, parameters, history.interval)
    windows, traded = [], _Traded(account)
    for split in splits:
        table = sweep(
            strategy,
            parameters,
            history.within(split.train, lookbacks),
            account,
            threads=threads,
            progress=progress,
        )
        best = int(ranking(table, metric)[0])
        chosen = None if np.isnan(table[best, column_of(metric)]) else best
        train = np.full(len(NAMES), np.nan) if chosen is None else table[best]
        one = None if chosen is None else StrategyOnInterval(strategy, parameters[chosen], history.interval)
        test = traded.go_on(one, history.within(split.test, lookbacks))
        windows.append(Window(split, chosen, train, test))
    return WalkForward(
        windows, range(splits[0].test.start, splits[-1].test.stop), np.array(traded.equity), traded.figures()
    )


class _Traded:
    """An account that goes on from window to window."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.equity = [account.capital]
        self._profits: list[Float64Array] = []
        self._sums = np.zeros(5)

    def go_on(self, one: StrategyOnInterval | None, history: History) -> Float64Array:
        """Trades the days of a history from what is left; the figures of these days alone."""
        from btc_pipeline.backtest.metrics import NAMES

        days, capital = len(history.data.days), self.equity[-1]
        if one is None or capital <= 0.0:
            self.equity += [capital] * days
            return np.full(len(NAMES), np.nan)
        account = replace(self._account, capital=capital)
        n = len(history.data.bars)
        targets = one.targets(history.frames, history.warm_bars)
        outcome = simulate(history.data, targets[len(targets) - n :], account)
        equity, profits, sums = _closed(outcome, history, account)
        self.equity += equity.tolist()[1:]
        self._profits.append(profits)
        self._sums += sums
        return _measure(equity, profits, sums)

    def figures(self) -> Float64Array:
        """Of all days so far."""
        profits = np.concatenate([np.empty(0), *self._profits])
        return _measure(np.array(self.equity), profits, self._sums)


def _closed(outcome: Outcome, history: History, account: Account) -> tuple[Float64Array, Float64Array, Float64Array]:
    """What is open is closed at the last price.

    Returns:
        (equity, profits, sums): float64[d + 1], float64[k], and bars, bars held, turnover, fees and funding.
    """
    trades, equity = outcome.trades, outcome.equity.copy()
    profits = trades.profit.copy()
    sums = np.array([outcome.bars, outcome.bars_held, outcome.turnover, outcome.fees, outcome.funding])
    if len(trades) and trades.reason[-1] == ExitReason.OPEN:
        last, side, quantity = history.data.mark[-1], int(trades.side[-1]), trades.quantity[-1]
        price = last * (1.0 - side * account.slippage_bps / 10_000)
        fee = quantity * price * fee_at(account.fees, int(history.data.midnight[-1]))
        equity[-1] = max(equity[-1] - side * quantity * (last - price) - fee, 0.0)
        gross = side * quantity * (price - trades.entry_price[-1])
        profits[-1] = gross - trades.fees[-1] - fee - trades.funding[-1]
        sums[2:4] += quantity * price, fee
    return equity, profits, sums


def _measure(equity: Float64Array, profits: Float64Array, sums: Float64Array) -> Float64Array:
    from btc_pipeline.backtest import metrics

    bars, held, turnover, fees, funding = sums.tolist()
    figures: Float64Array = metrics.measure(equity, profits, int(bars), int(held), turnover, fees, funding)
    return figures
