"""Hyperliquid's frames and candle rows.

A candle is `{"t", "T", "s", "i", "o", "c", "h", "l", "v", "n"}`: milliseconds, decimal strings, a count. The
documentation says that a frame carries a list of them and numbers for prices; the wire carries one object and strings.
Both are taken. No frame says whether its minute is over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from btc_pipeline.exchanges.base import Acknowledged, CandleUpdate, Complaint, Minute, Pong, StreamEvent, Unreadable
from btc_pipeline.exchanges.decimals import read_decimal
from btc_pipeline.market.candles import Scale

VENUE: Final = "HYPERLIQUID"
INTERVAL: Final = "1m"
PING_SECONDS: Final = 20.0
MINUTE_MS: Final = 60_000
LONGEST_PAYLOAD: Final = 2_000


class HyperliquidStream:
    """The WebSocket at `url`."""

    venue = VENUE
    ping_seconds = PING_SECONDS

    def __init__(self, url: str) -> None:
        self.url = url

    def subscribe(self, coin: str) -> str:
        subscription = {"type": "candle", "coin": coin, "interval": INTERVAL}
        return json.dumps({"method": "subscribe", "subscription": subscription})

    def ping(self) -> str:
        return '{"method":"ping"}'

    def read(self, frame: str | bytes) -> Sequence[StreamEvent]:
        try:
            # Decimals stay text: a double would have lost how they were written.
            message = json.loads(frame, parse_float=str)
        except (ValueError, RecursionError):
            return [Unreadable("a frame that is no JSON", _shown(frame))]
        if not isinstance(message, dict):
            return [Unreadable("a frame that is no object", _shown(frame))]
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
    missing = [key for key in ("t", "T", "s", "i", "o", "c", "h", "l", "v", "n") if key not in row]
    if missing:
        raise ValueError(f"a candle without {', '.join(missing)}")
    opened, last, trades = (_integer(row, key) for key in ("t", "T", "n"))
    if opened % MINUTE_MS or last != opened + MINUTE_MS - 1:
        raise ValueError(f"t {opened} and T {last} are no minute")
    if row["i"] != INTERVAL:
        raise ValueError(f"interval {row['i']!r:.20} instead of {INTERVAL}")
    if not isinstance(row["s"], str):
        raise ValueError(f"s {row['s']!r:.20} is no coin")
    prices = [read_decimal(row[key], key) for key in ("o", "h", "l", "c")]
    volume, volume_decimals = read_decimal(row["v"], "v")
    decimals = Scale(max(d for _, d in prices), volume_decimals, 0)
    open_, high, low, close = (value for value, _ in prices)
    return row["s"], Minute(opened // MINUTE_MS, open_, high, low, close, volume, trades, decimals=decimals)


def _update(row: object) -> StreamEvent:
    try:
        coin, minute = read_candle(row)
    except ValueError as error:
        return unreadable(row, error)
    return CandleUpdate(coin, minute)


def unreadable(row: object, error: ValueError) -> Unreadable:
    """A row that was refused, with its minute if it has one."""
    opened = row.get("t") if isinstance(row, Mapping) else None
    valid = isinstance(opened, int) and 0 <= opened < 1 << 47 and opened % MINUTE_MS == 0
    return Unreadable(str(error), _shown(json.dumps(row)), opened // MINUTE_MS if valid and opened else None)


def _integer(row: Mapping[str, Any], key: str) -> int:
    value = row[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{key} {value!r:.40} is no count")
    return value


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


def _pong(_: object) -> Sequence[StreamEvent]:
    return [Pong()]


_CHANNELS: Final[dict[str, Callable[[object], Sequence[StreamEvent]]]] = {
    "candle": _candles,
    "pong": _pong,
    "subscriptionResponse": _acknowledged,
    "error": _complaint,
}


def _shown(frame: str | bytes) -> str:
    text = frame if isinstance(frame, str) else frame.decode(errors="replace")
    return text[:LONGEST_PAYLOAD]
