"""Tests of the Hyperliquid client."""
