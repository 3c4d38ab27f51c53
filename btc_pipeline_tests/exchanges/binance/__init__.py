"""Binance's client."""
