"""What a replay exchange trades: listings and final minutes, whatever wire they are told on.

Prices and volumes are whole ticks here, scaled by the listing's decimals, so that parts of a minute add up exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

MINUTE_MS = 60_000


class MinuteRow(NamedTuple):
    """One bar, of a minute unless said: `minute` is its open time in epoch minutes, the rest are ticks and a count.

    A row without trades is flat and has no volume: its source knows that nothing traded.
    """

    minute: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A coin: decimals of its prices and of its volumes, and what `meta` says of it."""

    name: str
    price_decimals: int
    volume_decimals: int
    max_leverage: int = 40
    delisted: bool = False


class Market(Protocol):
    """A source of final minutes; asking the same minute twice gives the same row."""

    @property
    def listings(self) -> Mapping[str, Listing]:
        """What is traded, by name."""

    def minute(self, coin: str, minute: int) -> MinuteRow | None:
        """The final row of an epoch minute; None where the source has none."""

    def last_close(self, coin: str, minute: int) -> int | None:
        """The close, in ticks, of the newest minute with trades before this one; None outside of the source's span."""

    def begins(self, coin: str) -> int:
        """The epoch minute before which the source has nothing of a coin; 0 for one without a beginning."""

    def describe(self) -> str:
        """What it is, in one line."""


def epoch_ms(moment: float) -> int:
    """UTC seconds as whole milliseconds; a timer that fires a few microseconds early has reached its moment."""
    return int(moment * 1000 + 0.01)


def flat_row(minute: int, price: int) -> MinuteRow:
    """The row of a minute in which nothing traded."""
    return MinuteRow(minute, price, price, price, price, 0, 0)


def merged(first: MinuteRow, second: MinuteRow) -> MinuteRow:
    """Two neighbouring bars as one. A bar without trades shapes no price next to one with trades."""
    if not second.trades and not second.volume:
        return first
    if not first.trades and not first.volume:
        return second._replace(minute=first.minute)
    return MinuteRow(
        first.minute,
        first.open,
        max(first.high, second.high),
        min(first.low, second.low),
        second.close,
        first.volume + second.volume,
        first.trades + second.trades,
    )
