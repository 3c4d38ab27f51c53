"""Runs beside a collector: what the lane asks for is launched; a day that was lost comes back from its venue."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import dagster as dg
import numpy as np
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget, create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.sensor import execute_sensor_iteration

from btc_pipeline.exchanges.base import Coin, History, Minute, VenueUnavailableError
from btc_pipeline.market.candles import Candles, Scale
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.times import to_date, to_datetime
from btc_pipeline_tests.cli.environment import database_variables
from btc_pipeline_tests.defs.worlds import OTHER, made_minutes, metadata_of, run, store

SYMBOL = "BTC"
IN_THIS_PROCESS = {
    "module": "dagster._core.launcher.sync_in_memory_run_launcher",
    "class": "SyncInMemoryRunLauncher",
}


class Venue:
    """A venue's REST that has some minutes, or is away; it remembers what it was asked."""

    venue = "HYPERLIQUID"
    retention_minutes = 5_000

    def __init__(self, minutes: Candles) -> None:
        self.minutes = minutes
        self.away = False
        self.asked: list[tuple[int, int]] = []

    def __call__(self, settings: object, venue: str, clock: object) -> Venue | None:
        return self if venue == self.venue else None

    async def coins(self) -> dict[str, Coin]:
        return {"BTC": Coin("BTC", Scale(2, 3))}

    async def history(self, coin: str, start: int, end: int) -> History:
        if self.away:
            raise VenueUnavailableError("the exchange does not answer")
        self.asked.append((start, end))
        return History(self._rows(start, end))

    def _rows(self, start: int, end: int) -> Sequence[Minute]:
        m = self.minutes
        return [
            Minute(int(m.time[at]), m.open[at], m.high[at], m.low[at], m.close[at], m.volume[at], decimals=Scale(2, 3))
            for at in np.flatnonzero((m.time >= start) & (m.time < end))
        ]

    async def time(self) -> float:
        if self.away:
            raise VenueUnavailableError("the exchange does not answer")
        return time.time()

    async def close(self) -> None:
        pass


@pytest.fixture
def today() -> int:
    return int(time.time()) // 86_400


@pytest.fixture
def venue(database: Database, own_settings: None, today: int, monkeypatch: pytest.MonkeyPatch) -> Venue:
    """Three days of a symbol up to now, stored; and its venue, which has them, too."""
    os.environ.update(database_variables(database.uri))
    minutes = made_minutes(today - 2, 3)
    minutes = minutes.take(minutes.time < int(time.time()) // 60)
    store(database, SYMBOL, minutes)
    store(database, OTHER, made_minutes(today - 2, 1))
    venue = Venue(minutes)
    monkeypatch.setattr("btc_pipeline.pipeline.repair.rest_client", venue)
    return venue


def rows(database: Database) -> list[tuple[object, ...]]:
    with database.rows() as connection:
        found = connection.execute(
            "SELECT symbol, interval, time, open, high, low, close, volume, minutes, usable FROM candles "
            "WHERE symbol = 'BTC' ORDER BY 2, 3"
        ).fetchall()
    return [tuple(row.values()) for row in found]


def lose(database: Database, day: int) -> None:
    """As a user does who deletes a day's minutes, and tells nobody."""
    with database.rows() as connection:
        connection.execute(
            "DELETE FROM candles WHERE symbol = 'BTC' AND interval = '1m' AND time >= %s AND time < %s",
            (to_datetime(day * 1440), to_datetime((day + 1) * 1440)),
        )


def test_a_day_that_was_lost_is_restored_by_its_backfill(
    database: Database, venue: Venue, instance: dg.DagsterInstance, today: int
) -> None:
    assert run(instance, range(today - 2, today + 1)).success
    before = rows(database)
    assert venue.asked == [], "nothing was missing"
    lose(database, today - 1)
    assert rows(database) != before

    result = run(instance, range(today - 1, today), assets=["candles_1m"])
    assert result.success
    assert rows(database) == before
    assert len(venue.asked) >= 1
    told = metadata_of(result)["candles_1m"]
    assert told["repair/BTC"] == "1,440 of 1,440 missing minutes filled or explained"
    assert f"repair/{OTHER}" not in told

    # All is as it was: nothing downstream has to be made again.
    again = metadata_of(run(instance, range(today - 2, today)))
    assert {name: values["days_written"] for name, values in again.items()} == dict.fromkeys(again, 0)


def test_what_the_venue_has_not_is_said(
    database: Database, venue: Venue, instance: dg.DagsterInstance, today: int
) -> None:
    lose(database, today - 1)
    hole = range((today - 1) * 1440 + 60, (today - 1) * 1440 + 90)
    venue.minutes = venue.minutes.take(~np.isin(venue.minutes.time, list(hole)))
    result = run(instance, range(today - 1, today), assets=["candles_1m"])
    told = str(metadata_of(result)["candles_1m"]["repair/BTC"])
    assert told.startswith("1,410 of 1,440 missing minutes filled or explained; 30 left in 1 gaps: ")
    assert f"{to_datetime(hole.start):%Y-%m-%d %H:%M} 30m (" in told


def test_a_venue_that_is_away_is_a_warning(
    database: Database, venue: Venue, instance: dg.DagsterInstance, today: int
) -> None:
    lose(database, today - 1)
    venue.away = True
    result = run(instance, range(today - 1, today), assets=["candles_1m"])
    assert result.success
    told = metadata_of(result)["candles_1m"]
    assert told["repair/BTC"] == "HYPERLIQUID could not be asked: the exchange does not answer"


def test_days_that_no_venue_has_any_more_are_not_asked_for(
    database: Database, venue: Venue, instance: dg.DagsterInstance, today: int
) -> None:
    store(database, SYMBOL, made_minutes(today - 40, 1, without=range((today - 40) * 1440, (today - 40) * 1440 + 9)))
    assert run(instance, range(today - 41, today - 30), assets=["candles_1m"]).success
    assert venue.asked == []


@contextmanager
def daemon() -> Iterator[tuple[dg.DagsterInstance, Callable[[], None]]]:
    """An instance, and one look of its daemon at the sensors and at the queue."""
    target = InProcessTestWorkspaceLoadTarget(
        InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="btc_pipeline.definitions"))
    )
    with (
        dg.instance_for_test(overrides={"run_launcher": IN_THIS_PROCESS}) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):

        def look() -> None:
            list(execute_sensor_iteration(workspace, logging.getLogger("dagster.sensor"), None, None))
            for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])):
                instance.launch_run(run.run_id, workspace.create_request_context())

        yield instance, look


def test_what_the_lane_asks_for_is_run_and_the_venue_is_left_to_the_collector(
    database: Database, venue: Venue, today: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[Mapping[str, str]] = []
    monkeypatch.setattr("btc_pipeline.defs.assets.wait_for_close", lambda _, tags: waited.append(tags))
    lose(database, today - 1)
    with daemon() as (instance, look):
        look()
        (live,) = instance.get_runs()
        assert live.status == dg.DagsterRunStatus.SUCCESS
        assert live.tags["btc_pipeline/lane"] == "live"
        assert live.tags["dagster/sensor_name"] == "live_lane"
        check = dg.AssetCheckKey(dg.AssetKey("candles_1m"), "collector_health")
        history = instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
        assert {one.run_id for one in history} == {live.run_id, ""}, "the run's own, and the watch's outside of runs"
        made = instance.get_materialized_partitions(dg.AssetKey("decisions_37m"))
        assert to_date(today - 2).isoformat() in made
    assert len(waited) == 1
    assert venue.asked == []
