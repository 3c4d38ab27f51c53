"""Binance's stream of one coin's minutes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from btc_pipeline.exchanges.replay.binance_text import KlineText
from btc_pipeline.exchanges.replay.feed import Deliver, Feed
from btc_pipeline.exchanges.replay.garbage import Shape, garbage
from btc_pipeline.exchanges.replay.instruments import instrument_name
from btc_pipeline.exchanges.replay.market import Listing, MinuteRow, epoch_ms
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue

_SHAPE: Final = Shape(
    where=("k",),
    start="t",
    end="T",
    open="o",
    high="h",
    low="l",
    close="c",
    volume="v",
    interval="i",
    trades="n",
    strangers=(
        b"",
        b"null",
        b"[]",
        b'{"e":"kline"}',
        b'{"e":"kline","k":null}',
        b'{"e":["kline"],"k":{}}',
        b'{"e":"somethingNew","k":{"t":1}}',
        b'{"result":["btcusdt@kline_1m"],"id":null}',
    ),
)


class KlineFeed(Feed):
    """Minutes with their end; no trades."""

    tells_closes = True

    def __init__(
        self, venue: Venue, listing: Listing, wanted: Collection[Subscription], deliver: Deliver, padding: int
    ) -> None:
        """
        Args:
            padding: how many decimals every number has at least.
        """
        super().__init__(venue, listing, wanted, deliver)
        self.cadence = venue.behaviour.kline_seconds
        self._text = KlineText(listing, padding)

    def candle(self, row: MinuteRow, interval: str, *, closed: bool) -> bytes:  # noqa: ARG002 there is one
        flow = self._venue.tape.flow(self._listing.name, row)
        return self._text.frame(row, flow, closed, epoch_ms(self._venue.now()))

    def garbage(self, number: int, row: MinuteRow) -> bytes:
        return garbage(number, self.candle(row, "1m", closed=False), _SHAPE, instrument_name(self._listing.name))
