"""`collect`: the collector alone, without Dagster and the API."""

from __future__ import annotations

import sys

from btc_pipeline.cli.options import FeedOption, SymbolsOption, choose_symbols


def collect(
    symbol: SymbolsOption = None,
    feed: FeedOption = None,  # noqa: ARG001 its callback does it
) -> None:
    """Lands minutes from the exchange until Ctrl-C; `up` does this and everything else."""
    choose_symbols(symbol or [])
    from btc_pipeline.collector.__main__ import main
    from btc_pipeline.settings import load_settings

    code = main(load_settings())
    if code:
        sys.exit(code)
