"""The sensors: what the live lane asks for and when it does not, and what the watch tells of the collector."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from btc_pipeline.defs import lane, sensors
from btc_pipeline.defs.build import build_definitions
from btc_pipeline.defs.jobs import MATERIALIZE
from btc_pipeline.defs.lane import CLOSE_TAG, LIVE
from btc_pipeline.defs.partitions import partition_key, range_tags
from btc_pipeline.defs.processes import PROCESS_TAG, this_process
from btc_pipeline.defs.queue import LANE_TAG
from btc_pipeline.pipeline.live import GRACE_SECONDS, Watermark
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.times import to_datetime
from btc_pipeline_tests.cli.environment import database_variables
from btc_pipeline_tests.defs.worlds import OTHER, SYMBOL, made_minutes, run, store

CLOSE = 20_000 * 37 * 30
"""An epoch minute at which a 37m slot closes, in 2012; its day is `TODAY`."""
TODAY = (CLOSE - 1) // 1440
CHAIN = {"candles_1m", "candles_37m", "indicators_37m", "decisions_37m"}


class Clock:
    """The time that sensors and runs see, in seconds; waiting takes none."""

    def __init__(self) -> None:
        self.now = CLOSE * 60.0 + GRACE_SECONDS + 5
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (sensors, lane):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def live(database: Database, own_settings: None, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Two days of minutes up to the close, of a symbol that flows and of one that was imported long ago."""
    os.environ.update({**database_variables(database.uri), "BTC_PIPELINE_START_DATE": "2010-01-01"})
    minutes = made_minutes(TODAY - 1, 3)
    store(database, SYMBOL, minutes.take(minutes.time < CLOSE))
    store(database, OTHER, made_minutes(TODAY - 400, 1))
    return database


def sensor(name: str) -> dg.SensorDefinition:
    found = [one for one in build_definitions().sensors or [] if one.name == name]
    assert isinstance(found[0], dg.SensorDefinition)
    return found[0]


def tick(
    instance: dg.DagsterInstance, cursor: str | None = None, name: str = "live_lane"
) -> tuple[list[dg.RunRequest], str | None, str | None]:
    """What a tick asks for, the cursor after it, and why it skipped."""
    data = sensor(name).evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))
    return list(data.run_requests or []), data.cursor, data.skip_message


