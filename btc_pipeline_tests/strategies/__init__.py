"""Tests of `btc_pipeline.strategies`."""
