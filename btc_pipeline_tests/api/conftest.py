"""A database with ten days and ten minutes of made-up candles, and a client of the API on it.

The minutes of `BTCUSD.BITFINEX` have quiet ones, a short vouched hole, and an unknown hole of two days; its first nine
days are materialised. `BTCUSDT.BINANCE` has six hours, in the last five quote volumes, and nothing materialised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import numpy as np
import psycopg.conninfo
import pytest
from starlette.testclient import TestClient

import api.launching
from api.app import create_app
from btc_pipeline.market.candles import Candles, Scale, minute_candles
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline.storage.times import to_day, to_minute
from btc_pipeline.storage.vouched import replace_vouched
from btc_pipeline_tests.api.fake_dagster import FakeDagster
from btc_pipeline_tests.databases import migrated_database

SYMBOL = "BTCUSD.BITFINEX"
YOUNG = "BTCUSDT.BINANCE"
START = to_minute(datetime(2016, 1, 1, tzinfo=UTC))
DAYS = 10
MATERIALIZED_DAYS = 9
VOUCHED = range(START + 700, START + 720)
MISSING = range(START + 4 * 1440 + 100, START + 6 * 1440 + 100)
MINUTES = DAYS * 1440 + 10
NOW = START + MINUTES + 3


def settings_for(database: Database, **more: object) -> Settings:
    """Settings that lead to a database."""
    parts = psycopg.conninfo.conninfo_to_dict(database.uri)
    return Settings(
        db_host=str(parts["host"]),
        db_port=int(parts.get("port") or 5432),
        db_name=str(parts["dbname"]),
        db_user=str(parts["user"]),
        db_password=str(parts.get("password") or ""),
        strategies_folder=Path("/nonexistent"),
        **more,  # type: ignore[arg-type]
    )


def made_minutes(start: int, count: int) -> Candles:
    """A random walk in cents; every seventh minute is quiet."""
    random = np.random.default_rng(7)
    close = (40_000 + np.cumsum(random.integers(-30, 31, count))) / 100
    open_ = np.concatenate((close[:1], close[:-1]))
    spread = random.integers(0, 20, count) / 100
    high, low = np.round(np.maximum(open_, close) + spread, 2), np.round(np.minimum(open_, close) - spread, 2)
    volume = random.integers(1, 10_000, count) / 1000
    time = np.arange(start, start + count)
    quiet = time % 7 == 0
    for column in (open_, high, low, close):
        column[quiet] = 400.0
    volume[quiet] = 0.0
    keep = ~np.isin(time, [*VOUCHED, *MISSING])
    return minute_candles(Scale(2, 3), time, (open_, high, low, close), volume).take(keep)


def young_minutes() -> Candles:
    """Six hours, with quote volumes from the second one on."""
    minutes = made_minutes(START, 360)
    known = minutes.time >= START + 60
    return replace(minutes, quote_volume=np.where(known, np.round(minutes.volume * minutes.close, 5), np.nan))


def fill(database: Database) -> None:
    """Writes the minutes, and materialises all days but the last."""
    settings = settings_for(database)
    with database.arrow() as cursor:
        instrument = upsert_instrument(cursor, SYMBOL, Scale(2, 3))
        write_minutes(cursor, SYMBOL, made_minutes(START, MINUTES), status="confirmed", reason="test")
        vouched = np.arange(VOUCHED.start, VOUCHED.stop)
        replace_vouched(cursor, SYMBOL, vouched, np.unique(vouched // 1440), source="test")
        upsert_instrument(cursor, YOUNG, Scale(2, 3))
        write_minutes(cursor, YOUNG, young_minutes(), status="confirmed", reason="test")
    first = to_day(date(2016, 1, 1))
    chain = Chain(database, build_catalogue(settings), settings.rule)
    chain.refresh(instrument, range(first, first + MATERIALIZED_DAYS), NOW)
    with database.rows() as connection:
        connection.execute(
            "UPDATE partition_digests SET touched_at = now() - interval '2 hours' WHERE touched_at < now()"
        )


@pytest.fixture(scope="session")
def filled(server_uri: str, template: str) -> Iterator[Database]:
    """The database above. Tests only read it."""
    with migrated_database(server_uri, template) as database:
        fill(database)
        yield database


@pytest.fixture(scope="session")
def client(filled: Database) -> Iterator[TestClient]:
    """The API on that database; the time is three minutes after its last one."""
    patch = pytest.MonkeyPatch()
    patch.setattr("api.context.Context.now", lambda _: NOW)
    # Nobody listens there: no test may launch something in a Dagster that somebody needs.
    settings = settings_for(filled, dagster_url="http://127.0.0.1:1")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
    patch.undo()


@pytest.fixture(scope="module")
def stored(server_uri: str, template: str) -> Iterator[Database]:
    with migrated_database(server_uri, template) as database:
        fill(database)
        yield database


@pytest.fixture
def dagster(monkeypatch: pytest.MonkeyPatch) -> FakeDagster:
    fake = FakeDagster()
    original = httpx.AsyncClient
    monkeypatch.setattr(
        api.launching.httpx, "AsyncClient", lambda **options: original(**{**options, "transport": fake.transport()})
    )
    return fake


@pytest.fixture
def web(stored: Database, dagster: FakeDagster, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API on a database without runs."""
    with stored.rows() as connection:
        connection.execute("DELETE FROM backtest_runs")
        connection.execute("DELETE FROM decisions WHERE backtest_id IS NOT NULL")
    monkeypatch.setattr("api.context.Context.now", lambda _: NOW)
    with TestClient(create_app(settings_for(stored)), raise_server_exceptions=False) as client:
        yield client
