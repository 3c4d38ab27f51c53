"""Bybit's texts: minutes in REST and on the stream, trades."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from btc_pipeline.exchanges.replay.instruments import instrument_name
from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, MinuteRow
from btc_pipeline.exchanges.replay.numbers import plain_text
from btc_pipeline.exchanges.replay.paths import Flow
from btc_pipeline.exchanges.replay.tape import Trade

KLINE_TOPIC: Final = "kline.1."
TRADE_TOPIC: Final = "publicTrade."


def kline_text(row: MinuteRow, flow: Flow, listing: Listing) -> str:
    """A row of REST: seven texts."""
    open_, high, low, close, volume, turnover = _numbers(row, flow, listing)
    return f'["{row.minute * MINUTE_MS}","{open_}","{high}","{low}","{close}","{volume}","{turnover}"]'


def kline_frame(row: MinuteRow, flow: Flow, listing: Listing, closed: bool, time_ms: int) -> bytes:
    """A frame of the topic `kline.1.`, sent at `time_ms`."""
    start = row.minute * MINUTE_MS
    open_, high, low, close, volume, turnover = _numbers(row, flow, listing)
    return (
        f'{{"topic":"{KLINE_TOPIC}{instrument_name(listing.name)}","type":"snapshot","ts":{time_ms},"data":[{{'
        f'"start":{start},"end":{start + MINUTE_MS - 1},"interval":"1","open":"{open_}","close":"{close}",'
        f'"high":"{high}","low":"{low}","volume":"{volume}","turnover":"{turnover}",'
        f'"confirm":{"true" if closed else "false"},"timestamp":{time_ms}}}]}}'
    ).encode()


def trades_frame(trades: Iterable[Trade], listing: Listing, before: int | None, time_ms: int) -> bytes:
    """A frame of the topic `publicTrade.`.

    Args:
        before: the price, in ticks, of the trade before these; None if there was none.
        time_ms: when it is sent.
    """
    name = instrument_name(listing.name)
    texts = []
    for trade in trades:
        texts.append(
            f'{{"T":{trade.time_ms},"s":"{name}","S":"{"Buy" if trade.is_buy else "Sell"}",'
            f'"v":"{plain_text(trade.size, listing.volume_decimals)}",'
            f'"p":"{plain_text(trade.price, listing.price_decimals)}","L":"{_direction(trade.price, before)}",'
            f'"i":"{_identity(trade)}","BT":false}}'
        )
        before = trade.price
    return f'{{"topic":"{TRADE_TOPIC}{name}","type":"snapshot","ts":{time_ms},"data":[{",".join(texts)}]}}'.encode()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def uuid_text(high: int, low: int) -> str:
    """Two 64-bit numbers as an identifier such as 20f43950-d8dd-5b31-9112-a178eb6023af."""
    digits = f"{high:016x}{low:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _identity(trade: Trade) -> str:
    return uuid_text(trade.tid, trade.time_ms)


def _direction(price: int, before: int | None) -> str:
    if before is None or price == before:
        return "ZeroPlusTick"
    return "PlusTick" if price > before else "MinusTick"


def _numbers(row: MinuteRow, flow: Flow, listing: Listing) -> tuple[str, ...]:
    price, volume = listing.price_decimals, listing.volume_decimals
    return (
        *(plain_text(ticks, price) for ticks in (row.open, row.high, row.low, row.close)),
        plain_text(row.volume, volume),
        plain_text(flow.quote, price + volume),
    )
