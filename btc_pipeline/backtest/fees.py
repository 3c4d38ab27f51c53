"""What a venue takes of a fill, since when. An old run keeps the fees of its time: entries are added, never changed."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from typing import Final

from btc_pipeline.market.intervals import MINUTES_PER_DAY

EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Fee:
    """Basis points of a fill's notional, from a day (UTC) on. Market orders and all exits pay `taker_bps`."""

    valid_from: date
    taker_bps: float
    maker_bps: float


FEES: Final[dict[str, tuple[Fee, ...]]] = {
    "HYPERLIQUID": (Fee(date(2023, 1, 1), 4.5, 1.5),),
    "BYBIT": (Fee(date(2018, 12, 1), 5.5, 2.0),),
    "BINANCE": (Fee(date(2017, 7, 1), 10.0, 10.0),),
    "BINANCE_UM": (Fee(date(2019, 9, 1), 5.0, 2.0),),
    "BITFINEX": (Fee(date(2013, 1, 1), 20.0, 10.0),),
}
"""Base tiers by venue; discounts by volume or stake are the user's affair (`taker_fee_bps`)."""

UNKNOWN_VENUE: Final = (Fee(date(1970, 1, 1), 10.0, 10.0),)


def fee_table(venue: str) -> tuple[Fee, ...]:
    """The fees of a venue; 10 bps for one without a table."""
    return FEES.get(venue, UNKNOWN_VENUE)


def fee_steps(table: tuple[Fee, ...]) -> tuple[list[int], list[float]]:
    """(from when, in epoch minutes; taker fee as a fraction), ascending; the first one holds before it, too."""
    return (
        [(fee.valid_from - EPOCH).days * MINUTES_PER_DAY for fee in table],
        [fee.taker_bps / 10_000 for fee in table],
    )


def fee_at(table: tuple[Fee, ...], minute: int) -> float:
    """The taker fee of a fill at an epoch minute, as a fraction of its value."""
    since, rates = fee_steps(table)
    return rates[max(bisect_right(since, minute) - 1, 0)]
