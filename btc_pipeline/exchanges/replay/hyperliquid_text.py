"""Hyperliquid's texts: numbers, candles, trades, frames."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from btc_pipeline.exchanges.replay.intervals import bar_end
from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, MinuteRow
from btc_pipeline.exchanges.replay.numbers import decimal_text
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.tape import Trade

PONG: Final = b'{"channel":"pong"}'
GREETING: Final = b"Websocket connection established."
_USERS: Final = '["0x0000000000000000000000000000000000000001","0x0000000000000000000000000000000000000002"]'


def echo(subscription: Subscription) -> dict[str, str]:
    """A subscription as the server echoes it, which is not the order in which the client wrote it."""
    interval = {"interval": subscription.interval} if subscription.interval else {}
    return {"type": subscription.type, **interval, "coin": subscription.coin}


def candle_text(row: MinuteRow, listing: Listing, interval: str) -> str:
    """A candle as REST and the stream both write it."""
    price, volume = listing.price_decimals, listing.volume_decimals
    end = row.minute + 1 if interval == "1m" else bar_end(interval, row.minute)
    return (
        f'{{"t":{row.minute * MINUTE_MS},"T":{end * MINUTE_MS - 1},"s":"{listing.name}","i":"{interval}",'
        f'"o":"{decimal_text(row.open, price)}","c":"{decimal_text(row.close, price)}",'
        f'"h":"{decimal_text(row.high, price)}","l":"{decimal_text(row.low, price)}",'
        f'"v":"{decimal_text(row.volume, volume)}","n":{row.trades}}}'
    )


def candle_frame(row: MinuteRow, listing: Listing, interval: str) -> bytes:
    return f'{{"channel":"candle","data":{candle_text(row, listing, interval)}}}'.encode()


def trades_frame(trades: Iterable[Trade], listing: Listing) -> bytes:
    texts = ",".join(
        f'{{"coin":"{listing.name}","side":"{"B" if trade.is_buy else "A"}",'
        f'"px":"{decimal_text(trade.price, listing.price_decimals)}",'
        f'"sz":"{decimal_text(trade.size, listing.volume_decimals)}",'
        f'"time":{trade.time_ms},"hash":"0x{trade.tid:064x}","tid":{trade.tid},"users":{_USERS}}}'
        for trade in trades
    )
    return f'{{"channel":"trades","data":[{texts}]}}'.encode()


def response_frame(method: str, subscription: Subscription) -> bytes:
    return compact({"channel": "subscriptionResponse", "data": {"method": method, "subscription": echo(subscription)}})


def error_frame(text: str) -> bytes:
    return compact({"channel": "error", "data": text})


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
