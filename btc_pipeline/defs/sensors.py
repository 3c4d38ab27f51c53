"""Sensors: the live lane, which asks for what is due, and the watch over the collector.

Belongs here: when Dagster is asked for something. Does not belong here: what is due (`pipeline.live`), and whether
the collector is well (`pipeline.health`).

A sensor's tick must be over after 60 s, and the daemon begins one every 5 s at most. So that a close does not have to
wait for the next tick, a tick that begins shortly before one waits for it inside, and for its last minute to land.
"""

from __future__ import annotations

import time
from typing import Any, Final

import dagster as dg
import psycopg

from btc_pipeline.defs.jobs import MATERIALIZE
from btc_pipeline.defs.lane import LANE_TAG, LIVE, Owed, read_lane
from btc_pipeline.defs.launch import fail_dead_runs
from btc_pipeline.defs.partitions import range_tags
from btc_pipeline.defs.resources import RESOURCE_KEY
from btc_pipeline.pipeline.catalogue import Catalogue
from btc_pipeline.pipeline.live import GRACE_SECONDS, Watermark, Work, last_close, look_with, next_close
from btc_pipeline.settings import Settings
from btc_pipeline.storage.address import database_uri
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.times import to_day

TICK_SECONDS: Final = 10
"""Between two looks when nothing is about to close."""
AHEAD_SECONDS: Final = 20
"""A tick waits for a close that is no farther away: of ticks every 10 s, begun up to 5 s late, one meets each close."""
POLL_SECONDS: Final = 0.5

REASON_TAG: Final = "btc_pipeline/reason"
REASON_CHARACTERS: Final = 200
MAX_RUNTIME_TAG: Final = "dagster/max_runtime"
MAX_RUNTIME_SECONDS: Final = 900
"""A run whose machine died is failed by the monitoring daemon after this, if nobody notices before."""


def build_sensors(settings: Settings, catalogue: Catalogue) -> list[dg.SensorDefinition]:
    """The sensors over a catalogue."""
    return [_live_lane(settings, catalogue)]


def _live_lane(settings: Settings, catalogue: Catalogue) -> dg.SensorDefinition:
    first_day = to_day(settings.start_date)

    @dg.sensor(
        name="live_lane",
        job_name=MATERIALIZE,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Asks for the bars, indicators and decisions of every slot as it closes, and for days whose minutes "
            "changed. One run at a time; what a failed run owes is asked for again, later each time."
        ),
    )
    def live_lane(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        with Database(database_uri(settings)).rows(autocommit=True) as connection:
            work, watermark = _wait_for_work(connection, catalogue, Watermark.from_json(context.cursor), first_day)
            context.update_cursor(watermark.to_json())
            lane = read_lane(context.instance)
            if lane.busy:
                fail_dead_runs(context.instance)
                return dg.SkipReason("a live run is queued or at work")
            if lane.owed:
                if time.time() < lane.owed.retry_at:
                    return dg.SkipReason(f"{lane.owed.failures} live runs in a row failed: waiting before the next")
                work = _with_owed(work, lane.owed, catalogue, watermark)
            if work is None:
                return dg.SkipReason("nothing is due")
            request = _request(work, _narrowed(connection, work))
        return dg.SensorResult(run_requests=[request], cursor=work.watermark.to_json())

    return live_lane


def _wait_for_work(
    connection: psycopg.Connection[dict[str, Any]], catalogue: Catalogue, watermark: Watermark, first_day: int
) -> tuple[Work | None, Watermark]:
    """What is due now, or at a close that is near, once its last minute is there or was waited for long enough."""
    while True:
        now = time.time()
        work, watermark = look_with(connection, catalogue, now, watermark, first_day)
        if work is not None:
            return work, watermark
        closed, closes = last_close(catalogue, now), next_close(catalogue, now)
        if closed > watermark.closes and now < closed * 60 + GRACE_SECONDS:
            time.sleep(POLL_SECONDS)
        elif closes * 60 - now <= AHEAD_SECONDS:
            time.sleep(max(POLL_SECONDS, closes * 60 - now))
        else:
            return None, watermark


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


def _request(work: Work, symbols: list[str]) -> dg.RunRequest:
    return dg.RunRequest(
        # No run key: each is good for one run in all eternity, so a failed one could never be asked for again.
        asset_selection=[dg.AssetKey(name) for name in work.assets],
        tags={
            **range_tags(work.days),
            LANE_TAG: LIVE,
            REASON_TAG: work.reason[:REASON_CHARACTERS],
            MAX_RUNTIME_TAG: str(MAX_RUNTIME_SECONDS),
        },
        run_config={"resources": {RESOURCE_KEY: {"config": {"symbols": symbols}}}} if symbols else {},
    )
