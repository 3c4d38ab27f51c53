"""Hyperliquid's frames and candle rows.

A candle is `{"t", "T", "s", "i", "o", "c", "h", "l", "v", "n"}`: milliseconds, decimal strings, a count. The
documentation says that a frame carries a list of them and numbers for prices; the wire carries one object and strings.
Both are taken. No frame says whether its minute is over.

A trade is `{"coin", "side", "px", "sz", "time", "tid", ...}`; `side` is the aggressor's, B or A (who sells). A
subscription begins with some thirty trades that were made before it, and `tid` is unique only together with time and
coin.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from btc_pipeline.exchanges import frames
from btc_pipeline.exchanges.base import (
    Acknowledged,
    CandleUpdate,
    Complaint,
    Minute,
    Pong,
    StreamEvent,
    Trade,
    TradesTold,
    Unreadable,
)
from btc_pipeline.exchanges.decimals import read_decimal
from btc_pipeline.exchanges.frames import read_count, read_minute, read_object, require
from btc_pipeline.market.candles import Scale

VENUE: Final = "HYPERLIQUID"
INTERVAL: Final = "1m"
PING_SECONDS: Final = 20.0
_SIDES: Final = {"B": True, "A": False}


class HyperliquidStream:
    """The WebSocket at `url`."""

    venue = VENUE
    ping_seconds = PING_SECONDS

    def __init__(self, url: str) -> None:
        self.url = url

    def subscribe(self, coin: str) -> str:
        subscription = {"type": "candle", "coin": coin, "interval": INTERVAL}
        return json.dumps({"method": "subscribe", "subscription": subscription})

    def subscribe_trades(self, coin: str) -> str:
        return json.dumps({"method": "subscribe", "subscription": {"type": "trades", "coin": coin}})

    def ping(self) -> str:
        return '{"method":"ping"}'

    def read(self, frame: str | bytes) -> Sequence[StreamEvent]:
        message = read_object(frame)
        if isinstance(message, Unreadable):
            return [message]
        channel = message.get("channel")
        read = _CHANNELS.get(channel) if isinstance(channel, str) else None
        return read(message.get("data")) if read else []


def read_candle(row: object) -> tuple[str, Minute]:
    """The coin and the minute of a candle row.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not isinstance(row, Mapping):
        raise ValueError("a candle that is no object")
    require(row, ("t", "T", "s", "i", "o", "c", "h", "l", "v", "n"))
    opened, last, trades = (read_count(row[key], key) for key in ("t", "T", "n"))
    time = read_minute(opened, last, "t", "T")
    if row["i"] != INTERVAL:
        raise ValueError(f"interval {row['i']!r:.20} instead of {INTERVAL}")
    if not isinstance(row["s"], str):
        raise ValueError(f"s {row['s']!r:.20} is no coin")
    prices = [read_decimal(row[key], key) for key in ("o", "h", "l", "c")]
    volume, volume_decimals = read_decimal(row["v"], "v")
    decimals = Scale(max(d for _, d in prices), volume_decimals, 0)
    open_, high, low, close = (value for value, _ in prices)
    return row["s"], Minute(time, open_, high, low, close, volume, trades, decimals=decimals)


def read_trade(row: object) -> tuple[str, Trade]:
    """The coin and the trade of a row.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not isinstance(row, Mapping):
        raise ValueError("a trade that is no object")
    require(row, ("coin", "side", "px", "sz", "time", "tid"), "trade")
    if not isinstance(row["coin"], str):
        raise ValueError(f"coin {row['coin']!r:.20} is no coin")
    if not isinstance(row["side"], str) or row["side"] not in _SIDES:
        raise ValueError(f"side {row['side']!r:.20} is neither B nor A")
    (price, price_decimals), (size, size_decimals) = (read_decimal(row[key], key) for key in ("px", "sz"))
    decimals = Scale(price_decimals, size_decimals, 0)
    return row["coin"], Trade(
        read_count(row["time"], "time"), price, size, _SIDES[row["side"]], str(read_count(row["tid"], "tid")), decimals
    )


def _update(row: object) -> StreamEvent:
    try:
        coin, minute = read_candle(row)
    except ValueError as error:
        return unreadable(row, error)
    return CandleUpdate(coin, minute)


def unreadable(row: object, error: ValueError) -> Unreadable:
    """A row that was refused, with its minute and its coin if it has them."""
    known = row if isinstance(row, Mapping) else {}
    return frames.unreadable(row, error, known.get("t"), known.get("s"))


def _acknowledged(data: object) -> Sequence[StreamEvent]:
    """The server echoes a normalised subscription: matched by its fields."""
    subscription = data.get("subscription") if isinstance(data, dict) else None
    if (
        isinstance(data, dict)
        and data.get("method") == "subscribe"
        and isinstance(subscription, dict)
        and subscription.get("type") == "candle"
        and isinstance(subscription.get("coin"), str)
    ):
        return [Acknowledged(subscription["coin"])]
    return []


def _complaint(data: object) -> Sequence[StreamEvent]:
    """An error; a second subscription to the same is as good as an acknowledgement."""
    text = str(data)
    if text.startswith("Already subscribed:"):
        try:
            return [Acknowledged(str(json.loads(text.partition(":")[2])["coin"]))]
        except (ValueError, KeyError, TypeError):
            return [Complaint(text)]
    return [Complaint(text)]


def _candles(data: object) -> Sequence[StreamEvent]:
    return [_update(row) for row in (data if isinstance(data, list) else [data])]


def _trades(data: object) -> Sequence[StreamEvent]:
    """The trades of a frame by coin, and the rows that are none."""
    told: dict[str, list[Trade]] = {}
    unread: list[StreamEvent] = []
    for row in data if isinstance(data, list) else [data]:
        try:
            coin, trade = read_trade(row)
        except ValueError as error:
            unread.append(Unreadable(str(error), frames.shown(json.dumps(row))))
        else:
            told.setdefault(coin, []).append(trade)
    return [*(TradesTold(coin, trades) for coin, trades in told.items()), *unread]


def _pong(_: object) -> Sequence[StreamEvent]:
    return [Pong()]


_CHANNELS: Final[dict[str, Callable[[object], Sequence[StreamEvent]]]] = {
    "candle": _candles,
    "trades": _trades,
    "pong": _pong,
    "subscriptionResponse": _acknowledged,
    "error": _complaint,
}
