"""`/candles`, `/candles/latest`: stored bars, bars made on the spot, pages, labels, filling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from api.schemas import CandlesPage, LatestCandle
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage import queries
from btc_pipeline.storage.times import to_datetime, to_minute
from btc_pipeline_tests.api.conftest import (
    MATERIALIZED_DAYS,
    MINUTES,
    MISSING,
    NOW,
    START,
    SYMBOL,
    VOUCHED,
    YOUNG,
    made_minutes,
)

CANDLES = "/api/v1/candles"
INTERVALS = ["1m", "3m", "37m", "41m", "148m", "1d", "1w", "1M", "1440m"]


def get(client: TestClient, path: str = CANDLES, **parameters: object) -> dict[str, Any]:
    answer = client.get(path, params=parameters)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    if path == CANDLES:
        CandlesPage.model_validate(content)
    return content


def every_page(client: TestClient, direction: str, **parameters: object) -> list[dict[str, Any]]:
    """All rows, following links."""
    page = get(client, **parameters)
    rows: list[dict[str, Any]] = page["data"]
    while page[direction]:
        answer = client.get(page[direction])
        assert answer.status_code == 200, answer.text
        page = answer.json()
        rows = rows + page["data"] if direction == "next" else page["data"] + rows
    return rows


def expected(interval: str) -> Candles:
    """What the resampler makes of all the minutes."""
    chosen = Interval.parse(interval)
    minutes = made_minutes(START, MINUTES)
    if interval == "1m":
        return minutes
    slots = range(chosen.slot(START), chosen.slot(START + MINUTES - 1) + 1)
    return resample(minutes, chosen, slots, vouched=Spans.of([(VOUCHED.start, VOUCHED.stop)]))


def parsed(text: str) -> int:
    return to_minute(datetime.fromisoformat(text))


@pytest.mark.parametrize("interval", INTERVALS)
def test_bars_equal_the_resampler_wherever_they_come_from(client: TestClient, interval: str) -> None:
    bars = expected(interval)
    rows = get(client, symbol=SYMBOL, interval=interval, start="2015-01-01", limit=10_000)["data"][: len(bars)]
    if interval == "1m":
        rows = every_page(client, "next", symbol=SYMBOL, interval=interval, start="2015-01-01", limit=5000)
    assert [parsed(row["time"]) for row in rows] == bars.time.tolist()
    for name in ("open", "high", "low", "close", "volume", "minutes", "quiet_minutes", "expected_minutes", "usable"):
        assert [row[name] for row in rows] == getattr(bars, name).tolist(), name
    assert {row["quote_volume"] for row in rows} == {row["trades"] for row in rows} == {None}
    assert [row["forming"] for row in rows] == (bars.close_time > NOW).tolist()


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize(("limit", "end"), [(1, "2016-01-01T12:00"), (7, "2016-01-02"), (100, "2016-02-01")])
def test_pages_put_together_are_the_whole_in_both_directions(
    client: TestClient, interval: str, limit: int, end: str
) -> None:
    window = {"symbol": SYMBOL, "interval": interval, "end": end}
    whole = every_page(client, "next", **window, start="2015-01-01", limit=10_000)
    assert every_page(client, "next", **window, start="2015-01-01", limit=limit) == whole
    assert every_page(client, "previous", **window, limit=limit) == whole


def test_without_a_start_come_the_newest_bars_before_the_end(client: TestClient) -> None:
    page = get(client, symbol=SYMBOL, interval="37m", end="2016-01-03", limit=3)
    times = [datetime.fromisoformat(row["time"]) for row in page["data"]]
    assert times == sorted(times)
    assert datetime(2016, 1, 2, 22, tzinfo=UTC) < times[-1] < datetime(2016, 1, 3, tzinfo=UTC)
    assert page["next"] is None
    assert page["previous"] is not None


def test_bars_behind_the_last_stored_one_are_made_and_marked(client: TestClient) -> None:
    rows = get(client, symbol=SYMBOL, interval="37m", limit=200)["data"]
    last_day = START + MATERIALIZED_DAYS * 1440
    assert {row["materialized"] for row in rows if parsed(row["time"]) + 37 <= last_day} == {True}
    assert {row["materialized"] for row in rows if parsed(row["time"]) + 37 > last_day} == {False}
    assert [row["forming"] for row in rows[-2:]] == [False, True]
    assert {row["materialized"] for row in get(client, symbol=SYMBOL, interval="41m")["data"]} == {False}
    assert {row["materialized"] for row in get(client, symbol=SYMBOL, interval="1m")["data"]} == {True}
    assert {row["materialized"] for row in get(client, symbol=YOUNG, interval="37m")["data"]} == {False}


def test_a_hole_is_passed_over_by_bars_made_on_the_spot(client: TestClient) -> None:
    start = to_datetime(MISSING.start + 50).isoformat()
    rows = get(client, symbol=SYMBOL, interval="41m", start=start, limit=2)["data"]
    assert [parsed(row["time"]) >= MISSING.stop - 41 for row in rows] == [True, True]


@pytest.mark.parametrize("interval", ["37m", "41m", "1d", "1w", "1M"])
def test_right_alignment_names_the_same_bars_by_their_close(client: TestClient, interval: str) -> None:
    left = get(client, symbol=SYMBOL, interval=interval, start="2016-01-01")["data"]
    right = get(client, symbol=SYMBOL, interval=interval, start="2016-01-01", align="right")["data"]
    chosen = Interval.parse(interval)
    closes = [to_datetime(chosen.close(chosen.slot(parsed(row["time"])))) for row in left]
    assert [datetime.fromisoformat(row.pop("time")) for row in right] == closes
    assert right == [{name: value for name, value in row.items() if name != "time"} for row in left]


def test_times_may_be_spelt_in_several_ways(client: TestClient) -> None:
    spellings = ["2016-01-02", "2016-01-02T00:00Z", "2016-01-02 00:00", "2016-01-02T01:00+01:00", "1451692800000"]
    answers = [get(client, symbol=SYMBOL, interval="1h", start=text, limit=5)["data"] for text in spellings]
    unescaped = client.get(f"{CANDLES}?symbol={SYMBOL}&interval=1h&limit=5&start=2016-01-02T01:00+01:00").json()["data"]
    assert all(rows == answers[0] for rows in [*answers, unescaped])
    assert answers[0][0]["time"] == "2016-01-02T00:00:00Z"


def test_a_start_between_two_bars_gives_the_next_one(client: TestClient) -> None:
    rows = get(client, symbol=SYMBOL, interval="1h", start="2016-01-02T00:00:00.001", limit=1)["data"]
    assert rows[0]["time"] == "2016-01-02T01:00:00Z"
    assert get(client, symbol=SYMBOL, interval="1h", start="2016-01-02", end="2016-01-02T00:00:01")["count"] == 1


@pytest.mark.parametrize("interval", ["1m", "37m", "41m"])
def test_filling_shows_every_slot_once_flagged(client: TestClient, interval: str) -> None:
    start, end = to_datetime(MISSING.start - 100), to_datetime(MISSING.start + 1000)
    window = {"symbol": SYMBOL, "interval": interval, "start": start.isoformat(), "end": end.isoformat()}
    plain = every_page(client, "next", **window, limit=10_000)
    chosen = Interval.parse(interval)
    for limit in (17, 10_000):
        rows = every_page(client, "next", **window, limit=limit, fill=True)
        slots = [chosen.slot(parsed(row["time"])) for row in rows]
        assert slots == list(range(slots[0], slots[0] + len(slots)))
        assert chosen.open(slots[-1] + 1) >= to_minute(end)
        bars = [{k: v for k, v in row.items() if k != "filled"} for row in rows if not row["filled"]]
        assert bars == plain
        for before, row in pairwise(rows):
            if row["filled"]:
                assert {row[name] for name in ("open", "high", "low", "close")} == {before["close"]}
                assert (row["volume"], row["minutes"], row["usable"]) == (0, None, False)


def test_filling_starts_from_the_bar_before_a_page_that_begins_in_a_hole(client: TestClient) -> None:
    start = to_datetime(MISSING.start + 300)
    before = get(client, symbol=SYMBOL, interval="37m", end=start.isoformat(), limit=1)["data"][0]
    row = get(client, symbol=SYMBOL, interval="37m", start=start.isoformat(), limit=1, fill="true")["data"][0]
    assert row["filled"]
    assert row["close"] == before["close"]
    newest = get(client, symbol=SYMBOL, interval="37m", end=start.isoformat(), limit=4, fill="true")
    assert [row["filled"] for row in newest["data"]][-1]
    assert newest["count"] == 4
    assert newest["previous"]


def test_latest_is_the_last_closed_bar_and_the_forming_one(client: TestClient) -> None:
    page = get(client, f"{CANDLES}/latest", symbol=SYMBOL, interval="37m")
    LatestCandle.model_validate(page)
    assert page["forming"]["forming"]
    assert datetime.fromisoformat(page["forming"]["time"]) - datetime.fromisoformat(
        page["closed"]["time"]
    ) == timedelta(minutes=37)
    assert page["age_seconds"] == 180
    assert get(client, f"{CANDLES}/latest", symbol=SYMBOL)["closed"]["time"] == page["last_minute"]


def test_an_alias_finds_its_symbol_or_says_what_it_stands_for(client: TestClient) -> None:
    answer = client.get(CANDLES, params={"symbol": "cbBTC", "interval": "1h"})
    assert answer.status_code == 404
    assert "stored: BTCUSD.BITFINEX" in answer.json()["detail"][0]["message"]


def test_more_source_minutes_than_the_limit_are_refused_in_words(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MAX_SOURCE_MINUTES", 5_000)
    for path in (CANDLES, f"{CANDLES}/bulk", "/api/v1/export/csv"):
        answer = client.get(path, params={"symbol": SYMBOL, "interval": "41m"})
        assert answer.status_code == 422
        assert "more than the limit of 5,000" in answer.json()["detail"][0]["message"]
    assert get(client, symbol=SYMBOL, interval="41m", limit=50)["count"] == 50


def test_prices_are_the_shortest_text_that_reads_back(client: TestClient) -> None:
    text = client.get(CANDLES, params={"symbol": SYMBOL, "interval": "1m", "start": "2016-01-01", "limit": 50}).text
    closes = [repr(value) for value in made_minutes(START, 50).close.tolist()]
    assert all(f'"close":{value},' in text for value in closes)
    assert np.isfinite([float(value) for value in closes]).all()
