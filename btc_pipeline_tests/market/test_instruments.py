"""Symbols: the primary one and its aliases, and those that carry their venue."""

from __future__ import annotations

import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.market.instruments import canonical_symbol, split_symbol


@pytest.mark.parametrize("symbol", ["BTC", "cbBTC", "cbBTC-PERP"])
def test_the_primary_symbol_and_its_aliases_are_hyperliquids_btc(symbol):
    assert canonical_symbol(symbol) == "BTC"
    assert split_symbol(canonical_symbol(symbol)) == ("HYPERLIQUID", "BTC")


@pytest.mark.parametrize(
    ("symbol", "venue", "name"),
    [
        ("BTCUSDT.BINANCE", "BINANCE", "BTCUSDT"),
        ("BTCUSD.BITFINEX", "BITFINEX", "BTCUSD"),
        ("BTC-PERP.DERIBIT", "DERIBIT", "BTC-PERP"),
        ("BTC/USDT:USDT.BYBIT", "BYBIT", "BTC/USDT:USDT"),
        ("1INCH.BINANCE_US", "BINANCE_US", "1INCH"),
    ],
)
def test_other_symbols_carry_their_venue(symbol, venue, name):
    assert canonical_symbol(symbol) == symbol
    assert split_symbol(symbol) == (venue, name)


@pytest.mark.parametrize(
    "symbol",
    [
        "", "btc", "BTCUSDT", "BTC.", ".BINANCE", "BTCUSDT.binance", "btcusdt.BINANCE", "CBBTC", "BTC USDT.BINANCE",
        "BTC.USDT.BINANCE", "BTCUSDT.BINANCE\n", "BTC'; DROP TABLE candles.X", "BТC.BINANCE", "../etc.X",
        "A" * 32 + ".X", "A" * 5_000,
    ],
)  # fmt: skip
def test_a_bad_symbol_is_refused_in_words(symbol):
    with pytest.raises(UserError, match=r"use BTC \(Hyperliquid's perpetual\) or NAME.VENUE in capitals") as caught:
        canonical_symbol(symbol)
    assert caught.value.field == "symbol"
    assert len(str(caught.value)) < 200
