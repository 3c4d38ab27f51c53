"""Tests of `btc_pipeline.pipeline`: the chain on real candles and on made-up ones."""
