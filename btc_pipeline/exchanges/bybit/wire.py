"""Bybit's frames and klines.

A frame is `{"topic": "kline.1.BTCUSDT", "data": [{...}]}`; `confirm` says whether the minute is over, and may say so
twice. A row of REST is an array of strings: start, open, high, low, close, volume, turnover. Trades are not counted.

A frame of trades is `{"topic": "publicTrade.BTCUSDT", "data": [{"T", "s", "S", "v", "p", "i", ...}]}`; `S` is the
aggressor's side, Buy or Sell. Nothing is told again when a subscription begins.

A subscription is named by its coin, as `req_id`. Where an answer has no `req_id`, it is about the newest one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from btc_pipeline.exchanges import frames
from btc_pipeline.exchanges.base import (
    MINUTE_MS,
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
from btc_pipeline.exchanges.decimals import read_decimal, read_quote
from btc_pipeline.exchanges.frames import read_count, read_minute, read_object, require
from btc_pipeline.market.candles import UNKNOWN_TRADES, Scale

VENUE: Final = "BYBIT"
INTERVAL: Final = "1"
PING_SECONDS: Final = 20.0
ROW_LENGTH: Final = 7
_TOPIC: Final = f"kline.{INTERVAL}."
_TRADES_TOPIC: Final = "publicTrade."
_SIDES: Final = {"Buy": True, "Sell": False}
_VALUES: Final = ("open", "high", "low", "close", "volume", "turnover")


class BybitStream:
    """The WebSocket of linear perpetuals at `url`."""

    venue = VENUE
    ping_seconds = PING_SECONDS

    def __init__(self, url: str) -> None:
        self.url = url
        self._newest = ""

    def subscribe(self, coin: str) -> str:
        self._newest = coin
        return json.dumps({"req_id": coin, "op": "subscribe", "args": [_TOPIC + coin]})

    def subscribe_trades(self, coin: str) -> str:
        topic = _TRADES_TOPIC + coin
        return json.dumps({"req_id": topic, "op": "subscribe", "args": [topic]})

    def ping(self) -> str:
        return '{"op":"ping"}'

    def read(self, frame: str | bytes) -> Sequence[StreamEvent]:
        message = read_object(frame)
        if isinstance(message, Unreadable):
            return [message]
        topic = message.get("topic")
        if isinstance(topic, str) and topic.startswith(_TRADES_TOPIC):
            return _trades(message.get("data"), topic.removeprefix(_TRADES_TOPIC))
        if isinstance(topic, str):
            return _klines(message.get("data"), topic.removeprefix(_TOPIC)) if topic.startswith(_TOPIC) else []
        return self._answered(message)

    def _answered(self, message: Mapping[str, Any]) -> Sequence[StreamEvent]:
        said = str(message.get("ret_msg", ""))
        if message.get("op") in ("ping", "pong") or said == "pong":
            return [Pong()]
        if message.get("success") is False:
            # A second subscription to the same is as good as an acknowledgement.
            return [self._acknowledged(message)] if "already subscribed" in said else [Complaint(said)]
        return [self._acknowledged(message)] if message.get("op") == "subscribe" else []

    def _acknowledged(self, message: Mapping[str, Any]) -> Acknowledged:
        return Acknowledged(str(message.get("req_id") or self._newest))


def read_row(row: object) -> Minute:
    """The minute of a row of REST.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not isinstance(row, list) or len(row) < ROW_LENGTH:
        raise ValueError(f"a kline that is no array of {ROW_LENGTH}")
    start = _start(row)
    if start is None:
        raise ValueError(f"start {row[0]!r:.40} is no count")
    values = dict(zip(_VALUES, row[1:ROW_LENGTH], strict=True))
    return _minute(start, start + MINUTE_MS - 1, values)


def unreadable_row(row: object, error: ValueError) -> Unreadable:
    """A row of REST that was refused, with its minute if it has one."""
    return frames.unreadable(row, error, _start(row))


def _start(row: object) -> int | None:
    """Milliseconds, as a string of digits."""
    text = row[0] if isinstance(row, list) and row else None
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 20 else None


def _klines(data: object, coin: str) -> Sequence[StreamEvent]:
    return [_update(row, coin) for row in (data if isinstance(data, list) else [data])]


def _update(row: object, coin: str) -> StreamEvent:
    known = row if isinstance(row, Mapping) else {}
    try:
        if not isinstance(row, Mapping):
            raise ValueError("a kline that is no object")
        require(row, ("start", "end", "interval", "confirm", *_VALUES), "kline")
        if row["interval"] != INTERVAL:
            raise ValueError(f"interval {row['interval']!r:.20} instead of {INTERVAL}")
        if not isinstance(row["confirm"], bool):
            raise ValueError(f"confirm {row['confirm']!r:.20} is neither true nor false")
        start, end = (read_count(row[key], key) for key in ("start", "end"))
        return CandleUpdate(coin, _minute(start, end, row), row["confirm"])
    except ValueError as error:
        return frames.unreadable(row, error, known.get("start"), coin)


def _trades(data: object, coin: str) -> Sequence[StreamEvent]:
    """The trades of a frame, and the rows that are none."""
    told: list[Trade] = []
    unread: list[StreamEvent] = []
    for row in data if isinstance(data, list) else [data]:
        try:
            told.append(_trade(row, coin))
        except ValueError as error:
            unread.append(Unreadable(str(error), frames.shown(json.dumps(row)), coin=coin))
    return [*([TradesTold(coin, told)] if told else []), *unread]


def _trade(row: object, coin: str) -> Trade:
    if not isinstance(row, Mapping):
        raise ValueError("a trade that is no object")
    require(row, ("T", "s", "S", "v", "p", "i"), "trade")
    if row["s"] != coin:
        raise ValueError(f"a trade of {row['s']!r:.20} among those of {coin}")
    if not isinstance(row["S"], str) or row["S"] not in _SIDES:
        raise ValueError(f"S {row['S']!r:.20} is neither Buy nor Sell")
    if not isinstance(row["i"], str):
        raise ValueError(f"i {row['i']!r:.40} is no trade's id")
    (price, price_decimals), (size, size_decimals) = (read_decimal(row[key], key) for key in ("p", "v"))
    decimals = Scale(price_decimals, size_decimals, 0)
    return Trade(read_count(row["T"], "T"), price, size, _SIDES[row["S"]], row["i"], decimals)


def _minute(start: int, end: int, values: Mapping[str, Any]) -> Minute:
    time = read_minute(start, end, "start", "end")
    prices = [read_decimal(values[key], key) for key in ("open", "high", "low", "close")]
    volume, volume_decimals = read_decimal(values["volume"], "volume")
    turnover, turnover_decimals = read_quote(values["turnover"], "turnover")
    open_, high, low, close = (value for value, _ in prices)
    decimals = Scale(max(d for _, d in prices), volume_decimals, turnover_decimals)
    return Minute(time, open_, high, low, close, volume, UNKNOWN_TRADES, turnover, decimals=decimals)
