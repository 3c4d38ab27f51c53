"""Frames that no exchange should send: a client must survive them, and believe none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from btc_pipeline.exchanges.replay.hyperliquid_text import candle_frame, candle_text, compact, decimal_text
from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, MinuteRow


def garbage(number: int, row: MinuteRow, listing: Listing) -> bytes:
    """The number-th piece of garbage about a forming row."""
    return _PIECES[number % len(_PIECES)](row, listing)


def _changed(row: MinuteRow, listing: Listing, **changes: Any) -> bytes:
    """A candle frame with some fields replaced, or left out where the change is None."""
    price, volume = listing.price_decimals, listing.volume_decimals
    candle: dict[str, Any] = {
        "t": row.minute * MINUTE_MS,
        "T": (row.minute + 1) * MINUTE_MS - 1,
        "s": listing.name,
        "i": "1m",
        "o": decimal_text(row.open, price),
        "c": decimal_text(row.close, price),
        "h": decimal_text(row.high, price),
        "l": decimal_text(row.low, price),
        "v": decimal_text(row.volume, volume),
        "n": row.trades,
    }
    candle |= changes
    return compact({"channel": "candle", "data": {key: value for key, value in candle.items() if value is not None}})


def _half(row: MinuteRow, listing: Listing) -> bytes:
    frame = candle_frame(row, listing, "1m")
    return frame[: len(frame) // 2]


_PIECES: Final[tuple[Callable[[MinuteRow, Listing], bytes], ...]] = (
    lambda _row, _listing: b"Websocket connection established.",
    lambda _row, _listing: b"",
    lambda _row, _listing: b"null",
    lambda _row, _listing: b"[]",
    lambda _row, _listing: b'{"channel":"candle"}',
    lambda _row, _listing: b'{"channel":"candle","data":null}',
    lambda _row, _listing: b'{"channel":["candle"],"data":{}}',
    lambda _row, _listing: b'{"channel":"somethingNew","data":{"a":1}}',
    lambda _row, _listing: b"[" * 2000,
    _half,
    lambda row, listing: _changed(row, listing, c=None),
    lambda row, listing: _changed(row, listing, t=None),
    lambda row, listing: _changed(row, listing, o="-1.0", l="-1.0"),
    lambda row, listing: _changed(row, listing, v="-0.5"),
    lambda row, listing: _changed(row, listing, n=-3),
    lambda row, listing: _changed(row, listing, n="many"),
    lambda row, listing: _changed(row, listing, h="NaN"),
    lambda row, listing: _changed(row, listing, c="Infinity", h="Infinity"),
    lambda row, listing: _changed(row, listing, o={"price": 1}),
    lambda row, listing: _changed(row, listing, c="12,5"),
    lambda row, listing: _changed(row, listing, v="0.1234567890123"),
    lambda row, listing: _changed(row, listing, s="NOPE"),
    lambda row, listing: _changed(row, listing, i="7m"),
    lambda row, listing: _changed(row, listing, t=row.minute * MINUTE_MS + 1),
    lambda row, listing: _changed(row, listing, T=row.minute * MINUTE_MS),
    lambda row, listing: _changed(
        row, listing, t=(row.minute + 500_000) * MINUTE_MS, T=(row.minute + 500_001) * MINUTE_MS - 1
    ),
    lambda row, listing: f'{{"channel":"candle","data":[{candle_text(row, listing, "1m")}]}}'.encode(),
)
"""The last one is a list of one true candle, as the documentation has it: a client may take it or leave it."""
