"""The live lane's runs: whether one is at work, what failed and when to try again, and how one waits for its slot."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

import dagster as dg

from btc_pipeline.defs.partitions import RANGE_END_TAG, RANGE_START_TAG
from btc_pipeline.defs.queue import LANE_TAG
from btc_pipeline.pipeline.live import may_begin
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.times import to_day, to_minute

LIVE: Final = "live"
CLOSE_TAG: Final = "btc_pipeline/close"
"""The close that a run waits for, UTC."""

MAX_WAIT_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.25
HEAVY: Final = ("adbc_driver_postgresql.dbapi", "duckdb", "pandas", "pandera.pandas")
"""What the bodies import when they need it; a run that waits anyway does so meanwhile."""

FIRST_BACKOFF_SECONDS: Final = 5.0
LONGEST_BACKOFF_SECONDS: Final = 300.0

_LOOKED_AT: Final = 8
"""So many failures in a row reach the longest back-off."""


class Owed(NamedTuple):
    """What runs in a row that failed should have made; not to be tried again before `retry_at` (UTC seconds)."""

    days: range
    assets: frozenset[str]
    failures: int
    retry_at: float


class Lane(NamedTuple):
    """Whether a live run is queued or at work, and what is owed."""

    busy: bool
    owed: Owed | None


def read_lane(instance: dg.DagsterInstance) -> Lane:
    """The newest live runs, whoever asked for them."""
    records = instance.get_run_records(dg.RunsFilter(tags={LANE_TAG: LIVE}), limit=_LOOKED_AT)
    if any(not record.dagster_run.is_finished for record in records):
        return Lane(busy=True, owed=None)
    failed = []
    for record in records:
        if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS:
            break
        failed.append(record)
    if not failed:
        return Lane(busy=False, owed=None)
    days = [day for record in failed for day in _days(record.dagster_run)]
    assets = frozenset(
        key.to_user_string() for record in failed for key in record.dagster_run.asset_selection or frozenset()
    )
    if not days:
        return Lane(busy=False, owed=None)
    ended = failed[0].end_time or failed[0].update_timestamp.replace(tzinfo=UTC).timestamp()
    wait = min(FIRST_BACKOFF_SECONDS * 2 ** (len(failed) - 1), LONGEST_BACKOFF_SECONDS)
    return Lane(busy=False, owed=Owed(range(min(days), max(days) + 1), assets, len(failed), ended + wait))


def is_live(tags: Mapping[str, str]) -> bool:
    """Whether a run with these tags is one of the live lane's."""
    return tags.get(LANE_TAG) == LIVE


def wait_for_close(database: Database, tags: Mapping[str, str]) -> None:
    """Returns once the slot that a run was asked for has closed, and its last minute is there or overdue."""
    if CLOSE_TAG not in tags:
        return
    close = to_minute(datetime.fromisoformat(tags[CLOSE_TAG]))
    for module in HEAVY:
        importlib.import_module(module)
    time.sleep(min(MAX_WAIT_SECONDS, max(0.0, close * 60 - time.time())))
    with database.rows(autocommit=True) as connection:
        while not may_begin(connection, close, time.time()):
            time.sleep(POLL_SECONDS)


def _days(run: dg.DagsterRun) -> range:
    try:
        first, last = (to_day(date.fromisoformat(run.tags[tag])) for tag in (RANGE_START_TAG, RANGE_END_TAG))
    except (KeyError, ValueError):
        return range(0)
    return range(first, last + 1)
