"""Bybit's trades: what is taken, and what is refused in words."""

from __future__ import annotations

import json

import pytest

from btc_pipeline.exchanges.base import Trade, TradesTold, Unreadable
from btc_pipeline.exchanges.bybit.wire import BybitStream
from btc_pipeline.market.candles import Scale

ROW = {
    "T": 1672304486865, "s": "BTCUSDT", "S": "Buy", "v": "0.001", "p": "16578.50", "L": "PlusTick",
    "i": "20f43950-d8dd-5b31-9112-a178eb6023af", "BT": False,
}  # fmt: skip
BOUGHT = Trade(1672304486865, 16578.5, 0.001, taker_buy=True, id=str(ROW["i"]), decimals=Scale(1, 3, 0))
STREAM = BybitStream("wss://example.invalid/v5/public/linear")


def read(*rows: object) -> list[object]:
    frame = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1672304486868, "data": list(rows)}
    return list(STREAM.read(json.dumps(frame)))


def test_trades_are_read_with_the_aggressor_s_side() -> None:
    sold = Trade(1672304486866, 16578.5, 0.001, taker_buy=False, id="2", decimals=Scale(1, 3, 0))
    assert read(ROW, ROW | {"S": "Sell", "T": 1672304486866, "i": "2"}) == [TradesTold("BTCUSDT", [BOUGHT, sold])]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"S": "buy"}, "S 'buy' is neither Buy nor Sell"),
        ({"s": "ETHUSDT"}, "a trade of 'ETHUSDT' among those of BTCUSDT"),
        ({"v": 0.5e-7}, "is no decimal number"),
        ({"T": "1672304486865"}, "T '1672304486865' is no count"),
        ({"i": 7}, "i 7 is no trade's id"),
    ],
)
def test_a_broken_trade_is_refused_in_words_without_the_others(change: dict[str, object], words: str) -> None:
    told, refused = read(ROW | change, ROW)
    assert told == TradesTold("BTCUSDT", [BOUGHT])
    assert isinstance(refused, Unreadable)
    assert words in refused.reason
    assert refused.coin == "BTCUSDT"


def test_a_row_that_is_no_trade_is_refused() -> None:
    (refused,) = read("PlusTick")
    assert isinstance(refused, Unreadable)


def test_trades_are_asked_for_by_a_topic_of_their_own() -> None:
    asked = json.loads(STREAM.subscribe_trades("BTCUSDT"))
    assert asked == {"req_id": "publicTrade.BTCUSDT", "op": "subscribe", "args": ["publicTrade.BTCUSDT"]}
