"""Tests of `btc_pipeline.backtest`."""
