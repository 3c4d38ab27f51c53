"""Bybit's stream of one coin: minutes with their end, and trades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from btc_pipeline.exchanges.replay.bybit_text import kline_frame, trades_frame
from btc_pipeline.exchanges.replay.feed import Feed
from btc_pipeline.exchanges.replay.garbage import Shape, garbage
from btc_pipeline.exchanges.replay.instruments import instrument_name
from btc_pipeline.exchanges.replay.market import MinuteRow, epoch_ms
from btc_pipeline.exchanges.replay.tape import Trade

_SHAPE: Final = Shape(
    where=("data", 0),
    start="start",
    end="end",
    open="open",
    high="high",
    low="low",
    close="close",
    volume="volume",
    interval="interval",
    trades=None,
    strangers=(
        b"",
        b"null",
        b"[]",
        b'{"topic":"kline.1.BTCUSDT"}',
        b'{"topic":"kline.1.BTCUSDT","data":null}',
        b'{"topic":["kline.1.BTCUSDT"],"data":[{}]}',
        b'{"topic":"somethingNew","type":"delta","data":{"a":1}}',
        b'{"success":"perhaps","op":"something"}',
    ),
)


class BybitFeed(Feed):
    """Frames whose `data` is an array."""

    tells_closes = True
    _newest_price: int | None = None

    def candle(self, row: MinuteRow, interval: str, *, closed: bool) -> bytes:  # noqa: ARG002 there is one
        flow = self._venue.tape.flow(self._listing.name, row)
        return kline_frame(row, flow, self._listing, closed, epoch_ms(self._venue.now()))

    def trades(self, trades: Sequence[Trade]) -> bytes:
        before, self._newest_price = self._newest_price, trades[-1].price
        return trades_frame(trades, self._listing, before, epoch_ms(self._venue.now()))

    def garbage(self, number: int, row: MinuteRow) -> bytes:
        return garbage(number, self.candle(row, "1m", closed=False), _SHAPE, instrument_name(self._listing.name))
