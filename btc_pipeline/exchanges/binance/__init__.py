"""Binance's spot and USD-M futures, as a client sees them: one code, two markets that differ by data."""
