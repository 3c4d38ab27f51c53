"""Hyperliquid as a venue."""

from __future__ import annotations

from typing import Final

from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.hyperliquid.rest import HyperliquidRest
from btc_pipeline.exchanges.hyperliquid.wire import VENUE, HyperliquidStream
from btc_pipeline.exchanges.provider import Provider

PROVIDER: Final = Provider(
    name=VENUE,
    title="Hyperliquid perpetuals",
    example="BTC",
    addresses=Addresses("wss://api.hyperliquid.xyz/ws", "https://api.hyperliquid.xyz"),
    rest=lambda at, clock: HyperliquidRest(at.api_url, clock),
    stream=lambda at: HyperliquidStream(at.websocket_url),
)
