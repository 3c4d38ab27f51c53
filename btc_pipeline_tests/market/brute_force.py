"""Resampling once more, a minute at a time, in Python integers and calendar dates: it knows the rules, not the code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """A minute as a source told it, in scaled integers; None where it does not tell."""

    minute: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int | None = None
    taker: int | None = None
    trades: int | None = None

    @property
    def quiet(self) -> bool:
        return self.volume == 0 and self.open == self.high == self.low == self.close


def bar_bounds(name: str, minute: int) -> tuple[int, int]:
    """[open, close) of the bar that holds an epoch minute, by counting on the clock and the calendar."""
    if name == "1M":
        at = (EPOCH + timedelta(minutes=minute)).date()
        first = at.replace(day=1)
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        return days(first) * 1440, days(after) * 1440
    if name == "1w":
        at = (EPOCH + timedelta(minutes=minute)).date()
        monday = at - timedelta(days=at.weekday())
        return days(monday) * 1440, (days(monday) + 7) * 1440
    length = int(name[:-1]) * {"m": 1, "h": 60, "d": 1440}[name[-1]]
    first = minute - minute % length
    return first, first + length


def days(at: date) -> int:
    return (at - date(1970, 1, 1)).days


def resampled(rows, vouched, name, start, end, coverage_percent=99, closing_required=True):
    """The bars of an interval that lie within [start, end), as tuples in the order of `Candles`' columns.

    Args:
        rows: of `Row`, ascending.
        vouched: set of minutes known to have had no trade.
    """
    bars = {}
    for row in rows:
        bars.setdefault(bar_bounds(name, row.minute), []).append(row)
    found = []
    for (first, after), held in sorted(bars.items()):
        traded = [row for row in held if not row.quiet]
        if not traded or first < start or after > end:
            continue
        there = {row.minute for row in held}
        silent = sum(1 for minute in range(first, after) if minute in vouched and minute not in there)
        present = len(held) + silent
        usable = present * 100 >= coverage_percent * (after - first)
        if closing_required:
            usable = usable and (after - 1 in there or after - 1 in vouched)
        found.append(
            (
                first,
                traded[0].open,
                max(row.high for row in traded),
                min(row.low for row in traded),
                traded[-1].close,
                sum(row.volume for row in traded),
                total([row.quote for row in traded]),
                total([row.taker for row in traded]),
                total([row.trades for row in traded]),
                present,
                present - len(traded),
                after - first,
                usable,
            )
        )
    return found


def total(values):
    return None if None in values else sum(values)
