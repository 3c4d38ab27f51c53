"""What is said of minutes that have been missing for days, by what their venue still gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from btc_pipeline.pipeline.collection import assess_collector, forgets_after

NOW = datetime(2026, 11, 21, 12, 34, tzinfo=UTC)


def message(symbol: str, age: timedelta) -> str:
    """What a collector's health says whose last minute is so old."""
    until = NOW - age
    row = {
        "symbol": symbol,
        "feed": "live",
        "process": "host/1",
        "connection": "unreachable",
        "message": "no answer in time",
        "started_at": until,
        "heartbeat_at": NOW,
        "connected_at": None,
        "last_frame_at": None,
        "accounted_until": until,
        "newest_minute": until,
        "minutes_landed": 0,
        "spooled_minutes": 0,
        "spooled_bytes": 0,
        "clock_offset_ms": 0.0,
        "exchange_at": NOW,
    }
    (found,) = assess_collector([row], NOW)
    return found.message


def test_only_hyperliquid_forgets() -> None:
    assert forgets_after("BTC") == forgets_after("ETH.HYPERLIQUID") == timedelta(minutes=5_000)
    assert forgets_after("BTCUSDT.BINANCE") is None
    assert "the exchange forgets them at 83 h" in message("BTC", timedelta(hours=61))


@pytest.mark.parametrize("symbol", ["BTCUSDT.BINANCE", "BTCUSDT.BINANCE_UM", "BTCUSDT.BYBIT", "BTCUSD.MINE"])
def test_a_venue_that_forgets_nothing_warns_of_nothing_and_names_the_download(symbol: str) -> None:
    assert "missing" not in message(symbol, timedelta(hours=90))
    assert "download" not in message(symbol, timedelta(days=13))
    words = f"the collector asks for the newest 14 days: btc-pipeline download --symbol {symbol} fetches older ones"
    assert message(symbol, timedelta(days=15)).endswith(words)
