"""The `instruments` table."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from btc_pipeline.errors import UnknownNameError
from btc_pipeline.market.candles import Scale
from btc_pipeline.market.instruments import Instrument, canonical_symbol, split_symbol
from btc_pipeline.storage.live_minutes import UPSERT_INSTRUMENT

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

READ_ALL: Final = """
SELECT symbol, venue, venue_symbol, price_decimals, volume_decimals, quote_decimals FROM instruments ORDER BY symbol
"""


def read_instruments(cursor: Cursor) -> list[Instrument]:
    """Every instrument, by symbol."""
    cursor.execute(READ_ALL)
    return [instrument_of(row) for row in cursor.fetch_arrow_table().to_pylist()]


def instrument_of(row: dict[str, object] | pa.Scalar) -> Instrument:
    """An instrument from its row."""
    scale = Scale(row["price_decimals"], row["volume_decimals"], row["quote_decimals"])  # type: ignore[arg-type]
    return Instrument(str(row["symbol"]), str(row["venue"]), str(row["venue_symbol"]), scale)


def find_instrument(cursor: Cursor, symbol: str) -> Instrument:
    """The instrument of a symbol or of an alias.

    Raises:
        UserError: the symbol is malformed.
        UnknownNameError: nothing is stored under it; the message names what is.
    """
    wanted = canonical_symbol(symbol)
    known = {instrument.symbol: instrument for instrument in read_instruments(cursor)}
    if wanted in known:
        return known[wanted]
    raise UnknownNameError(unknown_symbol(symbol, list(known)), field="symbol")


def unknown_symbol(symbol: str, known: list[str]) -> str:
    """The message for a symbol that has no data."""
    near = get_close_matches(symbol, known, n=1, cutoff=0.4)
    if near:
        return f"symbol {symbol!r} has no data here. Did you mean {near[0]}?"
    stored = (
        f"stored: {', '.join(known)}"
        if known
        else "nothing is stored yet: btc-pipeline up, or btc-pipeline import-candles FILE --symbol NAME.VENUE"
    )
    return f"symbol {symbol!r} has no data here; {stored}."


def upsert_instrument(cursor: Cursor, symbol: str, scale: Scale) -> Instrument:
    """Declares an instrument, or widens its decimals; returns it as stored."""
    venue, venue_symbol = split_symbol(symbol)
    cursor.execute(UPSERT_INSTRUMENT, (symbol, venue, venue_symbol, scale.price, scale.volume, scale.quote))
    return find_instrument(cursor, symbol)
