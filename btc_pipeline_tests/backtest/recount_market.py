"""Made-up markets, the same for both backtesters, and their comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from btc_pipeline.backtest.engine import CancelReason, ExitReason, Outcome
from btc_pipeline.backtest.market_data import Funding, MarketData, Minutes, marks_of
from btc_pipeline.market.candles import Candles, Scale, minute_candles
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline_tests.backtest.recount import DAY, Bar, Books, Minute, bars_of

FIRST_DAY = 16436


@dataclass(frozen=True)
class MadeMarket:
    """What each of the two is given."""

    data: MarketData
    bars: list[Bar]
    minutes: list[Minute]
    days: range
    funding: list[tuple[int, float]]


def made_market(
    seed: int,
    length: int,
    count: int,
    *,
    tick: float = 0.5,
    volatility: float = 1.0,
    missing: float = 0.1,
    hole: int = 0,
    offset: int = 0,
    funding_every: int = 0,
) -> MadeMarket:
    """A random walk around 100 in coarse ticks, so that prices meet levels exactly.

    Args:
        length: minutes of a bar.
        count: minutes of the walk, of which a share `missing` has no row, and `hole` in the middle have none.
        offset: of the first minute, from the start of the first day.
        funding_every: minutes between payments; 0: none.
    """
    random = np.random.default_rng(seed)
    steps = np.rint(random.normal(0, volatility, (count, 4)) / tick).astype(np.int64)
    close = np.maximum(np.cumsum(steps[:, 0]) + round(100 / tick), 20)
    opened = np.maximum(close + steps[:, 1], 10)
    high = np.maximum(opened, close) + np.abs(steps[:, 2])
    low = np.maximum(np.minimum(opened, close) - np.abs(steps[:, 3]), 1)
    time = FIRST_DAY * DAY + offset + np.arange(count)
    kept = random.random(count) >= missing
    kept[count // 2 : count // 2 + hole] = False
    kept[0] = True
    prices = tuple((column[kept] * tick).astype(np.float64) for column in (opened, high, low, close))
    minutes = minute_candles(Scale(price=8, volume=0), time[kept], prices, np.ones(int(kept.sum())))
    days = range(FIRST_DAY, FIRST_DAY + -(-(offset + count) // DAY))
    due = np.arange(days.start * DAY, days.stop * DAY + 1, funding_every or 1)[:: 1 if funding_every else 1 << 40]
    rates = np.rint(random.normal(0, 3, len(due))) / 1000 if funding_every else np.zeros(0)
    due = due[: len(rates)]
    return MadeMarket(
        market_data(minutes, length, days, Funding(due.astype(np.int64), rates) if funding_every else None),
        bars_of(as_minutes(minutes), length, days),
        as_minutes(minutes),
        days,
        list(zip(due.tolist(), rates.tolist(), strict=True)),
    )


def market_data(minutes: Candles, length: int, days: range, funding: Funding | None = None) -> MarketData:
    """Bars that open and close within the days, as a run has them."""
    slots = range(-(-days.start * DAY // length), days.stop * DAY // length)
    bars = resample(minutes, Interval.parse(f"{length}m" if length < DAY else "1d"), slots)
    return MarketData(bars, days, marks_of(minutes, days), lambda: Minutes.of(minutes), funding)


def as_minutes(minutes: Candles) -> list[Minute]:
    columns = (minutes.time, minutes.open, minutes.high, minutes.low, minutes.close)
    return [Minute(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def assert_same(outcome: Outcome, books: Books, same: Callable[[float, object], bool]) -> None:
    """Times, sides, reasons, bars and cancelled orders are equal, money is `same`."""
    trades = outcome.trades
    whole = zip(
        trades.entry_time.tolist(),
        trades.exit_time.tolist(),
        trades.side.tolist(),
        [ExitReason(one).name for one in trades.reason],
        trades.entry_bar.tolist(),
        trades.exit_bar.tolist(),
        strict=True,
    )
    assert list(whole) == [
        (one.entry_time, one.exit_time, one.side, one.reason, one.entry_bar, one.exit_bar) for one in books.trades
    ]
    assert [(bar, CancelReason(reason).name) for bar, reason in outcome.cancelled.tolist()] == books.cancelled
    assert outcome.bars_held == books.bars_held
    for name in ("quantity", "entry_price", "exit_price", "fees", "funding", "profit"):
        for ours, theirs in zip(getattr(trades, name).tolist(), books.trades, strict=True):
            assert same(ours, getattr(theirs, name)), (name, ours, theirs)
    for day, (ours, theirs) in enumerate(zip(outcome.equity.tolist(), books.equity, strict=True)):
        assert same(ours, theirs), ("equity", day, ours, theirs)
    for name in ("turnover", "fees", "funding"):
        assert same(getattr(outcome, name), getattr(books, name)), name


def within(share: float, least: float) -> Callable[[float, object], bool]:
    """Equal to a `Decimal` but for a share of the larger of it and `least`."""

    def same(ours: float, theirs: object) -> bool:
        exact = Decimal(theirs)  # type: ignore[arg-type]
        return abs(Decimal(ours) - exact) <= Decimal(share) * max(abs(exact), Decimal(least))

    return same
