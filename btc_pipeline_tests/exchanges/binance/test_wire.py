"""Binance's frames and rows: what is taken, and what is refused in words."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from btc_pipeline.exchanges.base import Acknowledged, CandleUpdate, Complaint, Minute, Pong, StreamEvent, Unreadable
from btc_pipeline.exchanges.binance.wire import BinanceStream, read_row
from btc_pipeline.market.candles import Scale

FRAME = (
    '{"e":"kline","E":1790232181013,"s":"BTCUSDT","k":{"t":1790232180000,"T":1790232239999,"s":"BTCUSDT","i":"1m",'
    '"f":100,"L":213,"o":"84143.00000000","c":"84143.50000000","h":"84144.00000000","l":"84143.00000000",'
    '"v":"14.27847000","n":114,"x":false,"q":"1201437.93123456","V":"7.10000000","Q":"597415.30000000","B":"0"}}'
)
ROW = [
    1790232180000, "84143.00000000", "84144.00000000", "84143.00000000", "84143.50000000", "14.27847000",
    1790232239999, "1201437.93123456", 114, "7.10000000", "597415.30000000", "0",
]  # fmt: skip
MINUTE = Minute(29837203, 84143.0, 84144.0, 84143.0, 84143.5, 14.27847, 114, 1201437.93123456, 7.1, Scale(1, 5, 8))


@pytest.fixture
def stream() -> BinanceStream:
    return BinanceStream("BINANCE", "wss://example.invalid/ws")


def read(stream: BinanceStream, message: object) -> list[StreamEvent]:
    return list(stream.read(json.dumps(message)))


def changed(**fields: object) -> dict[str, object]:
    message: dict[str, dict[str, object]] = json.loads(FRAME)
    message["k"] |= fields
    return dict(message)


def test_a_frame_tells_everything_of_its_minute_and_whether_it_is_over(stream: BinanceStream) -> None:
    assert list(stream.read(FRAME)) == [CandleUpdate("BTCUSDT", MINUTE, closed=False)]
    assert read(stream, changed(x=True)) == [CandleUpdate("BTCUSDT", MINUTE, closed=True)]


def test_a_row_of_rest_is_the_same_minute() -> None:
    assert read_row(ROW) == MINUTE


def test_a_subscription_is_acknowledged_by_its_id_and_a_list_of_subscriptions_is_a_pong(stream: BinanceStream) -> None:
    first, second, ping = (
        json.loads(text) for text in (stream.subscribe("BTCUSDT"), stream.subscribe("ETHUSDT"), stream.ping())
    )
    assert first == {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": first["id"]}
    assert ping == {"method": "LIST_SUBSCRIPTIONS", "id": ping["id"]}
    assert read(stream, {"result": ["btcusdt@kline_1m"], "id": ping["id"]}) == [Pong()]
    assert read(stream, {"result": None, "id": second["id"]}) == [Acknowledged("ETHUSDT")]
    assert read(stream, {"result": None, "id": first["id"]}) == [Acknowledged("BTCUSDT")]
    assert len({first["id"], second["id"], ping["id"]}) == 3


def test_errors_and_a_shutdown_to_come_are_complaints(stream: BinanceStream) -> None:
    asked = json.loads(stream.subscribe("BTCUSDT"))
    (told,) = read(stream, {"error": {"code": 2, "msg": "Invalid request"}, "id": asked["id"]})
    assert isinstance(told, Complaint)
    assert "Invalid request" in told.text
    assert read(stream, {"code": 3, "msg": "Invalid JSON"}) == [Complaint('{"code": 3, "msg": "Invalid JSON"}')]
    assert read(stream, {"e": "serverShutdown", "E": 1790232180000}) == [Complaint("serverShutdown")]
    assert read(stream, {"e": "aggTrade", "s": "BTCUSDT"}) == []
    assert read(stream, {"e": ["kline"]}) == []


def test_a_quote_volume_of_too_many_digits_is_left_out_and_the_minute_taken(stream: BinanceStream) -> None:
    (update,) = read(stream, changed(q="123456789.12345678"))
    assert isinstance(update, CandleUpdate)
    assert math.isnan(update.minute.quote_volume)
    assert update.minute.same_values(replace(MINUTE, quote_volume=math.nan))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"o": "NaN"}, "o 'NaN' is no decimal number"),
        ({"v": "1234567890.123456"}, "more than 15 significant digits"),
        ({"q": None}, "q None is no decimal number"),
        ({"V": "-"}, "V '-' is no decimal number"),
        ({"t": 1790232180001}, "are no minute"),
        ({"T": 1790232240000}, "are no minute"),
        ({"n": -1}, "n -1 is no count"),
        ({"x": "true"}, "x 'true' is neither true nor false"),
        ({"i": "3m"}, "interval '3m' instead of 1m"),
        ({"s": 7}, "s 7 is no coin"),
    ],
)
def test_a_wrong_kline_is_refused_in_words_with_its_payload(
    stream: BinanceStream, change: dict[str, object], words: str
) -> None:
    (refused,) = read(stream, changed(**change))
    assert isinstance(refused, Unreadable)
    assert words in refused.reason
    assert json.loads(refused.payload) == changed(**change)["k"]
    assert refused.coin == (None if "s" in change else "BTCUSDT")
    assert refused.time == (None if "t" in change else 29837203)


@pytest.mark.parametrize("row", [None, {}, [], ROW[:11], [*ROW, "0"], [str(ROW[0]), *ROW[1:]]])
def test_a_row_of_another_shape_is_refused(row: object) -> None:
    with pytest.raises(ValueError, match=r"no array of 12|is no count"):
        read_row(row)


@pytest.mark.parametrize(
    "frame", ["", "[1, 2", b"\xff\xfe", "[]", "null", '"x"', '{"e":"kline"}', '{"e":"kline","k":7}']
)
def test_what_is_no_kline_is_kept_as_it_came(stream: BinanceStream, frame: str | bytes) -> None:
    assert [type(event) for event in stream.read(frame)] == [Unreadable]
