"""How venues that quote in USDT name the coins of the market: BTCUSDT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from btc_pipeline.exchanges.replay.market import Listing

QUOTE: Final = "USDT"


def instrument_name(coin: str) -> str:
    return coin + QUOTE


def instruments(listings: Mapping[str, Listing]) -> dict[str, Listing]:
    """Listings by the name of their instrument."""
    return {instrument_name(name): listing for name, listing in listings.items()}
