"""Tests of reading candle files."""
