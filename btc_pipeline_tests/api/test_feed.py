"""What is live: the collector in `/health`, and REPLAY wherever a number is shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.health_schemas import Health
from btc_pipeline.pipeline.health import assess_health, health_questions
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.health import read
from btc_pipeline_tests.api.conftest import SYMBOL, settings_for

API = "/api/v1"
NUMBERS = (
    f"candles?symbol={SYMBOL}&interval=37m",
    f"candles/latest?symbol={SYMBOL}&interval=37m",
    f"candles/bulk?symbol={SYMBOL}&interval=37m",
    f"indicators?symbol={SYMBOL}&interval=37m",
    f"decisions?symbol={SYMBOL}&interval=37m",
    f"stats?symbol={SYMBOL}",
    "instruments",
    "data-quality",
    "health",
)
EXPORT = f"{API}/export/csv?symbol={SYMBOL}&interval=37m"


@pytest.fixture(scope="module")
def replay(filled: Database) -> Iterator[TestClient]:
    """The API on that database, told that it holds a replay: the settings themselves would lead elsewhere."""
    settings = settings_for(filled).model_copy(update={"feed": "replay"})
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("path", NUMBERS)
def test_every_envelope_says_its_feed(client: TestClient, replay: TestClient, path: str) -> None:
    live, replayed = client.get(f"{API}/{path}"), replay.get(f"{API}/{path}")
    assert (live.json()["feed"], live.headers.get("X-Feed")) == ("live", None)
    assert (replayed.json()["feed"], replayed.headers["X-Feed"]) == ("replay", "REPLAY")


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/nowhere", f"{API}/candles", EXPORT])
def test_every_answer_of_a_replay_has_the_header(client: TestClient, replay: TestClient, path: str) -> None:
    assert replay.get(path).headers["X-Feed"] == "REPLAY"
    assert "X-Feed" not in client.get(path).headers


def test_a_known_answer_and_a_mistake_of_ours_have_the_header_too(
    replay: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = replay.get(f"{API}/instruments").headers["ETag"]
    again = replay.get(f"{API}/instruments", headers={"If-None-Match": tag})
    assert (again.status_code, again.headers["X-Feed"]) == (304, "REPLAY")
    monkeypatch.setattr("api.routers.health.assess_health", None)
    mistake = replay.get(f"{API}/health")
    assert (mistake.status_code, mistake.headers["X-Feed"]) == (500, "REPLAY")


def test_pages_and_files_of_a_replay_are_named_so(client: TestClient, replay: TestClient) -> None:
    assert replay.get("/").json()["name"] == "btc_pipeline (REPLAY)"
    assert "btc_pipeline (REPLAY)" in replay.get("/docs").text
    assert "REPLAY" not in client.get("/docs").text
    assert f'"REPLAY_{SYMBOL}_37m_candles.csv"' in replay.get(EXPORT).headers["Content-Disposition"]
    assert f'"{SYMBOL}_37m_candles.csv"' in client.get(EXPORT).headers["Content-Disposition"]


def test_an_arrow_stream_says_its_feed_in_its_schema(replay: TestClient) -> None:
    answer = replay.get(
        f"{API}/candles/bulk?symbol={SYMBOL}&interval=37m",
        headers={"Accept": "application/vnd.apache.arrow.stream"},
    )
    assert pa.ipc.open_stream(answer.content).schema.metadata[b"feed"] == b"replay"


def test_a_collector_that_hangs_is_told_as_on_the_command_line(database: Database) -> None:
    now = datetime.now(UTC)
    with database.rows() as connection:
        connection.execute("INSERT INTO instruments VALUES ('BTC', 'HYPERLIQUID', 'BTC', 1, 5, 8)")
        connection.execute(
            "INSERT INTO collector_state (symbol, feed, process, connection, message, started_at, heartbeat_at, "
            "accounted_until) VALUES ('BTC', 'live', 'nas/17', 'streaming', 'streaming', %s, %s, %s)",
            (now, now, now - timedelta(seconds=100)),
        )
    settings = settings_for(database)
    with TestClient(create_app(settings)) as client:
        health = Health.model_validate(client.get(f"{API}/health").json())
    (symbol,) = health.symbols
    assert health.status == "degraded"
    assert symbol.collector is not None
    assert (symbol.collector.healthy, symbol.collector.heartbeat_age_seconds < 60) == (False, True)
    assert "no minute was accounted for" in health.problems[0]
    assert [one.bars_missing for one in symbol.readiness] == [44, 44, 44, 125, 125, 125]
    same = assess_health(read(database, health_questions(settings)), settings, health.time)
    assert [one.reason for one in same.symbols[0].readiness] == [one.reason for one in symbol.readiness]
