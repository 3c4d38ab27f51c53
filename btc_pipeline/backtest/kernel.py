"""The simulation, compiled. Nothing here allocates but its caller's arrays, and nothing calls Python.

Importing numba takes a second: this module is imported when a backtest begins, not before.

Order of things: what time brought before a bar opens; at its open the order of the last close is filled; exits walk the
minutes; funding and midnights as time brings them, until an exit with the position, behind it without; at the close the
target becomes the next order.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from btc_pipeline.backtest.compiled import compiled
from btc_pipeline.backtest.exits import OPEN, SIGNAL, fixed_levels, liquidation_price, may_exit, walk
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import Int64Array

NO_OPINION: Final = -128
NOTHING_BLOCKED: Final = -99
FAR: Final = 1 << 62
"""A time that does not come."""

# Why an order was not filled.
HOLE: Final = 0
TOO_SMALL: Final = 1
RUINED: Final = 2

# Rows of the settings vector.
CAPITAL, SIZE, NOTIONAL, COMPOUNDING, LEVERAGE, SLIPPAGE, STOP_AT, TARGET_AT, TRAILING_AT, MAINTENANCE, LOT = range(11)

# Columns of a trade.
ENTRY_TIME, EXIT_TIME, SIDE, QUANTITY, ENTRY_PRICE, EXIT_PRICE, FEES, FUNDING, PROFIT, REASON, ENTRY_BAR, EXIT_BAR = (
    range(12)
)
TRADE_COLUMNS: Final = 12

# Totals.
TRADES, CANCELLED, BARS_HELD, TURNOVER, FEES_PAID, FUNDING_PAID, NEEDS_MINUTES = range(7)
TOTALS: Final = 7


class Bars(NamedTuple):
    """int64[n] open and close times in epoch minutes, float64[n] prices, float64[2] the lowest and the highest one."""

    opened: Int64Array
    closed: Int64Array
    open: Float64Array
    high: Float64Array
    low: Float64Array
    close: Float64Array
    extremes: Float64Array


class MinuteRows(NamedTuple):
    """int64[m] times and float64[m] prices of the minutes of all bars, int64[n + 1] the row of each bar's first minute;
    all empty where no minutes are given.
    """

    time: Int64Array
    open: Float64Array
    high: Float64Array
    low: Float64Array
    first: Int64Array


class Midnights(NamedTuple):
    """When equity is sampled: int64[d] times, int64[d] the first bars that close then or later (n for none), float64[d]
    the last prices by then.
    """

    time: Int64Array
    bar: Int64Array
    mark: Float64Array


class Payments(NamedTuple):
    """Funding: int64[f] times, int64[f] the first bars that close then or later, and float64[f] which part of its value
    a long position pays.
    """

    time: Int64Array
    bar: Int64Array
    rate: Float64Array


class FeeSteps(NamedTuple):
    """int64[k] times, and float64[k] the fraction of a fill's value since then."""

    since: Int64Array
    rate: Float64Array


class Ledger(NamedTuple):
    """What a simulation writes: float64[n, 12] trades (each begins in a bar of its own), int64[n, 2] cancelled orders
    (bar of the order, reason), float64[d + 1] equity, at the start and at midnights.
    """

    trades: Float64Array
    cancelled: Int64Array
    equity: Float64Array


