"""The simulation, compiled. Nothing here allocates but its caller's arrays, and nothing calls Python.

Importing numba takes a second: this module is imported when a backtest begins, not before.

Order of things within a bar: the order of the last close fills at the open; liquidation, stop, target and trailing walk
the minutes; funding; midnights are marked; at the close the target becomes the next order.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np

NO_OPINION: Final = -128
NOTHING_BLOCKED: Final = -99
FAR: Final = 1 << 62
"""A time that does not come."""

# Reasons of an exit.
SIGNAL: Final = 0
STOP: Final = 1
TARGET: Final = 2
TRAILING: Final = 3
LIQUIDATION: Final = 4
OPEN: Final = 5

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


@numba.njit(cache=True, nogil=True)
def simulate(
    opened,
    closed,
    open_,
    high,
    low,
    close,
    target,
    minute_time,
    minute_open,
    minute_high,
    minute_low,
    minute_first,
    midnight,
    mark,
    funding_time,
    funding_rate,
    fee_from,
    fee_rate,
    settings,
    trades,
    cancelled,
    equity,
):
    """Trades targets over n bars; writes trades, cancelled orders and equity at midnights, and gives the totals.

    Args:
        opened, closed: int64[n], open and close times in epoch minutes.
        open_, high, low, close: float64[n].
        target: int8[n], wanted at each close: -1, 0, 1 or NO_OPINION.
        minute_time, minute_open, minute_high, minute_low: int64[m], float64[m] three times, the minutes of all bars.
        minute_first: int64[n + 1], the row of each bar's first minute; empty where no minutes are given.
        midnight, mark: int64[d], float64[d], when equity is sampled, and the last price by then.
        funding_time, funding_rate: int64[f], float64[f], what a long position pays of its value, and when.
        fee_from, fee_rate: int64[k], float64[k], fractions of a fill's value, and since when.
        settings: float64[11], see the names above; 0 where a limit or exit is not used.
        trades: float64[2n + 2, 12], filled.
        cancelled: int64[n, 2], filled with (bar of the order, reason).
        equity: float64[d + 1], filled; the first is the capital.

    Returns:
        float64[7], totals. NEEDS_MINUTES is 1, and nothing else counts, where an exit lies inside a bar and no minutes
        are given.
    """
    n = len(close)
    totals = np.zeros(TOTALS)
    slip, maintenance, lot = settings[SLIPPAGE], settings[MAINTENANCE], settings[LOT]
    stop, goal, trailing = settings[STOP_AT], settings[TARGET_AT], settings[TRAILING_AT]
    cash = settings[CAPITAL]
    side, quantity, entry, best, paid, funded = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    entry_time, entry_bar = 0, 0
    liquid, stopped, reached, guard, relevel = 0.0, 0.0, 0.0, 0.0, False
    next_day = midnight[0] if len(midnight) else FAR
    next_funding = FAR
    pending, desired, blocked = False, 0, NOTHING_BLOCKED
    count, refused, day, fee_at, funding_at = 0, 0, 0, 0, 0
    equity[0] = cash
    if n:
        while funding_at < len(funding_time) and funding_time[funding_at] <= opened[0]:
            funding_at += 1
        next_funding = funding_time[funding_at] if funding_at < len(funding_time) else FAR
    for bar in range(n):
        # Midnights in a hole before the bar.
        while next_day <= opened[bar]:
            equity[day + 1] = cash + side * quantity * (mark[day] - entry)
            day += 1
            next_day = midnight[day] if day < len(midnight) else FAR
        while fee_at + 1 < len(fee_from) and fee_from[fee_at + 1] <= opened[bar]:
            fee_at += 1
        fee = fee_rate[fee_at]

        if pending:
            pending = False
            if opened[bar] != closed[bar - 1]:
                cancelled[refused, 0], cancelled[refused, 1] = bar - 1, HOLE
                refused += 1
            else:
                if side != 0:
                    price = open_[bar] * (1.0 - side * slip)
                    cost = quantity * price * fee
                    gross = side * quantity * (price - entry)
                    cash = cash + gross - cost
                    totals[TURNOVER] += quantity * price
                    totals[FEES_PAID] += cost
                    row = trades[count]
                    row[ENTRY_TIME], row[EXIT_TIME], row[SIDE], row[QUANTITY] = entry_time, opened[bar], side, quantity
                    row[ENTRY_PRICE], row[EXIT_PRICE], row[FEES], row[FUNDING] = entry, price, paid + cost, funded
                    row[PROFIT], row[REASON] = gross - paid - cost - funded, SIGNAL
                    row[ENTRY_BAR], row[EXIT_BAR] = entry_bar, bar
                    count += 1
                    side = 0
                if desired != 0:
                    price = open_[bar] * (1.0 + desired * slip)
                    wanted = settings[NOTIONAL]
                    if wanted == 0.0:
                        wanted = settings[SIZE] * (cash if settings[COMPOUNDING] != 0.0 else settings[CAPITAL])
                    wanted = min(wanted, settings[LEVERAGE] * cash)
                    quantity = np.floor(wanted / (1.0 + fee) / price * lot) / lot
                    if quantity > 0.0:
                        side, entry, best, entry_time, entry_bar = desired, price, price, opened[bar], bar
                        paid, funded, relevel = quantity * price * fee, 0.0, True
                        cash -= paid
                        totals[TURNOVER] += quantity * price
                        totals[FEES_PAID] += paid
                    else:
                        cancelled[refused, 0], cancelled[refused, 1] = bar - 1, TOO_SMALL if cash > 0.0 else RUINED
                        refused += 1

        exit_time, exit_price, reason = -1, 0.0, SIGNAL
        if side != 0:
            totals[BARS_HELD] += 1
            # With funding the liquidation price moves; the other levels stay where the entry put them.
            if relevel:
                relevel = False
                value = quantity * entry
                if side > 0:
                    liquid = (value - cash) / (quantity * (1.0 - maintenance))
                    stopped = entry * (1.0 - stop) if stop > 0.0 else 0.0
                    reached = entry * (1.0 + goal) if goal > 0.0 else np.inf
                    guard = max(liquid, stopped)
                else:
                    liquid = (cash + value) / (quantity * (1.0 + maintenance))
                    stopped = entry * (1.0 + stop) if stop > 0.0 else np.inf
                    reached = entry * (1.0 - goal) if goal > 0.0 else 0.0
                    guard = min(liquid, stopped)
            if side > 0:
                touched = low[bar] <= guard or high[bar] >= reached
                if trailing > 0.0:
                    touched = touched or low[bar] <= max(best, high[bar]) * (1.0 - trailing)
            else:
                touched = high[bar] >= guard or low[bar] <= reached
                if trailing > 0.0:
                    touched = touched or high[bar] >= min(best, low[bar]) * (1.0 + trailing)
            if not touched:
                best = max(best, high[bar]) if side > 0 else min(best, low[bar])
            elif len(minute_first) == 0:
                totals[NEEDS_MINUTES] = 1.0
                return totals
            else:
                for at in range(minute_first[bar], minute_first[bar + 1]):
                    first, top, bottom = minute_open[at], minute_high[at], minute_low[at]
                    if side > 0:
                        trail = best * (1.0 - trailing) if trailing > 0.0 else 0.0
                        nearest = max(stopped, trail)
                        if bottom <= liquid:
                            exit_price, reason = min(first, liquid), LIQUIDATION
                        elif bottom <= nearest:
                            exit_price, reason = min(first, nearest), STOP if stopped >= trail else TRAILING
                        elif top >= reached:
                            exit_price, reason = max(first, reached), TARGET
                        else:
                            best = max(best, top)
                            continue
                    else:
                        trail = best * (1.0 + trailing) if trailing > 0.0 else np.inf
                        nearest = min(stopped, trail)
                        if top >= liquid:
                            exit_price, reason = max(first, liquid), LIQUIDATION
                        elif top >= nearest:
                            exit_price, reason = max(first, nearest), STOP if stopped <= trail else TRAILING
                        elif bottom <= reached:
                            exit_price, reason = min(first, reached), TARGET
                        else:
                            best = min(best, bottom)
                            continue
                    exit_time = minute_time[at]
                    break

        # Funding and midnights, as time brings them, with what was held then.
        while next_day <= closed[bar] or next_funding <= closed[bar]:
            if exit_time >= 0 and min(next_day, next_funding) > exit_time:
                break
            if next_funding <= next_day:
                if side != 0:
                    payment = side * quantity * open_[bar] * funding_rate[funding_at]
                    cash -= payment
                    funded += payment
                    totals[FUNDING_PAID] += payment
                    relevel = True
                funding_at += 1
                next_funding = funding_time[funding_at] if funding_at < len(funding_time) else FAR
            else:
                equity[day + 1] = cash + side * quantity * (mark[day] - entry)
                day += 1
                next_day = midnight[day] if day < len(midnight) else FAR

        if exit_time >= 0:
            price = exit_price * (1.0 - side * slip)
            cost = quantity * price * fee
            gross = side * quantity * (price - entry)
            cash = cash + gross - cost
            profit = gross - paid - cost - funded
            if cash < 0.0:
                # What is lost beyond the account is the venue's.
                profit -= cash
                cash = 0.0
            totals[TURNOVER] += quantity * price
            totals[FEES_PAID] += cost
            row = trades[count]
            row[ENTRY_TIME], row[EXIT_TIME], row[SIDE], row[QUANTITY] = entry_time, exit_time, side, quantity
            row[ENTRY_PRICE], row[EXIT_PRICE], row[FEES], row[FUNDING] = entry, price, paid + cost, funded
            row[PROFIT], row[REASON], row[ENTRY_BAR], row[EXIT_BAR] = profit, reason, entry_bar, bar
            count += 1
            blocked, side, quantity = side, 0, 0.0
            while next_day <= closed[bar]:
                equity[day + 1] = cash
                day += 1
                next_day = midnight[day] if day < len(midnight) else FAR
            while next_funding <= closed[bar]:
                funding_at += 1
                next_funding = funding_time[funding_at] if funding_at < len(funding_time) else FAR

        wanted_now = target[bar]
        if wanted_now not in (NO_OPINION, blocked) and bar + 1 < n:
            blocked = NOTHING_BLOCKED
            pending, desired = wanted_now != side, int(wanted_now)

    while day < len(midnight):
        equity[day + 1] = cash + side * quantity * (mark[day] - entry)
        day += 1
    if side != 0:
        row = trades[count]
        row[ENTRY_TIME], row[EXIT_TIME], row[SIDE], row[QUANTITY] = entry_time, closed[n - 1], side, quantity
        row[ENTRY_PRICE], row[EXIT_PRICE], row[FEES], row[FUNDING] = entry, close[n - 1], paid, funded
        row[PROFIT] = side * quantity * (close[n - 1] - entry) - paid - funded
        row[REASON], row[ENTRY_BAR], row[EXIT_BAR] = OPEN, entry_bar, n - 1
        count += 1
    totals[TRADES], totals[CANCELLED] = count, refused
    return totals
