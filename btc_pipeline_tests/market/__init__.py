"""Tests of `btc_pipeline.market`."""
