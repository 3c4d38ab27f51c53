"""Exits of a position, compiled: the one function that a backtest and a paper account ask.

In a minute liquidation comes first, then the nearer of stop and trailing exit, then the target, whatever the order in
which the prices came; a minute that opens beyond a level fills at its open.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from btc_pipeline.backtest.compiled import compiled

# Reasons of an exit.
SIGNAL: Final = 0
STOP: Final = 1
TARGET: Final = 2
TRAILING: Final = 3
LIQUIDATION: Final = 4
OPEN: Final = 5


@compiled
def liquidation_price(side, quantity, entry, cash, maintenance):
    """The price at which what is left of the account is `maintenance` of the position's value.

    Args:
        side: 1 long, -1 short.
        quantity, entry: of the position, with slippage.
        cash: equity without the position's profit; its entry's fee is paid.
    """
    return (side * quantity * entry - cash) / (quantity * (side - maintenance))


@compiled
def fixed_levels(side, entry, stop, target):
    """(stop, target) as prices, from fractions of the entry price. One of 0 is not used: its price never comes."""
    never_worse, never_better = (0.0, np.inf) if side > 0 else (np.inf, 0.0)
    return (
        entry * (1.0 - side * stop) if stop > 0.0 else never_worse,
        entry * (1.0 + side * target) if target > 0.0 else never_better,
    )


@compiled
def may_exit(side, best, high, low, liquid, stopped, reached, trailing):
    """Whether an exit may lie within a bar of that high and low: where not, its minutes need no walk."""
    if side > 0:
        if low <= max(liquid, stopped) or high >= reached:
            return True
        return trailing > 0.0 and low <= max(best, high) * (1.0 - trailing)
    if high >= min(liquid, stopped) or low <= reached:
        return True
    return trailing > 0.0 and high >= min(best, low) * (1.0 + trailing)


@compiled
def walk(opened, high, low, first, end, side, best, liquid, stopped, reached, trailing):
    """Looks for an exit, minute by minute.

    Args:
        opened, high, low: float64[m], prices of minutes, ascending in time.
        first, end: the rows to walk.
        side: 1 long, -1 short.
        best: the best price since the entry, before those minutes. A minute's own best counts from the next one on.
        liquid, stopped, reached: prices of liquidation, stop and target.
        trailing: fraction of the best price; 0 is not used.

    Returns:
        (row, price, reason, best): the minute of the exit, -1 for none, and its price without slippage.
    """
    for at in range(first, end):
        if side > 0:
            trail = best * (1.0 - trailing) if trailing > 0.0 else 0.0
            if low[at] <= liquid:
                return at, min(opened[at], liquid), LIQUIDATION, best
            if low[at] <= max(stopped, trail):
                return at, min(opened[at], max(stopped, trail)), STOP if stopped >= trail else TRAILING, best
            if high[at] >= reached:
                return at, max(opened[at], reached), TARGET, best
            best = max(best, high[at])
        else:
            trail = best * (1.0 + trailing) if trailing > 0.0 else np.inf
            if high[at] >= liquid:
                return at, max(opened[at], liquid), LIQUIDATION, best
            if high[at] >= min(stopped, trail):
                return at, max(opened[at], min(stopped, trail)), STOP if stopped <= trail else TRAILING, best
            if low[at] <= reached:
                return at, min(opened[at], reached), TARGET, best
            best = min(best, low[at])
    return -1, 0.0, SIGNAL, best