def asked(request: dg.RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


def settle(instance: dg.DagsterInstance) -> str | None:
    """Runs what is asked for, as the daemon would, until nothing is; the cursor after it."""
    cursor = None
    for _ in range(5):
        requests, cursor, _ = tick(instance, cursor)
        if not requests:
            return cursor
        execute(instance, requests[0])
    raise AssertionError("it never ends")


def execute(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    return (
        build_definitions()
        .resolve_job_def(MATERIALIZE)
        .execute_in_process(
            instance=instance,
            tags=dict(request.tags),
            asset_selection=list(request.asset_selection or ()),
            run_config={**request.run_config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    )


def made(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    """A live run of that status."""
    job = build_definitions().resolve_job_def(MATERIALIZE)
    return instance.create_run_for_job(
        job,
        status=status,
        tags={LANE_TAG: LIVE, **range_tags(range(TODAY, TODAY + 1)), **tags},
        asset_selection=frozenset({dg.AssetKey("decisions_37m")}),
    )


def test_the_lane_asks_for_what_is_due_as_one_run_of_its_lane(
    live: Database, instance: dg.DagsterInstance, clock: Clock
) -> None:
    (request,), cursor, _ = tick(instance)
    assert request.run_key is None, "one that failed must be asked for again"
    assert asked(request) == CHAIN | {"candles_other"}
    assert request.tags[LANE_TAG] == LIVE
    assert request.tags["dagster/asset_partition_range_start"] == partition_key(TODAY - 1)
    assert request.tags["dagster/asset_partition_range_end"] == partition_key(TODAY)
    assert "37m closed at" in request.tags["btc_pipeline/reason"]
    assert CLOSE_TAG not in request.tags, "it closed and had its grace"
    assert request.run_config["resources"]["pipeline"]["config"] == {"symbols": [SYMBOL]}
    assert Watermark.from_json(cursor).closes == CLOSE


def test_a_run_that_succeeded_leaves_nothing_due(live: Database, instance: dg.DagsterInstance, clock: Clock) -> None:
    cursor = settle(instance)
    requests, again, why = tick(instance, cursor)
    assert (requests, why) == ([], "nothing is due")
    assert again == cursor
    with live.rows() as connection:
        rows = connection.execute("SELECT count(*) AS n, max(time) AS last FROM candles WHERE interval = '37m'")
        found = rows.fetchone()
    assert found is not None
    assert found["last"] == to_datetime(CLOSE - 37)


def test_a_slot_is_asked_for_ahead_and_its_run_waits_for_the_last_minute(
    live: Database, instance: dg.DagsterInstance, clock: Clock
) -> None:
    cursor = settle(instance)
    close = CLOSE + 37
    minutes = made_minutes(TODAY - 1, 3)
    store_quietly(live, minutes.take((minutes.time >= CLOSE) & (minutes.time < close - 1)))
    cursor = settle(instance)
    clock.now = close * 60 - sensors.LEAD_SECONDS - 1
    assert tick(instance, cursor)[0] == []
    clock.now += 2
    (request,), _, _ = tick(instance, cursor)
    assert request.tags[CLOSE_TAG] == f"{to_datetime(close):%Y-%m-%dT%H:%M}"
    assert asked(request) >= CHAIN

    sleep = clock.sleep

    def land_after(seconds: float) -> None:
        sleep(seconds)
        if clock.now > close * 60 + 2 and clock.slept[-1] == lane.POLL_SECONDS:
            store_quietly(live, minutes.take(minutes.time == close - 1))

    clock.sleep = land_after  # type: ignore[method-assign]
    clock.slept.clear()
    assert execute(instance, request).success
    assert clock.slept[0] == pytest.approx(sensors.LEAD_SECONDS - 1)
    assert close * 60 + 2 < clock.now < close * 60 + 3
    with live.rows() as connection:
        row = connection.execute(
            "SELECT minutes FROM candles WHERE interval = '37m' ORDER BY time DESC LIMIT 1"
        ).fetchone()
    assert row == {"minutes": 37}


def test_a_run_does_not_wait_for_ever(live: Database, instance: dg.DagsterInstance, clock: Clock) -> None:
    clock.now = CLOSE * 60.0 + 37 * 60 - 10
    (request,), _, _ = tick(instance)
    assert execute(instance, request).success
    assert clock.now == pytest.approx((CLOSE + 37) * 60 + GRACE_SECONDS, abs=1)


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
)
def test_one_live_run_at_a_time(
    live: Database, instance: dg.DagsterInstance, clock: Clock, status: dg.DagsterRunStatus
) -> None:
    made(instance, status)
    requests, cursor, why = tick(instance, Watermark(closes=5).to_json())
    assert (requests, why) == ([], "a live run is queued or at work")
    assert Watermark.from_json(cursor) == Watermark(closes=5), "what is due then is due later"


def test_a_run_whose_process_was_killed_does_not_hold_the_lane(
    live: Database, instance: dg.DagsterInstance, clock: Clock
) -> None:
    host, _, began, _ = this_process().split("/")
    dead = made(instance, dg.DagsterRunStatus.STARTED)
    instance.add_run_tags(dead.run_id, {PROCESS_TAG: f"{host}/4000000/{began}/{dead.run_id}"})
    assert tick(instance)[0] == []
    found = instance.get_run_by_id(dead.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    clock.now = time.time() + 400
    assert len(tick(instance)[0]) == 1


def test_what_a_failed_run_owes_is_asked_for_again_later_each_time(
    live: Database, instance: dg.DagsterInstance, clock: Clock
) -> None:
    cursor = settle(instance)
    for failures, wait in ((1, 5), (2, 10), (3, 20)):
        instance.report_run_failed(made(instance, dg.DagsterRunStatus.STARTED))
        record = instance.get_run_records(limit=1)[0]
        assert record.end_time is not None
        clock.now = record.end_time + wait - 0.5
        requests, cursor, why = tick(instance, cursor)
        assert requests == []
        assert why == f"{failures} live runs in a row failed: waiting before the next"
        clock.now += 1
        (request,), _, _ = tick(instance, cursor)
        assert asked(request) >= {"decisions_37m"}
        assert request.tags["dagster/asset_partition_range_start"] <= partition_key(TODAY)
        assert request.tags["btc_pipeline/reason"].startswith(f"again, after {failures} failed")
    for _ in range(6):
        instance.report_run_failed(made(instance, dg.DagsterRunStatus.STARTED))
    clock.now = time.time() + 301
    assert len(tick(instance, cursor)[0]) == 1, "five minutes are the longest"
    made(instance, dg.DagsterRunStatus.SUCCESS)
    assert read_owed(instance) is None


def test_a_slot_that_closes_does_not_wait_for_the_back_off(
    live: Database, instance: dg.DagsterInstance, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = settle(instance)
    for _ in range(7):
        instance.report_run_failed(made(instance, dg.DagsterRunStatus.STARTED))
    owed = read_owed(instance)
    assert owed is not None
    monkeypatch.setattr(sensors, "read_lane", lambda _: lane.Lane(False, owed._replace(retry_at=clock.now + 10_000)))
    clock.now = (CLOSE + 30) * 60.0
    assert tick(instance, cursor)[2] == "7 live runs in a row failed: waiting before the next"
    clock.now = (CLOSE + 37) * 60.0 - 5
    (request,), cursor, _ = tick(instance, cursor)
    assert request.tags[CLOSE_TAG] == f"{to_datetime(CLOSE + 37):%Y-%m-%dT%H:%M}"
    assert asked(request) >= {"decisions_37m"}
    assert tick(instance, cursor)[2] == "7 live runs in a row failed: waiting before the next", "once a close"


def read_owed(instance: dg.DagsterInstance) -> lane.Owed | None:
    return lane.read_lane(instance).owed


def test_nothing_is_asked_where_nothing_is_stored(
    database: Database, own_settings: None, instance: dg.DagsterInstance
) -> None:
    os.environ.update(database_variables(database.uri))
    assert tick(instance)[2] == "nothing is due"
    data = sensor("collector_watch").evaluate_tick(dg.build_sensor_context(instance=instance))
    (event,) = data.asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert (event.passed, event.description) == (True, "no collector has run here")


def test_every_sensor_runs_without_being_switched_on(own_settings: None) -> None:
    found = list(build_definitions().sensors or [])
    assert [one.name for one in found] == ["live_lane", "collector_watch", "backtest_watch"]
    for one in found:
        assert isinstance(one, dg.SensorDefinition)
        assert one.default_status == dg.DefaultSensorStatus.RUNNING


SAVE_STATE = """
INSERT INTO collector_state (symbol, feed, process, connection, message, started_at, heartbeat_at, connected_at,
                             last_frame_at, last_minute, accounted_until, clock_offset_ms, exchange_at)
VALUES ('BTC', 'live', 'here/1', 'streaming', 'streaming', %(now)s, %(now)s, %(now)s, %(now)s, %(until)s, %(until)s, 0,
        %(now)s)
ON CONFLICT (symbol) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, exchange_at = excluded.exchange_at,
    accounted_until = excluded.accounted_until
"""


@pytest.fixture
def watched(database: Database, own_settings: None) -> Database:
    """A symbol that is collected, and its newest minute."""
    os.environ.update(database_variables(database.uri))
    now = int(time.time()) // 60
    minutes = made_minutes(now // 1440 - 1, 2)
    store(database, "BTC", minutes.take(minutes.time == now - 1))
    return database


def state(database: Database, *, progress_ago: float) -> None:
    """The collector's loop turned just now; minutes landed up to some seconds ago."""
    now = datetime.now(UTC)
    with database.rows() as connection:
        connection.execute(SAVE_STATE, {"now": now, "until": now - timedelta(seconds=progress_ago)})


def watch(instance: dg.DagsterInstance, cursor: str | None) -> tuple[list[Any], str | None]:
    data = sensor("collector_watch").evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))
    return list(data.asset_events), data.cursor


def test_a_collector_that_hangs_is_told_once_and_its_return_too(
    watched: Database, instance: dg.DagsterInstance
) -> None:
    state(watched, progress_ago=5)
    (event,), cursor = watch(instance, None)
    assert event.passed
    assert (event.asset_key, event.check_name) == (dg.AssetKey("candles_1m"), "collector_health")
    assert watch(instance, cursor) == ([], cursor)

    state(watched, progress_ago=100)
    (event,), cursor = watch(instance, cursor)
    assert not event.passed
    assert event.severity == dg.AssetCheckSeverity.ERROR
    assert event.description.startswith("BTC: ")
    assert watch(instance, cursor)[0] == []

    state(watched, progress_ago=5)
    (event,), cursor = watch(instance, cursor)
    assert event.passed

    assert cursor is not None
    hour_ago = json.loads(cursor) | {"at": time.time() - 3601}
    assert len(watch(instance, json.dumps(hour_ago))[0]) == 1


def test_the_watch_and_the_lane_leave_two_minutes_to_notice() -> None:
    from btc_pipeline.pipeline.collection import PROGRESS_WITHIN

    daemon_seconds = 5
    assert PROGRESS_WITHIN.total_seconds() + sensors.WATCH_SECONDS + daemon_seconds <= 120


def test_a_run_answers_the_check_as_of_now(live: Database, instance: dg.DagsterInstance) -> None:
    state(live, progress_ago=100)
    result = run(instance, range(TODAY, TODAY + 1), assets=["candles_1m"])
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "collector_health"]
    assert result.success
    assert not check.passed


def store_quietly(database: Database, minutes: Any) -> None:
    """Minutes as the collector lands them: of a touched day only what follows the first of them counts as changed."""
    with database.rows() as connection:
        rows = connection.execute(
            "SELECT day, touched_from FROM partition_digests WHERE asset = 'candles_1m' AND symbol = %s", (SYMBOL,)
        ).fetchall()
    known = {row["day"]: row["touched_from"] for row in rows}
    store(database, SYMBOL, minutes)
    first = to_datetime(int(minutes.time[0]))
    with database.rows() as connection:
        connection.execute(
            "UPDATE partition_digests SET touched_from = %s WHERE asset = 'candles_1m' AND symbol = %s AND day = %s",
            (min(first, known.get(first.date()) or first), SYMBOL, first.date()),
        )
