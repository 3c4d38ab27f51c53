"""Hyperliquid's WebSocket and REST, as a client sees them."""