@compiled
def simulate(bars, minutes, midnights, payments, fees, settings, target, ledger):
    """Trades targets over n bars; writes the ledger, and gives the totals.

    Args:
        bars, minutes, midnights, payments, fees, ledger: the tuples of arrays above.
        settings: float64[11], see the names above; 0 where a limit or exit is not used.
        target: int8[n], wanted at each close: -1, 0, 1 or NO_OPINION.

    Returns:
        float64[7], totals. NEEDS_MINUTES is 1, and nothing else counts, where an exit lies inside a bar and no minutes
        are given.
    """
    # Within a loop an array in a tuple costs a count of references at every use.
    opened, closed, open_, high, low, close, extremes = bars
    minute_time, minute_open, minute_high, minute_low, minute_first = minutes
    midnight, midnight_bar, mark = midnights
    funding_time, funding_bar, funding_rate = payments
    fee_from, fee_rate = fees
    trades, cancelled, equity = ledger
    n = len(close)
    totals = np.zeros(TOTALS)
    slip, maintenance, lot, trailing = settings[SLIPPAGE], settings[MAINTENANCE], settings[LOT], settings[TRAILING_AT]
    cash = settings[CAPITAL]
    side, quantity, entry, best, paid, funded = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    liquid, stopped, reached, relevel = 0.0, 0.0, 0.0, False
    pending, desired, blocked = False, 0, NOTHING_BLOCKED
    count, refused, day, due = 0, 0, 0, 0
    last_open = 0.0
    equity[0] = cash
    if n:
        while due < len(funding_time) and funding_time[due] <= opened[0]:
            due += 1
    next_event = _next_event(day, due, midnight, funding_time)
    bar = 0
    while bar < n:
        if next_event <= opened[bar]:
            cash, funded, day, due = _pass_time(
                opened[bar], last_open, side, quantity, entry, cash, funded, day, due,
                midnight, mark, funding_time, funding_rate, equity, totals,
            )  # fmt: skip
            next_event, relevel = _next_event(day, due, midnight, funding_time), side != 0

        if pending:
            pending = False
            if opened[bar] != closed[bar - 1]:
                cancelled[refused, 0], cancelled[refused, 1] = bar - 1, HOLE
                refused += 1
            else:
                fee = _fee_at(opened[bar], fee_from, fee_rate)
                if side != 0:
                    price = open_[bar] * (1.0 - side * slip)
                    cash = _close(trades, count, totals, side, quantity, entry, price, fee, paid, funded, cash)
                    trades[count, EXIT_TIME], trades[count, EXIT_BAR] = opened[bar], bar
                    trades[count, REASON] = SIGNAL
                    count += 1
                    side = 0
                if desired != 0:
                    price = open_[bar] * (1.0 + desired * slip)
                    quantity = np.floor(_value(settings, cash, fee) / price * lot) / lot
                    if quantity > 0.0:
                        side, entry, best = desired, price, price
                        paid, funded = quantity * price * fee, 0.0
                        cash -= paid
                        totals[TURNOVER] += quantity * price
                        totals[FEES_PAID] += paid
                        trades[count, ENTRY_TIME], trades[count, ENTRY_BAR] = opened[bar], bar
                        trades[count, SIDE], trades[count, QUANTITY], trades[count, ENTRY_PRICE] = side, quantity, entry
                        stopped, reached = fixed_levels(side, entry, settings[STOP_AT], settings[TARGET_AT])
                        relevel = True
                    else:
                        cancelled[refused, 0], cancelled[refused, 1] = bar - 1, TOO_SMALL if cash > 0.0 else RUINED
                        refused += 1
        if relevel and side != 0:
            # Funding moves it, from the bar after the payment on.
            liquid = liquidation_price(side, quantity, entry, cash, maintenance)
            relevel = False

        if side == 0 or trailing == 0.0:
            # Most bars of most runs: nothing happens but midnights.
            first = bar
            kept = side if side != 0 else (0 if blocked == NOTHING_BLOCKED else blocked)
            above, below = 0.0, 0.0
            if side != 0:
                above, below = (max(liquid, stopped), reached) if side > 0 else (reached, min(liquid, stopped))
            watched = side != 0 and not (extremes[0] > above and extremes[1] < below)
            edge = funding_bar[due] if due < len(funding_time) else n
            # Not a function: each call would count references to its arrays, which takes longer than the loop.
            if watched:
                while (
                    bar < edge
                    and low[bar] > above
                    and high[bar] < below
                    and (target[bar] == kept or target[bar] == NO_OPINION)
                ):
                    bar += 1
            else:
                while bar < edge and (target[bar] == kept or target[bar] == NO_OPINION):
                    bar += 1
            if bar < edge and not (watched and (low[bar] <= above or high[bar] >= below)):
                # Only its target is news.
                pending, desired, blocked = target[bar] != side, int(target[bar]), NOTHING_BLOCKED
                bar += 1
            if bar > first:
                while day < len(midnight) and midnight_bar[day] < bar:
                    equity[day + 1] = _worth(side, quantity, entry, cash, mark[day])
                    day += 1
                last_open = open_[bar - 1]
                next_event = _next_event(day, due, midnight, funding_time)
                if side != 0:
                    totals[BARS_HELD] += bar - first
                continue

        last_open = open_[bar]
        exit_time, exit_price, reason = FAR, 0.0, SIGNAL
        if side != 0:
            totals[BARS_HELD] += 1
            if not may_exit(side, best, high[bar], low[bar], liquid, stopped, reached, trailing):
                best = max(best, high[bar]) if side > 0 else min(best, low[bar])
            elif len(minute_first) == 0:
                totals[NEEDS_MINUTES] = 1.0
                return totals
            else:
                at, exit_price, reason, best = walk(
                    minute_open, minute_high, minute_low, minute_first[bar], minute_first[bar + 1],
                    side, best, liquid, stopped, reached, trailing,
                )  # fmt: skip
                if at >= 0:
                    exit_time = minute_time[at]

        until = min(exit_time, closed[bar])
        if next_event <= until:
            cash, funded, day, due = _pass_time(
                until, last_open, side, quantity, entry, cash, funded, day, due,
                midnight, mark, funding_time, funding_rate, equity, totals,
            )  # fmt: skip
            next_event, relevel = _next_event(day, due, midnight, funding_time), side != 0

        if exit_time != FAR:
            price = exit_price * (1.0 - side * slip)
            fee = _fee_at(exit_time, fee_from, fee_rate)
            cash = _close(trades, count, totals, side, quantity, entry, price, fee, paid, funded, cash)
            trades[count, EXIT_TIME], trades[count, EXIT_BAR] = exit_time, bar
            trades[count, REASON] = reason
            count += 1
            blocked, side = side, 0

        wanted = target[bar]
        if wanted not in (NO_OPINION, blocked):
            blocked = NOTHING_BLOCKED
            pending, desired = wanted != side, int(wanted)
        bar += 1

    if len(midnight):
        cash, funded, day, due = _pass_time(
            midnight[-1], last_open, side, quantity, entry, cash, funded, day, due,
            midnight, mark, funding_time, funding_rate, equity, totals,
        )  # fmt: skip
    if side != 0:
        trades[count, EXIT_TIME], trades[count, EXIT_BAR], trades[count, REASON] = closed[n - 1], n - 1, OPEN
        trades[count, EXIT_PRICE], trades[count, FEES], trades[count, FUNDING] = close[n - 1], paid, funded
        trades[count, PROFIT] = side * quantity * (close[n - 1] - entry) - paid - funded
        count += 1
    totals[TRADES], totals[CANCELLED] = count, refused
    return totals


