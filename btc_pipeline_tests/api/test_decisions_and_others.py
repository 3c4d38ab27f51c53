"""`/decisions`, `/indicators`, `/data-quality`, `/stats`, `/health`, `/strategies`, `/instruments`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from api import schemas
from api.app import create_app
from api.health_schemas import Health
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.times import to_datetime
from btc_pipeline_tests.api.conftest import (
    MATERIALIZED_DAYS,
    MINUTES,
    MISSING,
    NOW,
    START,
    SYMBOL,
    VOUCHED,
    made_minutes,
    settings_for,
)
from btc_pipeline_tests.databases import migrated_database

API = "/api/v1"
LOG_START = datetime(2020, 1, 1, tzinfo=UTC)


def get(client: TestClient, path: str, **parameters: object) -> dict[str, Any]:
    answer = client.get(f"{API}/{path}", params=parameters)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def pages(client: TestClient, direction: str, path: str, **parameters: object) -> list[dict[str, Any]]:
    page = get(client, path, **parameters)
    rows: list[dict[str, Any]] = page["data"]
    while page[direction]:
        page = client.get(page[direction]).json()
        assert page["count"]
        rows = rows + page["data"] if direction == "next" else page["data"] + rows
    return rows


@pytest.mark.parametrize("path", ["decisions", "indicators"])
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_do_not_lose_rows_that_share_a_time(client: TestClient, path: str, limit: int) -> None:
    window = {"symbol": SYMBOL, "interval": "37m", "end": "2016-01-03T06:00"}
    whole = get(client, path, **window, start="2016-01-02T12:00", limit=10_000)["data"]
    assert len({row["time"] for row in whole}) == 29
    assert pages(client, "next", path, **window, start="2016-01-02T12:00", limit=limit) == whole
    everything = get(client, path, **window, start="2015-01-01", limit=10_000)["data"]
    if limit > 2:
        assert pages(client, "previous", path, **window, limit=limit) == everything
    assert get(client, path, **window, limit=limit)["data"] == everything[-limit:]


def test_decisions_and_indicators_are_described_and_typed(client: TestClient) -> None:
    page = schemas.DecisionsPage.model_validate(
        get(client, "decisions", symbol=SYMBOL, interval="37m", strategy="ma44")
    )
    assert {one.strategy for one in page.data} == {"ma44"}
    assert page.data[0].parameters == {"period": 44}
    values = schemas.IndicatorsPage.model_validate(
        get(client, "indicators", symbol=SYMBOL, interval="37m", name="ma44")
    )
    assert set(values.definitions) == {"ma44"}
    assert values.definitions["ma44"].indicator == "sma"
    right = get(client, "decisions", symbol=SYMBOL, interval="37m", strategy="ma44", align="right")
    assert datetime.fromisoformat(right["data"][0]["time"]) == page.data[0].time + timedelta(minutes=37)


@pytest.fixture
def log(database: Database) -> Iterator[TestClient]:
    """Three bars of `ma44`: revised, withdrawn, withdrawn and back; and one bar of `ma` with other parameters."""
    rows = [
        (0, "ma44", '{"period": 44}', 1, False, 1, 0),
        (0, "ma44", '{"period": 44}', 2, False, -1, 60),
        (1, "ma44", '{"period": 44}', 1, False, 1, 0),
        (1, "ma44", '{"period": 44}', 2, True, None, 60),
        (2, "ma44", '{"period": 44}', 1, False, 1, 0),
        (2, "ma44", '{"period": 44}', 2, True, None, 60),
        (2, "ma44", '{"period": 44}', 3, False, 0, 120),
        (2, "ma", '{"period": 9}', 1, False, 1, 0),
        (2, "ma", '{"period": 20}', 1, False, -1, 30),
    ]
    with database.arrow() as cursor:
        upsert_instrument(cursor, SYMBOL, settings_scale())
    with database.rows() as connection:
        connection.execute(
            "INSERT INTO candles (time, symbol, interval, open, high, low, close, volume, minutes, quiet_minutes, "
            "expected_minutes, usable, status) VALUES (%s, %s, '1m', 1, 1, 1, 1, 1, 1, 0, 1, true, 'confirmed')",
            (LOG_START, SYMBOL),
        )
        for slot, strategy, parameters, version, withdrawn, target, minutes in rows:
            connection.execute(
                "INSERT INTO decisions (time, symbol, interval, strategy, parameters, version, withdrawn, target, "
                "type, confidence, reasons, indicator_snapshot, input_digest, origin, recorded_at) "
                "VALUES (%s, %s, '37m', %s, %s, %s, %s, %s, 'HOLD', 0, '{}', '{}', '', 'backfill', %s)",
                (
                    LOG_START + timedelta(minutes=37 * slot),
                    SYMBOL,
                    strategy,
                    parameters,
                    version,
                    withdrawn,
                    target,
                    LOG_START + timedelta(days=1, minutes=minutes),
                ),
            )
    with TestClient(create_app(settings_for(database)), raise_server_exceptions=False) as client:
        yield client


def settings_scale() -> Any:
    from btc_pipeline.market.candles import Scale

    return Scale(2, 3)


def known(client: TestClient, minutes: int | None, **more: object) -> list[tuple[int, str, int, int, int | None]]:
    """(slot, strategy, period, version, target) of the decisions as known so many minutes after the first."""
    when = {} if minutes is None else {"as_of": (LOG_START + timedelta(days=1, minutes=minutes)).isoformat()}
    rows = get(client, "decisions", symbol=SYMBOL, interval="37m", start="2020-01-01", **when, **more)["data"]
    return [
        (
            (datetime.fromisoformat(row["time"]) - LOG_START) // timedelta(minutes=37),
            row["strategy"],
            row["parameters"]["period"],
            row["version"],
            row["target"],
        )
        for row in rows
    ]


def test_decisions_are_shown_as_they_were_known(log: TestClient) -> None:
    others = [(2, "ma", 9, 1, 1), (2, "ma", 20, 1, -1)]
    assert known(log, -1) == []
    assert known(log, 0) == [(0, "ma44", 44, 1, 1), (1, "ma44", 44, 1, 1), others[0], (2, "ma44", 44, 1, 1)]
    assert known(log, 59, strategy="ma44") == [(slot, "ma44", 44, 1, 1) for slot in range(3)]
    assert known(log, 60) == [(0, "ma44", 44, 2, -1), *others]
    assert known(log, None) == [(0, "ma44", 44, 2, -1), *others, (2, "ma44", 44, 3, 0)]
    assert known(log, None) == known(log, 120)


def test_every_version_can_be_read_with_its_withdrawals(log: TestClient) -> None:
    assert len(known(log, None, versions="all")) == 9
    assert known(log, 60, versions="all", strategy="ma44")[2:4] == [(1, "ma44", 44, 1, 1), (1, "ma44", 44, 2, None)]
    for limit in (1, 2, 4):
        rows = pages(
            log, "next", "decisions", symbol=SYMBOL, interval="37m", start="2020-01-01", versions="all", limit=limit
        )
        assert [row["version"] for row in rows if row["strategy"] == "ma44"] == [1, 2, 1, 2, 1, 2, 3]
        assert len(rows) == 9


def test_gaps_cut_at_midnight_are_shown_whole(client: TestClient) -> None:
    page = schemas.QualityPage.model_validate(get(client, "data-quality", symbol=SYMBOL, kind="gap"))
    gap = page.data[0]
    assert (gap.start_time, gap.end_time) == (to_datetime(MISSING.start), to_datetime(MISSING.stop))
    assert (gap.minutes, len(gap.ids), gap.resolved) == (len(MISSING), 3, False)
    assert get(client, "data-quality", symbol=SYMBOL, start="2016-01-06")["count"] == 0
    assert get(client, "data-quality", kind="failure")["count"] == 0
    assert get(client, "data-quality", resolved="true")["count"] == 0
    assert get(client, "data-quality", resolved="all")["count"] == len(page.data)


def test_problems_without_a_time_are_paged_by_when_they_were_found(database: Database) -> None:
    with database.rows() as connection:
        for number in range(7):
            connection.execute(
                "INSERT INTO data_quality (kind, symbol, reason, payload, detected_at) "
                "VALUES ('rejected_row', 'BTC', %s, '{\"row\": [1]}', '2020-01-01Z')",
                (str(number),),
            )
    with TestClient(create_app(settings_for(database))) as client:
        rows = pages(client, "next", "data-quality", start="2019-01-01", limit=2)
        assert [row["reason"] for row in rows] == list("0123456")
        assert rows[0]["payload"] == {"row": [1]}
        assert pages(client, "previous", "data-quality", limit=2) == rows


def test_stats_are_of_the_day_up_to_the_last_stored_minute(client: TestClient) -> None:
    stats = schemas.Stats.model_validate(get(client, "stats", symbol=SYMBOL))
    end = START + MINUTES
    assert (stats.window_start, stats.window_end) == (to_datetime(end - 1440), to_datetime(end))
    minutes = made_minutes(START, MINUTES).between(end - 1440, end)
    traded = minutes.take(minutes.quiet_minutes == 0)
    assert (stats.open, stats.close) == (traded.open[0], traded.close[-1])
    assert (stats.high, stats.low) == (traded.high.max(), traded.low.min())
    assert stats.volume == round(float(np.sum(traded.volume)), 3)
    assert (stats.minutes, stats.quiet_minutes, stats.missing_minutes) == (1440, 1440 - len(traded), 0)
    assert stats.change == pytest.approx(traded.close[-1] - traded.open[0], abs=1e-9)


def test_stats_of_less_than_a_day_count_what_is_missing(client: TestClient) -> None:
    stats = schemas.Stats.model_validate(get(client, "stats", symbol="BTCUSDT.BINANCE"))
    assert (stats.minutes, stats.missing_minutes) == (360, 1080)


def test_health_names_what_is_wrong(client: TestClient) -> None:
    health = Health.model_validate(get(client, "health"))
    assert health.status == "degraded"
    one = next(symbol for symbol in health.symbols if symbol.symbol == SYMBOL)
    assert one.touched_days == one.neglected_days == 11 - MATERIALIZED_DAYS
    assert one.missing_minutes == len(MISSING)
    assert one.problems == [
        "2 days changed and are not materialised since",
        f"{one.recent_open_gaps} open gaps in the last seven days of its data",
    ]
    assert one.age_seconds is not None
    assert (one.collector, one.feed, one.readiness) == (None, None, [])
    assert one.last_decision is not None
    newest = get(client, "decisions", symbol=SYMBOL, interval="37m", limit=1)["data"][0]
    assert one.last_decision.decided_at >= datetime.fromisoformat(newest["time"]) + timedelta(minutes=37)


def test_strategies_and_instruments_are_described(client: TestClient) -> None:
    strategies = schemas.Strategies.model_validate(get(client, "strategies"))
    by_name = {one.name: one for one in strategies.data}
    assert [(p.name, p.type, p.low, p.high) for p in by_name["ma"].parameters] == [("period", "int", 5, 500)]
    assert {one.interval for one in by_name["ma44"].configured} == {"37m", "148m", "1d"}
    instruments = schemas.Instruments.model_validate(get(client, "instruments"))
    assert [one.symbol for one in instruments.data] == [SYMBOL, "BTCUSDT.BINANCE"]
    assert instruments.data[0].last_minute == to_datetime(NOW - 4)
    assert {"1m", "37m", "1M"} <= set(instruments.materialized_intervals)


def test_the_vouched_hole_counts_as_quiet_in_bars_made_on_the_spot(client: TestClient) -> None:
    interval = Interval.parse("41m")
    slot = interval.slot(VOUCHED.start)
    rows = get(client, "candles", symbol=SYMBOL, interval="41m", start=to_datetime(interval.open(slot)).isoformat())[
        "data"
    ]
    spans = Spans.of([(VOUCHED.start, VOUCHED.stop)])
    bars = resample(made_minutes(START, MINUTES), interval, range(slot, slot + 1), vouched=spans)
    assert (rows[0]["minutes"], rows[0]["quiet_minutes"]) == (41, int(bars.quiet_minutes[0]))


def test_an_external_database_is_migrated_by_whoever_comes_first(server_uri: str) -> None:
    with migrated_database(server_uri) as database, TestClient(create_app(settings_for(database))) as client:
        assert get(client, "health")["status"] == "ok"
