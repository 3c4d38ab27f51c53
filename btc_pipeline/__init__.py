"""btc_pipeline: candles, indicators, decisions and backtests of one pipeline.

Belongs here: what a notebook imports. Everything else lives in the packages below.
"""
