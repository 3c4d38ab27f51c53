"""Hyperliquid's frames: what is taken, and what is refused in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from btc_pipeline.exchanges.base import (
    Acknowledged,
    CandleUpdate,
    Complaint,
    Minute,
    Pong,
    Trade,
    TradesTold,
    Unreadable,
)
from btc_pipeline.exchanges.hyperliquid.wire import HyperliquidStream, read_candle
from btc_pipeline.market.candles import Scale

ROW = {
    "t": 1790232180000, "T": 1790232239999, "s": "BTC", "i": "1m",
    "o": "84143.0", "c": "84143.5", "h": "84144.0", "l": "84143.0", "v": "14.27847", "n": 114,
}  # fmt: skip
TRADE_ROW = {
    "coin": "BTC", "side": "A", "px": "84143.0", "sz": "0.00036", "time": 1790232216193, "hash": "0x7ab6",
    "tid": 1045359869404765, "users": ["0x1", "0x2"],
}  # fmt: skip
TRADE = Trade(1790232216193, 84143.0, 0.00036, taker_buy=False, id="1045359869404765", decimals=Scale(0, 5, 0))
MINUTE = Minute(29837203, 84143.0, 84144.0, 84143.0, 84143.5, 14.27847, 114, decimals=Scale(1, 5, 0))
STREAM = HyperliquidStream("wss://example.invalid/ws")


def read(message: object) -> list[object]:
    return list(STREAM.read(json.dumps(message)))


def test_a_candle_frame_is_one_object_with_decimal_strings() -> None:
    assert read({"channel": "candle", "data": ROW}) == [CandleUpdate("BTC", MINUTE)]


def test_a_list_of_candles_is_taken_as_the_documentation_has_it() -> None:
    later = ROW | {"t": ROW["t"] + 60_000, "T": ROW["T"] + 60_000}
    assert [event.minute.time for event in read({"channel": "candle", "data": [ROW, later]})] == [29837203, 29837204]


def test_numbers_for_prices_are_taken_as_they_were_written() -> None:
    text = json.dumps({"channel": "candle", "data": ROW}).replace('"84143.5"', "84143.50")
    assert list(STREAM.read(text)) == [CandleUpdate("BTC", MINUTE)]


def test_pongs_and_acknowledgements_are_told_apart_by_their_fields() -> None:
    assert read({"channel": "pong"}) == [Pong()]
    echoed = {"interval": "1m", "coin": "BTC", "type": "candle", "extra": None}
    message = {"channel": "subscriptionResponse", "data": {"subscription": echoed, "method": "subscribe"}}
    assert read(message) == [Acknowledged("BTC")]


def test_already_subscribed_is_as_good_as_an_acknowledgement() -> None:
    text = 'Already subscribed: {"type":"candle","interval":"1m","coin":"BTC"}'
    assert read({"channel": "error", "data": text}) == [Acknowledged("BTC")]


def test_other_errors_are_complaints_and_unknown_channels_are_nothing() -> None:
    text = "Cannot subscribe to more than 1000 channels."
    assert read({"channel": "error", "data": text}) == [Complaint(text)]
    assert read({"channel": "trades", "data": []}) == []
    assert read({"channel": ["candle"], "data": ROW}) == []
    assert read({"channel": "subscriptionResponse", "data": {"method": "unsubscribe", "subscription": {}}}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"o": "NaN"}, "o 'NaN' is no decimal number"),
        ({"v": "1e3"}, "v '1e3' is no decimal number"),
        ({"h": "١٢"}, "is no decimal number"),
        ({"c": None}, "c None is no decimal number"),
        ({"c": "1234567890.123456"}, "more than 15 significant digits"),
        ({"t": 1790232180001}, "are no minute"),
        ({"T": 1790232240000}, "are no minute"),
        ({"t": "1790232180000"}, "t '1790232180000' is no count"),
        ({"n": -1}, "n -1 is no count"),
        ({"n": True}, "n True is no count"),
        ({"i": "3m"}, "interval '3m' instead of 1m"),
        ({"s": 7}, "s 7 is no coin"),
    ],
)
def test_a_wrong_candle_is_refused_in_words_with_its_payload(change: dict[str, object], words: str) -> None:
    [refused] = read({"channel": "candle", "data": ROW | change})
    assert isinstance(refused, Unreadable)
    assert words in refused.reason
    assert json.loads(refused.payload) == ROW | change
    assert refused.time == (None if "t" in change else 29837203)


@pytest.mark.parametrize("key", sorted(ROW))
def test_a_candle_without_one_of_its_fields_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"a candle without {key}"):
        read_candle({name: value for name, value in ROW.items() if name != key})


@pytest.mark.parametrize("frame", ["Websocket connection established.", "", "[1, 2", b"\xff\xfe", "[]", "null", '"x"'])
def test_what_is_no_json_object_is_kept_as_it_came(frame: str | bytes) -> None:
    [refused] = STREAM.read(frame)
    assert isinstance(refused, Unreadable)
    assert refused.time is None


@pytest.mark.parametrize("data", [None, 1, "x", [], [1], {"a": 1}])
def test_a_candle_channel_with_anything_else_breaks_nothing(data: object) -> None:
    assert all(isinstance(event, Unreadable) for event in read({"channel": "candle", "data": data}))


def test_trades_are_read_with_the_aggressor_s_side() -> None:
    bought = TRADE_ROW | {"side": "B", "tid": 7}
    assert read({"channel": "trades", "data": [TRADE_ROW, bought]}) == [
        TradesTold("BTC", [TRADE, replace(TRADE, taker_buy=True, id="7")])
    ]
    assert TRADE.minute == 29837203


def test_a_trade_that_is_none_is_refused_without_the_others() -> None:
    other = TRADE_ROW | {"coin": "ETH"}
    told = read({"channel": "trades", "data": [TRADE_ROW | {"side": "C"}, other, TRADE_ROW]})
    assert told[:2] == [TradesTold("ETH", [TRADE]), TradesTold("BTC", [TRADE])]
    assert [event.reason for event in told[2:]] == ["side 'C' is neither B nor A"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"px": "8e4"}, "px '8e4' is no decimal number"),
        ({"sz": "0.1234567890123456"}, "has more than 15 significant digits"),
        ({"time": -1}, "time -1 is no count"),
        ({"tid": "7"}, "tid '7' is no count"),
        ({"coin": 7}, "coin 7 is no coin"),
        ({"side": ["B"]}, "side ['B'] is neither B nor A"),
    ],
)
def test_a_broken_trade_is_refused_in_words(change: dict[str, object], words: str) -> None:
    (refused,) = read({"channel": "trades", "data": [TRADE_ROW | change]})
    assert isinstance(refused, Unreadable)
    assert words in refused.reason


def test_trades_are_asked_for_by_coin() -> None:
    assert json.loads(STREAM.subscribe_trades("BTC")) == {
        "method": "subscribe",
        "subscription": {"type": "trades", "coin": "BTC"},
    }
