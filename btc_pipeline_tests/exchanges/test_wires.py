"""Whatever a venue sends, its stream's client says something of it, and never breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.exchanges.base import CandleUpdate, StreamEvent, Unreadable, VenueStream
from btc_pipeline.exchanges.binance.wire import BinanceStream
from btc_pipeline.exchanges.bybit.wire import BybitStream
from btc_pipeline.exchanges.hyperliquid.wire import HyperliquidStream

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KLINE = {
    "t": 1790232180000, "T": 1790232239999, "s": "BTCUSDT", "i": "1m", "o": "1", "c": "1", "h": "1", "l": "1",
    "v": "1", "n": 1, "x": True, "q": "1", "V": "1",
}  # fmt: skip
FRAMES: dict[str, list[dict[str, Any]]] = {
    "binance": [
        {"e": "kline", "s": "BTCUSDT", "k": KLINE},
        {"result": None, "id": 1},
        {"error": {"code": 2, "msg": ""}, "id": 1},
        {"e": "serverShutdown"},
    ],
    "bybit": [
        {
            "topic": "kline.1.BTCUSDT",
            "data": [
                {
                    "start": 1790232180000, "end": 1790232239999, "interval": "1", "open": "1", "close": "1",
                    "high": "1", "low": "1", "volume": "1", "turnover": "1", "confirm": True,
                }
            ],
        },
        {"success": True, "ret_msg": "", "req_id": "BTCUSDT", "op": "subscribe"},
        {"success": False, "ret_msg": "error:already subscribed", "req_id": "BTCUSDT", "op": "subscribe"},
        {"success": True, "ret_msg": "pong", "op": "ping"},
    ],
    "hyperliquid": [
        {"channel": "candle", "data": KLINE | {"s": "BTC"}},
        {
            "channel": "trades",
            "data": [{"coin": "BTC", "side": "A", "px": "1", "sz": "1", "time": 1790232180000, "tid": 1}],
        },
        {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": {"type": "candle"}}},
        {"channel": "error", "data": "Already subscribed: {}"},
    ],
}  # fmt: skip


def stream_of(venue: str) -> VenueStream:
    url = "wss://example.invalid"
    streams: dict[str, VenueStream] = {
        "binance": BinanceStream("BINANCE", url),
        "bybit": BybitStream(url),
        "hyperliquid": HyperliquidStream(url),
    }
    streams[venue].subscribe("BTC")
    return streams[venue]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, one in inner for place in places(one, (*path, key))]


def with_value(message: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = json.loads(json.dumps(message))
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return dict(changed)


@pytest.mark.parametrize("venue", FRAMES)
@given(data=st.data(), value=VALUES)
def test_a_frame_with_anything_in_any_place_is_read(venue: str, data: st.DataObject, value: Any) -> None:
    message = data.draw(st.sampled_from(FRAMES[venue]))
    changed = with_value(message, data.draw(st.sampled_from(places(message))), value)
    for event in stream_of(venue).read(json.dumps(changed)):
        assert isinstance(event, StreamEvent)
        if isinstance(event, CandleUpdate):
            assert event.closed in (None, True, False)
            assert event.minute.decimals.price <= 15
        if isinstance(event, Unreadable):
            assert event.reason


@pytest.mark.parametrize("venue", FRAMES)
def test_every_frame_of_the_documentation_says_something(venue: str) -> None:
    for message in FRAMES[venue][:2]:
        assert stream_of(venue).read(json.dumps(message)), message
