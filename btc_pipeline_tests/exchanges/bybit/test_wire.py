"""Bybit's frames and rows: what is taken, and what is refused in words."""

from __future__ import annotations

import json
import math

import pytest

from btc_pipeline.exchanges.base import Acknowledged, CandleUpdate, Complaint, Minute, Pong, StreamEvent, Unreadable
from btc_pipeline.exchanges.bybit.wire import BybitStream, read_row, unreadable_row
from btc_pipeline.market.candles import UNKNOWN_TRADES, Scale

FRAME = (
    '{"topic":"kline.1.BTCUSDT","type":"snapshot","ts":1672324988882,"data":[{"start":1672324980000,'
    '"end":1672325039999,"interval":"1","open":"16649.5","close":"16677","high":"16677","low":"16608",'
    '"volume":"2.081","turnover":"34666.4005","confirm":false,"timestamp":1672324988882}]}'
)
ROW = ["1672324980000", "16649.5", "16677", "16608", "16677", "2.081", "34666.4005"]
MINUTE = Minute(
    27872083, 16649.5, 16677.0, 16608.0, 16677.0, 2.081, UNKNOWN_TRADES, 34666.4005, decimals=Scale(1, 3, 4)
)


@pytest.fixture
def stream() -> BybitStream:
    return BybitStream("wss://example.invalid/v5/public/linear")


def same(one: CandleUpdate, other: CandleUpdate) -> bool:
    """NaN is not equal to itself."""
    alike = (one.coin, one.closed, one.minute.decimals) == (other.coin, other.closed, other.minute.decimals)
    return alike and one.minute.same_values(other.minute)


def read(stream: BybitStream, message: object) -> list[StreamEvent]:
    return list(stream.read(json.dumps(message)))


def changed(**fields: object) -> object:
    message = json.loads(FRAME)
    message["data"][0] |= fields
    return message


@pytest.mark.parametrize("confirm", [False, True])
def test_a_frame_is_a_list_and_says_whether_its_minute_is_over(stream: BybitStream, confirm: bool) -> None:
    (update,) = read(stream, changed(confirm=confirm))
    assert isinstance(update, CandleUpdate)
    assert same(update, CandleUpdate("BTCUSDT", MINUTE, confirm))
    assert math.isnan(update.minute.taker_buy_volume)


def test_a_row_of_rest_is_the_same_minute() -> None:
    assert read_row(ROW).same_values(MINUTE)
    assert read_row(ROW).decimals == MINUTE.decimals


def test_the_documented_answers_are_acknowledgements_and_pongs(stream: BybitStream) -> None:
    assert json.loads(stream.subscribe("BTCUSDT")) == {
        "req_id": "BTCUSDT",
        "op": "subscribe",
        "args": ["kline.1.BTCUSDT"],
    }
    assert json.loads(stream.ping()) == {"op": "ping"}
    told = {"success": True, "ret_msg": "", "conn_id": "x", "req_id": "BTCUSDT", "op": "subscribe"}
    assert read(stream, told) == [Acknowledged("BTCUSDT")]
    assert read(stream, {"success": True, "ret_msg": "pong", "conn_id": "x", "req_id": "2", "op": "ping"}) == [Pong()]
    assert read(stream, {"op": "pong", "args": ["1672324988882"]}) == [Pong()]


def test_an_acknowledgement_without_a_req_id_is_of_the_newest_subscription(stream: BybitStream) -> None:
    stream.subscribe("BTCUSDT")
    stream.subscribe("ETHUSDT")
    told = {"success": True, "ret_msg": "", "conn_id": "x", "op": "subscribe"}
    assert read(stream, told) == [Acknowledged("ETHUSDT")]


def test_a_refusal_is_a_complaint_unless_it_stands_already(stream: BybitStream) -> None:
    stream.subscribe("NOPE")
    told = {
        "success": False,
        "ret_msg": "error:handler not found,topic:kline.1.NOPE",
        "req_id": "NOPE",
        "op": "subscribe",
    }
    assert read(stream, told) == [Complaint("error:handler not found,topic:kline.1.NOPE")]
    again = told | {"ret_msg": "error:already subscribed,topic:kline.1.BTCUSDT", "req_id": "BTCUSDT"}
    assert read(stream, again) == [Acknowledged("BTCUSDT")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"open": 16649.5e300}, "is no decimal number"),
        ({"volume": "1e3"}, "volume '1e3' is no decimal number"),
        ({"start": 1672324980001}, "are no minute"),
        ({"end": 1672325040000}, "are no minute"),
        ({"start": "1672324980000"}, "start '1672324980000' is no count"),
        ({"confirm": 1}, "confirm 1 is neither true nor false"),
        ({"interval": "3"}, "interval '3' instead of 1"),
    ],
)
def test_a_wrong_kline_is_refused_in_words_with_its_coin(
    stream: BybitStream, change: dict[str, object], words: str
) -> None:
    (refused,) = read(stream, changed(**change))
    assert isinstance(refused, Unreadable)
    assert words in refused.reason
    assert refused.coin == "BTCUSDT"
    assert refused.time == (None if "start" in change else 27872083)


def test_the_turnover_of_too_many_digits_is_left_out(stream: BybitStream) -> None:
    (update,) = read(stream, changed(turnover="1234567890.1234567"))
    assert isinstance(update, CandleUpdate)
    assert math.isnan(update.minute.quote_volume)


def test_other_topics_are_nothing_and_what_is_no_object_is_kept(stream: BybitStream) -> None:
    assert read(stream, {"topic": "publicTrade.BTCUSDT", "data": []}) == []
    for frame in ("", "[]", "null", '{"topic":"kline.1.BTCUSDT"}', '{"topic":"kline.1.BTCUSDT","data":7}'):
        assert [type(event) for event in stream.read(frame)] == [Unreadable], frame


@pytest.mark.parametrize(
    "row", [None, {}, [], ROW[:6], [1672324980000, *ROW[1:]], ["-60000", *ROW[1:]], ["1", *ROW[1:]]]
)
def test_a_row_of_another_shape_is_refused(row: object) -> None:
    with pytest.raises(ValueError, match=r"no array|is no count|no minute") as caught:
        read_row(row)
    assert unreadable_row(row, caught.value).time == (27872083 if row == ROW[:6] else None)