@compiled
def _worth(side, quantity, entry, cash, price):
    """What an account is worth at a price: what is lost beyond it is the venue's."""
    # Without a position the price must not count: before the first trade there is none.
    return max(cash + side * quantity * (price - entry) if side != 0 else cash, 0.0)


@compiled
def _next_event(day, due, midnight, funding_time):
    """When the next midnight or funding is."""
    first = midnight[day] if day < len(midnight) else FAR
    return min(first, funding_time[due]) if due < len(funding_time) else first


@compiled
def _pass_time(
    until,
    price,
    side,
    quantity,
    entry,
    cash,
    funded,
    day,
    due,
    midnight,
    mark,
    funding_time,
    funding_rate,
    equity,
    totals,
):
    """Pays funding and samples equity up to a time, both included, in their order; of one time funding is first.

    Args:
        price: what funding is paid on, the open of the last bar that began.

    Returns:
        (cash, funded, day, due), behind it.
    """
    while True:
        next_day = midnight[day] if day < len(midnight) else FAR
        next_funding = funding_time[due] if due < len(funding_time) else FAR
        if min(next_day, next_funding) > until:
            return cash, funded, day, due
        if next_funding <= next_day:
            if side != 0:
                payment = side * quantity * price * funding_rate[due]
                cash -= payment
                funded += payment
                totals[FUNDING_PAID] += payment
            due += 1
        else:
            equity[day + 1] = _worth(side, quantity, entry, cash, mark[day])
            day += 1


@compiled
def _fee_at(time, fee_from, fee_rate):
    """The fee of a fill at that time; before the first row the first one's."""
    at = 0
    while at + 1 < len(fee_from) and fee_from[at + 1] <= time:
        at += 1
    return fee_rate[at]


@compiled
def _value(settings, cash, fee):
    """What a new position may be worth: with its fee within size and leverage; a fixed notional without its fee."""
    most = settings[LEVERAGE] * cash / (1.0 + fee)
    if settings[NOTIONAL] > 0.0:
        return min(settings[NOTIONAL], most)
    return min(settings[SIZE] * (cash if settings[COMPOUNDING] != 0.0 else settings[CAPITAL]) / (1.0 + fee), most)


@compiled
def _close(trades, count, totals, side, quantity, entry, price, fee, paid, funded, cash):
    """Closes a position at a price with slippage: writes its costs and profit, and gives the cash behind it."""
    cost = quantity * price * fee
    gross = side * quantity * (price - entry)
    profit = gross - paid - cost - funded
    cash = cash + gross - cost
    if cash < 0.0:
        # What is lost beyond the account is the venue's.
        profit -= cash
        cash = 0.0
    totals[TURNOVER] += quantity * price
    totals[FEES_PAID] += cost
    trades[count, EXIT_PRICE], trades[count, FEES] = price, paid + cost
    trades[count, FUNDING], trades[count, PROFIT] = funded, profit
    return cash
