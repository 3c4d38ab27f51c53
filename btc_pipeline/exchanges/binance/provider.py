"""Binance's spot and USD-M markets as venues."""

from __future__ import annotations

from typing import Final

from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.base import VenueRest, VenueStream
from btc_pipeline.exchanges.binance.archive import BinanceArchive
from btc_pipeline.exchanges.binance.markets import SPOT, USD_M, Market
from btc_pipeline.exchanges.binance.rest import BinanceRest
from btc_pipeline.exchanges.binance.wire import BinanceStream
from btc_pipeline.exchanges.provider import Outage, Provider, VenueArchive
from btc_pipeline.timing.clock import Clock

ARCHIVE_URL: Final = "https://data.binance.vision"

OUTAGE_OF_2020_11_30: Final = Outage(26_778_600, 26_778_660, "https://github.com/ccxt/ccxt/issues/8068")
"""06:00 to 07:00 UTC."""


def _provider(market: Market, title: str, addresses: Addresses, outages: tuple[Outage, ...] = ()) -> Provider:
    def rest(at: Addresses, clock: Clock) -> VenueRest:
        return BinanceRest(market, at.api_url, clock)

    def stream(at: Addresses) -> VenueStream:
        return BinanceStream(market.venue, at.websocket_url)

    def archive(at: Addresses) -> VenueArchive:
        return BinanceArchive(market, at.archive_url or ARCHIVE_URL)

    return Provider(market.venue, title, "BTCUSDT", addresses, rest, stream, archive, outages)


BINANCE: Final = _provider(
    SPOT,
    "Binance spot",
    Addresses("wss://stream.binance.com:9443/ws", "https://api.binance.com", ARCHIVE_URL),
    (OUTAGE_OF_2020_11_30,),
)
# The old paths without /market take subscriptions and stay silent since 2026-04-23.
BINANCE_UM: Final = _provider(
    USD_M,
    "Binance USD-M futures",
    Addresses("wss://fstream.binance.com/market/ws", "https://fapi.binance.com", ARCHIVE_URL),
)
