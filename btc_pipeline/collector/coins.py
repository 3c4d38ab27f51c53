"""Symbols and what their venue calls them: checked before anything is subscribed to.

A venue may answer an unknown coin by closing the connection without a word, with every other subscription on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.base import Coin
from btc_pipeline.market.instruments import split_symbol


def resolve(venue: str, symbols: Sequence[str], listed: Mapping[str, Coin]) -> dict[str, Coin]:
    """The coins of canonical symbols, by symbol.

    Raises:
        UserError: the venue has no such coin, or does not trade it any more.
    """
    found = {}
    for symbol in symbols:
        _, name = split_symbol(symbol)
        coin = listed.get(name)
        if coin is None:
            near = get_close_matches(name, listed, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UserError(f"symbol {symbol!r}: {venue} has no coin {name!r}.{hint}", field="symbol")
        if coin.delisted:
            raise UserError(f"symbol {symbol!r}: {venue} does not trade {name!r} any more.", field="symbol")
        found[symbol] = coin
    return found
