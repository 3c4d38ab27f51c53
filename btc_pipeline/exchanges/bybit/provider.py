"""Bybit as a venue."""

from __future__ import annotations

from typing import Final

from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.bybit.rest import BybitRest
from btc_pipeline.exchanges.bybit.wire import VENUE, BybitStream
from btc_pipeline.exchanges.provider import Provider

PROVIDER: Final = Provider(
    name=VENUE,
    title="Bybit linear perpetuals",
    example="BTCUSDT",
    addresses=Addresses("wss://stream.bybit.com/v5/public/linear", "https://api.bybit.com"),
    rest=lambda at, clock: BybitRest(at.api_url, clock),
    stream=lambda at: BybitStream(at.websocket_url),
)
