"""A second backtester, written from the conventions and in nothing like the compiled one: one list of events in time.

Every bar's open and close, every traded minute, every funding and every midnight is an event; a state is carried
through them. No shortcut, no bar's high or low. With `Decimal` it is exact to 40 digits; with `float` it computes what
the compiled one must compute, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from btc_pipeline.backtest.account import Account

DAY = 1440
CLOSE, FUNDING, MIDNIGHT, OPEN, MINUTE = range(5)
"""What comes first where several events have one time."""

Number = Any
NO_OPINION = -128


@dataclass(frozen=True)
class Minute:
    time: int
    open: Number
    high: Number
    low: Number
    close: Number


@dataclass(frozen=True)
class Bar:
    open_time: int
    close_time: int
    open: Number
    close: Number
    usable: bool = True


@dataclass
class Trade:
    side: int
    quantity: Number
    entry_time: int
    entry_bar: int
    entry_price: Number
    best: Number
    entry_fee: Number
    funding: Number
    liquidation: Number = None
    exit_time: int = -1
    exit_bar: int = -1
    exit_price: Number = None
    fees: Number = None
    profit: Number = None
    reason: str = ""


@dataclass
class Books:
    """All that is left at the end."""

    trades: list[Trade] = field(default_factory=list)
    equity: list[Number] = field(default_factory=list)
    cancelled: list[tuple[int, str]] = field(default_factory=list)
    bars_held: int = 0
    turnover: Number = 0
    fees: Number = 0
    funding: Number = 0


def bars_of(
    minutes: Sequence[Minute], length: int, days: range, usable: Callable[[int], bool] = lambda _: True
) -> list:
    """Bars that open and close within the days."""
    grouped: dict[int, list[Minute]] = {}
    for minute in minutes:
        grouped.setdefault(minute.time // length, []).append(minute)
    return [
        Bar(slot * length, (slot + 1) * length, inside[0].open, inside[-1].close, usable(slot))
        for slot, inside in sorted(grouped.items())
        if slot * length >= days.start * DAY and (slot + 1) * length <= days.stop * DAY
    ]


class Recount:
    """An account going through events."""

    def __init__(self, account: Account, number: type = Decimal) -> None:
        def of(value: float) -> Number:
            return number(str(value)) if number is Decimal else float(value)

        self.account, self.of = account, of
        self.cash = of(account.capital)
        self.slip = of(account.slippage_bps) / 10_000
        self.fees = [
            ((fee.valid_from - date(1970, 1, 1)).days * DAY, of(fee.taker_bps) / 10_000) for fee in account.fees
        ]
        self.stop, self.goal, self.trailing = (
            None if one is None else of(one)
            for one in (account.exits.stop, account.exits.target, account.exits.trailing)
        )
        self.position: Trade | None = None
        self.order: int | None = None
        self.waits_on: int | None = None
        self.books = Books(equity=[self.cash], turnover=of(0.0), fees=of(0.0), funding=of(0.0))

    def run(
        self,
        bars: Sequence[Bar],
        minutes: Iterable[Minute],
        targets: Sequence[int],
        days: range,
        funding: Iterable[tuple[int, Number]] = (),
    ) -> Books:
        end = days.stop * DAY
        events: list[tuple[int, int, Any]] = [(one.open_time, OPEN, at) for at, one in enumerate(bars)]
        events += [(one.close_time, CLOSE, at) for at, one in enumerate(bars)]
        events += [(one.time, MINUTE, one) for one in minutes if one.time < end]
        events += [(time, FUNDING, rate) for time, rate in funding if time <= end]
        events += [((day + 1) * DAY, MIDNIGHT, None) for day in days]
        events.sort(key=lambda event: event[:2])
        bar, last_price, inside = -1, None, False
        for time, kind, what in events:
            if kind == CLOSE:
                inside = False
                self.decide(targets[what])
            elif kind == FUNDING:
                self.pay_funding(bars[bar].open if bar >= 0 else None, what)
            elif kind == MIDNIGHT:
                self.books.equity.append(max(self.worth(last_price), self.of(0.0)))
            elif kind == OPEN:
                follows = what > 0 and bars[what - 1].close_time == time
                bar, inside = what, True
                self.open_bar(what, time, bars[what].open, follows)
            else:
                if inside and self.position is not None:
                    self.look_for_exit(what, bar)
                last_price = what.close
        if self.position is not None:
            trade, last = self.position, bars[-1]
            trade.exit_time, trade.exit_bar, trade.exit_price = last.close_time, len(bars) - 1, last.close
            trade.fees, trade.reason = trade.entry_fee, "OPEN"
            trade.profit = self.gain(last.close) - trade.entry_fee - trade.funding
            self.books.trades.append(trade)
        return self.books

    def decide(self, target: int) -> None:
        self.order = None
        if target in (NO_OPINION, self.waits_on):
            return
        self.waits_on = None
        held = self.position.side if self.position else 0
        if target != held:
            self.order = target

    def open_bar(self, bar: int, time: int, price: Number, follows: bool) -> None:
        order, self.order = self.order, None
        if order is not None and not follows:
            self.books.cancelled.append((bar - 1, "HOLE"))
        elif order is not None:
            if self.position:
                self.leave(time, bar, price, "SIGNAL")
            if order:
                self.enter(order, time, bar, price)
        if self.position:
            self.books.bars_held += 1
            self.position.liquidation = self.liquidation_price()

    def enter(self, side: int, time: int, bar: int, price: Number) -> None:
        account = self.account
        price = price * (1 + side * self.slip)
        fee = self.fee_at(time)
        ceiling = self.of(account.leverage) * self.cash / (1 + fee)
        if account.notional is not None:
            value = min(self.of(account.notional), ceiling)
        else:
            base = self.cash if account.compounding else self.of(account.capital)
            value = min(self.of(account.size) * base / (1 + fee), ceiling)
        lots = value / price * 10**account.lot_decimals
        lots = lots.to_integral_value(ROUND_FLOOR) if isinstance(lots, Decimal) else float(math.floor(lots))
        if lots <= 0:
            self.books.cancelled.append((bar - 1, "TOO_SMALL" if self.cash > 0 else "RUINED"))
            return
        quantity = lots / 10**account.lot_decimals
        cost = quantity * price * fee
        self.cash = self.cash - cost
        self.books.turnover += quantity * price
        self.books.fees += cost
        self.position = Trade(side, quantity, time, bar, price, price, cost, self.of(0.0))

    def leave(self, time: int, bar: int, price: Number, reason: str) -> None:
        trade = self.position
        assert trade is not None
        price = price * (1 - trade.side * self.slip)
        cost = trade.quantity * price * self.fee_at(time)
        gain = self.gain(price)
        self.cash = self.cash + gain - cost
        trade.profit = gain - trade.entry_fee - cost - trade.funding
        if self.cash < 0:
            trade.profit, self.cash = trade.profit - self.cash, self.of(0.0)
        trade.exit_time, trade.exit_bar, trade.exit_price, trade.reason = time, bar, price, reason
        trade.fees = trade.entry_fee + cost
        self.books.turnover += trade.quantity * price
        self.books.fees += cost
        self.books.trades.append(trade)
        self.position = None

    def look_for_exit(self, minute: Minute, bar: int) -> None:
        trade = self.position
        assert trade is not None
        long = trade.side > 0
        worst, finest = (minute.low, minute.high) if long else (minute.high, minute.low)

        def beyond(level: Number | None, extreme: Number, below: bool) -> bool:
            return level is not None and (extreme <= level if below else extreme >= level)

        def fill(level: Number, below: bool) -> Number:
            return min(minute.open, level) if below else max(minute.open, level)

        stop = None if self.stop is None else trade.entry_price * (1 - trade.side * self.stop)
        trail = None if self.trailing is None else trade.best * (1 - trade.side * self.trailing)
        goal = None if self.goal is None else trade.entry_price * (1 + trade.side * self.goal)
        nearest, name = stop, "STOP"
        if trail is not None and (stop is None or (trail > stop if long else trail < stop)):
            nearest, name = trail, "TRAILING"
        for level, reason in ((trade.liquidation, "LIQUIDATION"), (nearest, name)):
            if beyond(level, worst, below=long):
                return self.exit_inside(minute.time, bar, fill(level, below=long), reason)
        if beyond(goal, finest, below=not long):
            return self.exit_inside(minute.time, bar, fill(goal, below=not long), "TARGET")
        trade.best = max(trade.best, finest) if long else min(trade.best, finest)
        return None

    def exit_inside(self, time: int, bar: int, price: Number, reason: str) -> None:
        assert self.position is not None
        self.waits_on = self.position.side
        self.leave(time, bar, price, reason)

    def pay_funding(self, price: Number | None, rate: Number) -> None:
        if self.position is None:
            return
        payment = self.position.side * self.position.quantity * price * rate
        self.cash = self.cash - payment
        self.position.funding += payment
        self.books.funding += payment

    def worth(self, price: Number | None) -> Number:
        return self.cash + self.gain(price) if self.position else self.cash

    def gain(self, price: Number) -> Number:
        assert self.position is not None
        return self.position.side * self.position.quantity * (price - self.position.entry_price)

    def liquidation_price(self) -> Number:
        """Where equity is the maintenance share m of the position: cash + q (p - e) = m q p, of a short + q (e - p)."""
        trade, share = self.position, self.of(self.account.maintenance_margin)
        assert trade is not None
        value = trade.quantity * trade.entry_price
        if trade.side > 0:
            return (value - self.cash) / (trade.quantity * (1 - share))
        return (value + self.cash) / (trade.quantity * (1 + share))

    def fee_at(self, time: int) -> Number:
        valid = [rate for since, rate in self.fees if since <= time]
        return valid[-1] if valid else self.fees[0][1]
