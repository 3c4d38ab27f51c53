"""Sensors: the live lane, which asks for what is due, and the watch over the collector.

Belongs here: when Dagster is asked for something. Does not belong here: what is due (`pipeline.live`), and whether
the collector is well (`pipeline.health`).

Most of the time from a request to a run's first row goes into starting its process, which is Dagster's own imports. So
a slot is asked for shortly before it closes, and its run waits for the close and for the last minute to land
(`lane.wait_for_close`).
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

import dagster as dg
import psycopg

from btc_pipeline.defs.backtest_watch import build_backtest_watch
from btc_pipeline.defs.checks import COLLECTOR, check_collectors, collector_evaluation
from btc_pipeline.defs.jobs import MATERIALIZE
from btc_pipeline.defs.lane import CLOSE_TAG, LIVE, Owed, read_lane
from btc_pipeline.defs.partitions import range_tags
from btc_pipeline.defs.processes import fail_dead_runs
from btc_pipeline.defs.queue import LANE_TAG
from btc_pipeline.defs.resources import RESOURCE_KEY
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET, Catalogue
from btc_pipeline.pipeline.live import GRACE_SECONDS, Watermark, Work, last_close, look_with, next_close
from btc_pipeline.settings import Settings
from btc_pipeline.storage.address import database_uri
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.times import to_datetime, to_day

TICK_SECONDS: Final = 10
LEAD_SECONDS: Final = 25
"""A slot is asked for so long before it closes. The daemon begins a tick up to 5 s late, so of ticks every 10 s one
falls between 25 and 10 s before; a run's process takes 5 s to start, on a busy machine 10."""

WATCH_SECONDS: Final = 15
"""A collector that hangs is unwell after 90 s; within two minutes Dagster has to say so."""
WATCH_TELLS_SECONDS: Final = 3600.0
"""An event is 2.3 kB for ever: one an hour, and one a change."""

REASON_TAG: Final = "btc_pipeline/reason"
REASON_CHARACTERS: Final = 200
MAX_RUNTIME_TAG: Final = "dagster/max_runtime"
MAX_RUNTIME_SECONDS: Final = 900
"""A run whose machine died is failed by the monitoring daemon after this, if nobody notices before."""


def build_sensors(settings: Settings, catalogue: Catalogue) -> list[dg.SensorDefinition]:
    """The sensors over a catalogue."""
    return [_live_lane(settings, catalogue), _collector_watch(settings), build_backtest_watch(settings)]


def _live_lane(settings: Settings, catalogue: Catalogue) -> dg.SensorDefinition:
    first_day = to_day(settings.start_date)

    @dg.sensor(
        name="live_lane",
        job_name=MATERIALIZE,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Asks for the bars, indicators and decisions of every slot as it closes, and for days whose minutes "
            "changed. One run at a time; what a failed run owes is asked for with every close, and later each time."
        ),
    )
    def live_lane(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        fail_dead_runs(context.instance)
        lane = read_lane(context.instance)
        if lane.busy:
            return dg.SkipReason("a live run is queued or at work")
        moment, close = _as_of(catalogue, time.time())
        with Database(database_uri(settings)).rows(autocommit=True) as connection:
            work, watermark = look_with(connection, catalogue, moment, Watermark.from_json(context.cursor), first_day)
            context.update_cursor(watermark.to_json())
            if lane.owed:
                # A slot that closes waits for no back-off: what fails may be one strategy of several.
                if time.time() < lane.owed.retry_at and (work is None or close is None):
                    return dg.SkipReason(f"{lane.owed.failures} live runs in a row failed: waiting before the next")
                work = _with_owed(work, lane.owed, catalogue, watermark)
            if work is None:
                return dg.SkipReason("nothing is due")
            context.update_cursor(work.watermark.to_json())
            return _request(work, _narrowed(connection, work), close)

    return live_lane


def _collector_watch(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        name="collector_watch",
        minimum_interval_seconds=WATCH_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Tells the check {COLLECTOR} of {MINUTES_ASSET} whether the collector lands minutes: when that changes, "
            "and every hour."
        ),
    )
    def collector_watch(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        reports = check_collectors(Database(database_uri(settings)), settings)
        evaluation = collector_evaluation(reports)
        states = {symbol: report.passed for symbol, report in reports}
        told, now = json.loads(context.cursor or "{}"), time.time()
        if told.get("states") == states and now - told["at"] < WATCH_TELLS_SECONDS:
            return dg.SkipReason(evaluation.description)
        return dg.SensorResult(
            skip_reason=evaluation.description,
            asset_events=[evaluation],
            cursor=json.dumps({"states": states, "at": now}),
        )

    return collector_watch


def _as_of(catalogue: Catalogue, now: float) -> tuple[float, int | None]:
    """The moment to ask about, and the close (epoch minute) that its run has to wait for."""
    ahead, last = next_close(catalogue, now), last_close(catalogue, now)
    close = ahead if ahead * 60 - now <= LEAD_SECONDS else last
    complete = close * 60 + GRACE_SECONDS
    return (complete, close) if now < complete else (now, None)


def _with_owed(work: Work | None, owed: Owed, catalogue: Catalogue, watermark: Watermark) -> Work | None:
    """The work, and what failed runs should have made of assets that are still there."""
    assets = owed.assets.union(work.assets if work else ()).intersection(catalogue.names)
    if not assets:
        return work
    days = owed.days if work is None else range(min(owed.days[0], work.days[0]), max(owed.days[-1], work.days[-1]) + 1)
    reasons = [f"again, after {owed.failures} failed", *([work.reason] if work else [])]
    return Work(
        days,
        tuple(name for name in catalogue.names if name in assets),
        symbols=(),
        watermark=work.watermark if work else watermark,
        reason="; ".join(reasons),
    )


def _narrowed(connection: psycopg.Connection[dict[str, Any]], work: Work) -> list[str]:
    """The symbols to tell the run; none where it is about all that are stored."""
    stored = {row["symbol"] for row in connection.execute("SELECT symbol FROM instruments")}
    return [] if stored.issubset(work.symbols) else list(work.symbols)


def _request(work: Work, symbols: list[str], close: int | None) -> dg.RunRequest:
    waits = {} if close is None else {CLOSE_TAG: f"{to_datetime(close):%Y-%m-%dT%H:%M}"}
    return dg.RunRequest(
        # No run key: each is good for one run in all eternity, so a failed one could never be asked for again.
        asset_selection=[dg.AssetKey(name) for name in work.assets],
        tags={
            **range_tags(work.days),
            **waits,
            LANE_TAG: LIVE,
            REASON_TAG: work.reason[:REASON_CHARACTERS],
            MAX_RUNTIME_TAG: str(MAX_RUNTIME_SECONDS),
        },
        run_config={"resources": {RESOURCE_KEY: {"config": {"symbols": symbols}}}} if symbols else {},
    )
