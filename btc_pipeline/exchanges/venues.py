"""Which venue has which client."""

from __future__ import annotations

from btc_pipeline.exchanges.base import VenueRest, VenueStream
from btc_pipeline.exchanges.hyperliquid.rest import HyperliquidRest
from btc_pipeline.exchanges.hyperliquid.wire import VENUE as HYPERLIQUID
from btc_pipeline.exchanges.hyperliquid.wire import HyperliquidStream
from btc_pipeline.settings import Settings
from btc_pipeline.timing.clock import Clock


def rest_client(settings: Settings, venue: str, clock: Clock) -> VenueRest | None:
    """The REST client of a venue; None for a venue without one."""
    return HyperliquidRest(settings.hyperliquid.api_url, clock) if venue == HYPERLIQUID else None


def stream_client(settings: Settings, venue: str) -> VenueStream | None:
    """The WebSocket client of a venue; None for a venue without one."""
    return HyperliquidStream(settings.hyperliquid.websocket_url) if venue == HYPERLIQUID else None
