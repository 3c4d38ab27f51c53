"""Binance's frames and klines.

A frame is `{"e": "kline", "s": "BTCUSDT", "k": {...}}`; in `k`, `x` says whether the minute is over. A row of REST is
an array of twelve: open time, open, high, low, close, volume, close time, quote volume, trades, taker-buy volume,
taker-buy quote volume, and one that nobody uses. Prices and volumes are decimal strings padded with zeros.

What is asked by a frame with an `id` is answered by one with that `id`. There is no JSON ping: the list of
subscriptions is asked for instead. The server pings by protocol frames, which the library answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from btc_pipeline.exchanges import frames
from btc_pipeline.exchanges.base import Acknowledged, CandleUpdate, Complaint, Minute, Pong, StreamEvent, Unreadable
from btc_pipeline.exchanges.decimals import read_decimal, read_quote
from btc_pipeline.exchanges.frames import read_count, read_minute, read_object, require
from btc_pipeline.market.candles import Scale

INTERVAL: Final = "1m"
PING_SECONDS: Final = 20.0
ROW_LENGTH: Final = 12
_NOTICES: Final = frozenset({"serverShutdown"})
_KLINE: Final = {"t": 0, "o": 1, "h": 2, "l": 3, "c": 4, "v": 5, "T": 6, "q": 7, "n": 8, "V": 9}
"""The fields of a kline by a frame's names, and where a row of REST has them."""


class BinanceStream:
    """The WebSocket of one of the markets at `url`."""

    ping_seconds = PING_SECONDS

    def __init__(self, venue: str, url: str) -> None:
        self.venue = venue
        self.url = url
        self._newest_id = 0
        self._asked: dict[int, str] = {}

    def subscribe(self, coin: str) -> str:
        request = self._next_id()
        self._asked[request] = coin
        return json.dumps({"method": "SUBSCRIBE", "params": [f"{coin.lower()}@kline_{INTERVAL}"], "id": request})

    def subscribe_trades(self, coin: str) -> None:
        """Klines tell quote volume, taker-buy volume and trades."""

    def ping(self) -> str:
        return json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": self._next_id()})

    def read(self, frame: str | bytes) -> Sequence[StreamEvent]:
        message = read_object(frame)
        if isinstance(message, Unreadable):
            return [message]
        if "id" in message or "error" in message or "code" in message:
            return self._answered(message)
        event = message.get("e")
        if event == "kline":
            return [_update(message.get("k"))]
        return [Complaint(event)] if isinstance(event, str) and event in _NOTICES else []

    def _next_id(self) -> int:
        self._newest_id += 1
        return self._newest_id

    def _answered(self, message: Mapping[str, Any]) -> Sequence[StreamEvent]:
        request = message.get("id")
        coin = self._asked.pop(request, None) if isinstance(request, int) else None
        if "result" not in message:
            return [Complaint(json.dumps(message.get("error", message)))]
        return [Pong()] if coin is None else [Acknowledged(coin)]


def read_row(row: object) -> Minute:
    """The minute of a row of REST.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not isinstance(row, list) or len(row) != ROW_LENGTH:
        raise ValueError(f"a kline that is no array of {ROW_LENGTH}")
    return _minute({name: row[at] for name, at in _KLINE.items()})


def unreadable_row(row: object, error: ValueError) -> Unreadable:
    """A row of REST that was refused, with its minute if it has one."""
    return frames.unreadable(row, error, row[0] if isinstance(row, list) and row else None)


def _update(kline: object) -> StreamEvent:
    known = kline if isinstance(kline, Mapping) else {}
    try:
        if not isinstance(kline, Mapping):
            raise ValueError("a kline that is no object")
        require(kline, (*_KLINE, "s", "i", "x"), "kline")
        if kline["i"] != INTERVAL:
            raise ValueError(f"interval {kline['i']!r:.20} instead of {INTERVAL}")
        if not isinstance(kline["s"], str):
            raise ValueError(f"s {kline['s']!r:.20} is no coin")
        if not isinstance(kline["x"], bool):
            raise ValueError(f"x {kline['x']!r:.20} is neither true nor false")
        return CandleUpdate(kline["s"], _minute(kline), kline["x"])
    except ValueError as error:
        return frames.unreadable(kline, error, known.get("t"), known.get("s"))


def _minute(kline: Mapping[str, Any]) -> Minute:
    opened, last, trades = (read_count(kline[key], key) for key in ("t", "T", "n"))
    time = read_minute(opened, last, "t", "T")
    prices = [read_decimal(kline[key], key) for key in ("o", "h", "l", "c")]
    (volume, volume_decimals), (taker_buy, taker_decimals) = (read_decimal(kline[key], key) for key in ("v", "V"))
    quote, quote_decimals = read_quote(kline["q"], "q")
    open_, high, low, close = (value for value, _ in prices)
    decimals = Scale(max(d for _, d in prices), max(volume_decimals, taker_decimals), quote_decimals)
    return Minute(time, open_, high, low, close, volume, trades, quote, taker_buy, decimals)
