"""Layouts: which column of a candle file is what, by position or by the name in its header.

Belongs here: the named layouts and the names a header may use. Adding a source is one entry in `LAYOUTS`. Does not
belong here: finding out which layout a file has (`sniffing`).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final

from btc_pipeline.errors import UnknownNameError, UserError

AUTO: Final = "auto"

PRICES: Final = ("open", "high", "low", "close")
REQUIRED: Final = ("time", *PRICES, "volume")
OPTIONAL: Final = ("quote_volume", "taker_buy_volume", "trades")
ROLES: Final = (*REQUIRED, *OPTIONAL)
"""What a column can be, in the order in which a row's columns are checked."""

_BINANCE_COLUMNS: Final = (
    "open_time", "open", "high", "low", "close", "volume",
    "close_time", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """A named arrangement of columns.

    Attributes:
        name: what `--layout` takes.
        description: one line for the help text.
        columns: the names of a headerless file's columns, in order; empty when a header must tell.
        left_out: roles that are not read although the file has them.
    """

    name: str
    description: str
    columns: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()


HEADER: Final = Layout("header", "a header line (or Parquet) with recognisable names, in any order")
OHLCV: Final = Layout(
    "ohlcv", "no header: time, open, high, low, close, volume", ("time", "open", "high", "low", "close", "volume")
)
BITFINEX: Final = Layout(
    "bitfinex", "no header: time, open, close, high, low, volume", ("time", "open", "close", "high", "low", "volume")
)
BINANCE: Final = Layout("binance", "Binance's archive: 12 columns, with a header or without", _BINANCE_COLUMNS)
BINANCE_NO_QUOTE: Final = Layout(
    "binance-no-quote",
    "the same without its quote volume, which in busy minutes has more digits than a double holds",
    _BINANCE_COLUMNS,
    frozenset({"quote_volume"}),
)

LAYOUTS: Final = {layout.name: layout for layout in (HEADER, OHLCV, BITFINEX, BINANCE, BINANCE_NO_QUOTE)}

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "time": (
        "open_time", "opentime", "time", "timestamp", "ts", "t", "unix", "unix_timestamp", "unix_time", "epoch",
        "start", "start_time", "time_period_start", "gmt_time", "utc_time", "time_utc", "datetime", "date_time",
        "datetime_utc", "date",
    ),
    "open": ("open", "o", "open_price", "price_open"),
    "high": ("high", "h", "high_price", "price_high"),
    "low": ("low", "l", "low_price", "price_low"),
    "close": ("close", "c", "close_price", "price_close"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base", "volume_btc", "btc_volume"),
    "quote_volume": (
        "quote_volume", "quote_asset_volume", "volume_quote", "quote_vol", "turnover",
        "volume_usd", "volume_usdt", "volume_usdc", "volume_eur", "volume_currency",
    ),
    "taker_buy_volume": (
        "taker_buy_volume", "taker_buy_base", "taker_buy_base_volume", "taker_buy_base_asset_volume",
    ),
    "trades": ("trades", "count", "trade_count", "tradecount", "n_trades", "num_trades", "number_of_trades"),
}  # fmt: skip
"""The names that a header may give each role, lower-case with underscores. `time` prefers the earlier name, because
some exports write the same time twice (`unix,date,...`)."""


def find_layout(name: str) -> Layout | None:
    """The layout of that name; None for `auto`.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    if name == AUTO:
        return None
    if name in LAYOUTS:
        return LAYOUTS[name]
    known = [AUTO, *LAYOUTS]
    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {nearest[0]}? Layouts are" if nearest else "layouts are"
    raise UnknownNameError(f"layout {name[:40]!r} is not known; {hint}: {', '.join(known)}.", field="layout")


def normalised(name: str) -> str:
    """A header's name as `NAMES` spells it: `Volume (BTC)` is `volume_btc`."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def columns_by_role(header: list[str]) -> dict[str, int]:
    """Which column of a header holds each role: role -> position. Unknown columns are left alone.

    Raises:
        UserError: a required column is missing, or two columns claim the same role.
    """
    names = [normalised(name) for name in header]
    found: dict[str, int] = {}
    for role in ROLES:
        matches = [position for position, name in enumerate(names) if name in NAMES[role]]
        distinct = {names[position] for position in matches}
        if len(matches) > 1 and (role != "time" or len(distinct) < len(matches)):
            both = " and ".join(repr(header[position]) for position in matches[:2])
            raise UserError(f"row 1: columns {both} both look like {role}; keep one of them.", field="file")
        if matches:
            found[role] = min(matches, key=lambda position: NAMES[role].index(names[position]))
    if "time" not in found and names and not names[0]:
        found["time"] = 0  # a DataFrame's index, written without a name
    missing = [role for role in REQUIRED if role not in found]
    if missing:
        listed = ", ".join(name[:40] for name in header[:20])
        raise UserError(
            f"row 1: column {missing[0]} is missing; the header has: {listed}. "
            f"Needed are {', '.join(REQUIRED)}, in any order.",
            field="file",
        )
    return {role: found[role] for role in ROLES if role in found}
