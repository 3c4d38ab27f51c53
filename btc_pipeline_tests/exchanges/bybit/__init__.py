"""Bybit's client."""
