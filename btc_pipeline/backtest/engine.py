"""One run: an account trades the targets of a strategy over bars."""

from __future__ import annotations

import hashlib
from copy import copy
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.fees import fee_steps
from btc_pipeline.backtest.market_data import NO_FUNDING, MarketData
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import Int64Array
from btc_pipeline.strategies.base import TargetArray

if TYPE_CHECKING:
    from btc_pipeline.backtest.kernel import FeeSteps, Ledger

ENGINE_VERSION: Final = 1
"""Goes into every run's key: raised when the same inputs may give another result."""

_NO_MINUTES: Final = np.empty(0, np.int64)
_NO_PRICES: Final = np.empty(0)


class ExitReason(IntEnum):
    """Why a trade ended; the numbers are those of `exits`."""

    SIGNAL = 0
    STOP = 1
    TARGET = 2
    TRAILING = 3
    LIQUIDATION = 4
    OPEN = 5


class CancelReason(IntEnum):
    """Why an order was not filled; the numbers are the kernel's."""

    HOLE = 0
    TOO_SMALL = 1
    RUINED = 2


CANCEL_WORDS: Final = {
    CancelReason.HOLE: "no bar followed within one interval: the order was cancelled",
    CancelReason.TOO_SMALL: "the size is below the smallest quantity",
    CancelReason.RUINED: "no capital is left",
}


