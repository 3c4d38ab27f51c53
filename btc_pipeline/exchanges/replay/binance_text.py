"""Binance's texts: klines in REST, in files and on the stream."""

from __future__ import annotations

from typing import Final

from btc_pipeline.exchanges.replay.instruments import instrument_name
from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, MinuteRow
from btc_pipeline.exchanges.replay.numbers import padded_text
from btc_pipeline.exchanges.replay.paths import Flow

_MOST_TRADES: Final = 100_000
"""In a minute, so that numbers of trades ascend."""
ARCHIVE_HEADER: Final = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


class KlineText:
    """Writes klines of one listing. Every number has the listing's decimals, and at least `padding` of them."""

    def __init__(self, listing: Listing, padding: int) -> None:
        self._listing = listing
        self._price = max(padding, listing.price_decimals)
        self._volume = max(padding, listing.volume_decimals)
        self._quote = padding or listing.price_decimals + listing.volume_decimals

    def rest(self, row: MinuteRow, flow: Flow) -> str:
        """An array of twelve."""
        start = row.minute * MINUTE_MS
        open_, high, low, close, volume, quote, buy, buy_quote = self._numbers(row, flow)
        return (
            f'[{start},"{open_}","{high}","{low}","{close}","{volume}",{start + MINUTE_MS - 1},'
            f'"{quote}",{row.trades},"{buy}","{buy_quote}","0"]'
        )

    def line(self, row: MinuteRow, flow: Flow, units: int) -> str:
        """A line of a file, whose times are milliseconds (`units` 1) or microseconds (1000)."""
        start = row.minute * MINUTE_MS * units
        open_, high, low, close, volume, quote, buy, buy_quote = self._numbers(row, flow)
        end = start + MINUTE_MS * units - 1
        return f"{start},{open_},{high},{low},{close},{volume},{end},{quote},{row.trades},{buy},{buy_quote},0\n"

    def frame(self, row: MinuteRow, flow: Flow, closed: bool, time_ms: int) -> bytes:
        """A frame of the stream `kline_1m`, sent at `time_ms`."""
        start = row.minute * MINUTE_MS
        name = instrument_name(self._listing.name)
        open_, high, low, close, volume, quote, buy, buy_quote = self._numbers(row, flow)
        first = row.minute * _MOST_TRADES if row.trades else -1
        last = first + row.trades - 1 if row.trades else -1
        return (
            f'{{"e":"kline","E":{time_ms},"s":"{name}","k":{{"t":{start},"T":{start + MINUTE_MS - 1},"s":"{name}",'
            f'"i":"1m","f":{first},"L":{last},"o":"{open_}","c":"{close}","h":"{high}","l":"{low}","v":"{volume}",'
            f'"n":{row.trades},"x":{"true" if closed else "false"},"q":"{quote}","V":"{buy}","Q":"{buy_quote}",'
            '"B":"0"}}'
        ).encode()

    def _numbers(self, row: MinuteRow, flow: Flow) -> tuple[str, ...]:
        price, volume = self._listing.price_decimals, self._listing.volume_decimals
        return (
            *(padded_text(ticks, price, self._price) for ticks in (row.open, row.high, row.low, row.close)),
            padded_text(row.volume, volume, self._volume),
            padded_text(flow.quote, price + volume, self._quote),
            padded_text(flow.buy, volume, self._volume),
            padded_text(flow.buy_quote, price + volume, self._quote),
        )
