"""Hyperliquid's stream of one coin."""

from __future__ import annotations

from collections.abc import Sequence

from btc_pipeline.exchanges.replay.feed import Feed
from btc_pipeline.exchanges.replay.garbage import garbage
from btc_pipeline.exchanges.replay.hyperliquid_garbage import SHAPE
from btc_pipeline.exchanges.replay.hyperliquid_text import candle_frame, trades_frame
from btc_pipeline.exchanges.replay.market import MinuteRow
from btc_pipeline.exchanges.replay.tape import Trade


class CoinFeed(Feed):
    """Bars of every interval, without a word about their end; trades."""

    replays_trades = True

    def candle(self, row: MinuteRow, interval: str, *, closed: bool) -> bytes:  # noqa: ARG002 never told
        bar = self._venue.history.forming_bar(self._listing.name, interval, row)
        return candle_frame(bar, self._listing, interval)

    def trades(self, trades: Sequence[Trade]) -> bytes:
        return trades_frame(trades, self._listing)

    def garbage(self, number: int, row: MinuteRow) -> bytes:
        return garbage(number, candle_frame(row, self._listing, "1m"), SHAPE, self._listing.name)
