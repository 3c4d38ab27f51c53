"""The average price by volume: exact where every minute of a bar has a quote volume, null elsewhere."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from starlette.testclient import TestClient

from btc_pipeline.market.candles import to_ticks
from btc_pipeline.storage.times import to_datetime
from btc_pipeline_tests.api.conftest import START, SYMBOL, YOUNG, young_minutes

CANDLES = "/api/v1/candles"
BULK = "/api/v1/candles/bulk"


def told(client: TestClient, address: str, **parameters: object) -> Any:
    answer = client.get(address, params={"symbol": YOUNG, **parameters})  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return answer.json()


def by_hand(interval_minutes: int) -> dict[str, float | None]:
    """By open time."""
    minutes = young_minutes()
    columns = (minutes.time, minutes.quiet_minutes, minutes.quote_volume, minutes.volume)
    bars: dict[int, list[tuple[float, float]]] = {}
    for time, quiet, quote, volume in zip(*(column.tolist() for column in columns), strict=True):
        if not quiet or interval_minutes == 1:
            bars.setdefault(time // interval_minutes * interval_minutes, []).append((quote, volume))
    found: dict[str, float | None] = {}
    for time, rows in bars.items():
        known = all(quote == quote for quote, _ in rows)
        quote = float(sum(Fraction(int(to_ticks(q, 5)), 10**5) for q, _ in rows)) if known else None  # type: ignore[arg-type]
        volume = float(sum(Fraction(int(to_ticks(v, 3)), 1000) for _, v in rows))  # type: ignore[arg-type]
        moment = to_datetime(time).isoformat().replace("+00:00", "Z")
        found[moment] = None if quote is None or not volume else quote / volume
    return found


@pytest.mark.parametrize(("interval", "minutes"), [("1m", 1), ("37m", 37), ("2h", 120)])
def test_bars_have_the_average_price_of_their_sums(client: TestClient, interval: str, minutes: int) -> None:
    start = to_datetime(START - START % minutes).isoformat()
    rows = told(client, CANDLES, interval=interval, start=start)["data"]
    expected = by_hand(minutes)
    assert {row["time"]: row["vwap"] for row in rows} == expected
    assert {value is None for value in expected.values()} == {True, False}
    assert all(row["vwap"] is None or row["low"] <= row["vwap"] <= row["high"] for row in rows if minutes > 1)


def test_it_can_be_had_without_the_columns_that_it_is_made_of(client: TestClient) -> None:
    for interval, minutes in (("1m", 1), ("37m", 37)):
        content = told(client, BULK, interval=interval, columns="vwap")
        assert list(content["data"]) == ["vwap"]
        assert content["data"]["vwap"] == list(by_hand(minutes).values())


def test_the_latest_bars_have_it_and_a_venue_that_tells_no_quote_volume_has_none(client: TestClient) -> None:
    latest = told(client, f"{CANDLES}/latest", interval="37m")
    for bar in (latest["closed"], latest["forming"]):
        assert bar is None or bar["vwap"] == bar["quote_volume"] / bar["volume"]
    rows = told(client, CANDLES, symbol=SYMBOL, interval="37m", fill="true")["data"]
    assert {row["vwap"] for row in rows} == {None}