@dataclass(frozen=True, slots=True)
class Trades:
    """Round trips in the order of their entries, k of them; the last one may be open still.

    Columns (float64[k] unless said):
        entry_time, exit_time: int64[k], epoch minutes; of an exit inside a bar the minute's open.
        side: int8[k], 1 long, -1 short.
        quantity: base currency.
        entry_price, exit_price: with slippage; of an open trade the last close.
        fees, funding: paid, quote currency; of an open trade so far.
        profit: after both.
        reason: int8[k], ExitReason.
        entry_bar, exit_bar: int64[k], rows of the bars.
    """

    entry_time: Int64Array
    exit_time: Int64Array
    side: np.ndarray[tuple[int, ...], np.dtype[np.int8]]
    quantity: Float64Array
    entry_price: Float64Array
    exit_price: Float64Array
    fees: Float64Array
    funding: Float64Array
    profit: Float64Array
    reason: np.ndarray[tuple[int, ...], np.dtype[np.int8]]
    entry_bar: Int64Array
    exit_bar: Int64Array

    def __len__(self) -> int:
        return len(self.profit)

    @property
    def closed(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which have ended, bool[k]."""
        return np.asarray(self.reason != ExitReason.OPEN)

    @property
    def result_hash(self) -> str:
        """A digest of every fill: equal inputs give an equal one in every process and on every machine."""
        digest = hashlib.blake2b(digest_size=16)
        for name in self.__slots__:
            digest.update(np.ascontiguousarray(getattr(self, name)).astype("<f8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the account.

    Attributes:
        equity: float64[d + 1], at the start and at every midnight that ends a day, marked to the last price by then.
        cancelled: int64[c, 2], (row of the bar whose order it was, CancelReason).
        bars, bars_held: how many there were, and in how many of them a position was held.
        turnover: sum of the values of all fills.
    """

    trades: Trades
    equity: Float64Array
    cancelled: Int64Array
    bars: int
    bars_held: int
    turnover: float
    fees: float
    funding: float


def simulate(data: MarketData, targets: TargetArray, account: Account, *, slippage_bps: float | None = None) -> Outcome:
    """Trades targets: decided at a bar's close, filled at the open of the bar that follows it.

    Args:
        targets: int8[n], as `strategies.decisions` gives them: SHORT, FLAT, LONG or NO_OPINION.
        slippage_bps: another than the account's.

    Raises:
        ValueError: there is not one target for every bar.
    """
    workspace = Workspace(data)
    totals, _ = workspace.run(account.direction.admitted(targets), account, slippage_bps)
    return workspace.outcome(totals)


class Workspace:
    """Arrays of a simulation, made once for many runs over the same data; one a thread.

    After a run its ledger (`kernel.Ledger`) holds the results, as far as its totals say.
    """

    def __init__(self, data: MarketData) -> None:
        from btc_pipeline.backtest import kernel, metrics

        bars = data.bars
        funding = data.funding or NO_FUNDING
        self._data = data
        self._kernel, self._metrics = kernel, metrics
        midnight_bar, funding_bar = (np.searchsorted(bars.close_time, time) for time in (data.midnight, funding.time))
        extremes = np.array([bars.low.min(initial=np.inf), bars.high.max(initial=0.0)])
        self._bars = kernel.Bars(
            *_compiled_for(bars.time, bars.close_time, bars.open, bars.high, bars.low, bars.close, extremes)
        )
        self._minutes = kernel.MinuteRows(_NO_MINUTES, *(_NO_PRICES,) * 3, _NO_MINUTES)
        self._midnights = kernel.Midnights(*_compiled_for(data.midnight, midnight_bar, data.mark))
        self._payments = kernel.Payments(*_compiled_for(funding.time, funding_bar, funding.rate))
        self._ledger = self._empty_ledger()

    def another(self) -> Workspace:
        """One for another thread, over the same data."""
        other = copy(self)
        other._ledger = self._empty_ledger()
        return other

    @property
    def equity(self) -> Float64Array:
        """Of the last run, float64[d + 1], as `Outcome.equity`; the next one overwrites it."""
        return self._ledger.equity

    def run(
        self, targets: TargetArray, account: Account, slippage_bps: float | None = None
    ) -> tuple[Float64Array, Float64Array]:
        """Simulates; gives the totals by the names of `kernel`, and the figures as `metrics.measure` does.

        Args:
            targets: int8[n], on sides that the account may take (`Direction.admitted`).
            slippage_bps: another than the account's.

        Raises:
            ValueError: there is not one target for every bar.
        """
        slippage = account.slippage_bps if slippage_bps is None else slippage_bps
        totals, figures = self._run(targets[np.newaxis], self._fees(account), _settings(account, slippage))
        return totals[0], figures[0]

    def measure_each(self, targets: TargetArray, account: Account) -> Float64Array:
        """As `run` with each row of targets, int8[k, n]; gives the figures alone, float64[k, len(metrics.NAMES)]."""
        return self._run(targets, self._fees(account), _settings(account, account.slippage_bps))[1]

    def final_equity(self, targets: TargetArray, account: Account, cost_bps: float) -> float:
        """What is left at the end where every fill costs so many basis points of its value, and nothing else."""
        fees = self._kernel.FeeSteps(np.zeros(1, np.int64), np.array([cost_bps / 10_000]))
        self._run(targets[np.newaxis], fees, _settings(account, 0.0))
        return float(self.equity[-1])

    def outcome(self, totals: Float64Array) -> Outcome:
        """A copy of what the last run left, whose totals those are."""
        kernel, ledger = self._kernel, self._ledger
        return Outcome(
            _trades(ledger.trades[: int(totals[kernel.TRADES])]),
            ledger.equity.copy(),
            ledger.cancelled[: int(totals[kernel.CANCELLED])].copy(),
            bars=len(self._data.bars),
            bars_held=int(totals[kernel.BARS_HELD]),
            turnover=float(totals[kernel.TURNOVER]),
            fees=float(totals[kernel.FEES_PAID]),
            funding=float(totals[kernel.FUNDING_PAID]),
        )

    def _empty_ledger(self) -> Ledger:
        n, days = len(self._data.bars), len(self._data.days)
        return self._kernel.Ledger(
            np.zeros((n, self._kernel.TRADE_COLUMNS)), np.zeros((n, 2), np.int64), np.zeros(days + 1)
        )

    def _fees(self, account: Account) -> FeeSteps:
        since, rates = fee_steps(account.fees)
        return self._kernel.FeeSteps(np.array(since, np.int64), np.array(rates))

    def _run(self, targets: TargetArray, fees: FeeSteps, settings: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Totals and figures of each row of targets."""
        # The compiled loop checks no bounds.
        if targets.shape[1] != len(self._data.bars):
            raise ValueError(f"{targets.shape[1]} targets for {len(self._data.bars)} bars")
        (wanted,) = _compiled_for(targets)
        totals = np.empty((len(targets), self._kernel.TOTALS))
        figures = np.empty((len(targets), len(self._metrics.NAMES)))

        def measured() -> bool:
            known = self._bars, self._minutes, self._midnights, self._payments, fees, settings
            return bool(self._metrics.measure_each(*known, wanted, self._ledger, totals, figures))

        if not measured():
            rows, first = self._data.minutes, self._data.minute_first
            self._minutes = self._kernel.MinuteRows(*_compiled_for(rows.time, rows.open, rows.high, rows.low, first))
            measured()
        return totals, figures


def _compiled_for(*columns: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
    """Contiguous, writable columns: for any others the loop would be compiled anew, which takes seconds."""
    return tuple(np.require(column, requirements=("C", "W")) for column in columns)


def _settings(account: Account, slippage_bps: float) -> Float64Array:
    """The account as the kernel's settings vector."""
    exits = account.exits
    return np.array(
        [
            account.capital,
            account.size,
            account.notional or 0.0,
            float(account.compounding),
            account.leverage,
            slippage_bps / 10_000,
            exits.stop or 0.0,
            exits.target or 0.0,
            exits.trailing or 0.0,
            account.maintenance_margin,
            10.0**account.lot_decimals,
        ]
    )


def _trades(table: Float64Array) -> Trades:
    def whole(column: int) -> Int64Array:
        return table[:, column].astype(np.int64)

    def small(column: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return table[:, column].astype(np.int8)

    quantity, entry, exit_, fees, funding, profit = (table[:, column].copy() for column in range(3, 9))
    return Trades(
        whole(0), whole(1), small(2), quantity, entry, exit_, fees, funding, profit, small(9), whole(10), whole(11)
    )
