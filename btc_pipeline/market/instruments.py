"""Instruments: which symbol names what, at which venue, with how many decimals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Scale

PRIMARY_SYMBOL: Final = "BTC"
PRIMARY_VENUE: Final = "HYPERLIQUID"
ALIASES: Final = {
    "cbBTC": PRIMARY_SYMBOL,
    "cbBTC-PERP": PRIMARY_SYMBOL,
    f"{PRIMARY_SYMBOL}.{PRIMARY_VENUE}": PRIMARY_SYMBOL,
}
"""Other names of Hyperliquid's perpetual: the predecessor's (there is no coin of that name), and the one in full."""

_SYMBOL: Final = re.compile(r"([A-Z0-9][A-Z0-9:@/_-]{0,30})\.([A-Z][A-Z0-9_-]{0,30})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument at one venue; `venue_symbol` is the venue's own name for it."""

    symbol: str
    venue: str
    venue_symbol: str
    scale: Scale


def canonical_symbol(symbol: str) -> str:
    """The one spelling of a symbol: aliases resolved, the rest checked.

    Raises:
        UserError: not `BTC` nor `NAME.VENUE` in capitals.
    """
    resolved = ALIASES.get(symbol, symbol)
    if resolved == PRIMARY_SYMBOL or _SYMBOL.fullmatch(resolved):
        return resolved
    shown = symbol if len(symbol) <= 40 else symbol[:40] + "..."
    raise UserError(
        f"symbol {shown!r} is not valid: use BTC (Hyperliquid's perpetual) or NAME.VENUE in capitals, "
        "such as BTCUSD.BITFINEX.",
        field="symbol",
    )


def split_symbol(symbol: str) -> tuple[str, str]:
    """(venue, the venue's own name) of a canonical symbol: `BTC` is HYPERLIQUID's `BTC`."""
    if symbol == PRIMARY_SYMBOL:
        return PRIMARY_VENUE, PRIMARY_SYMBOL
    name, venue = symbol.rsplit(".", 1)
    return venue, name
