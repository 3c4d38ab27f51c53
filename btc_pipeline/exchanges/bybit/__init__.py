"""Bybit v5's linear perpetuals, as a client sees them."""
