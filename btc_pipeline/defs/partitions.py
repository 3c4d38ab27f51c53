"""Daily UTC partitions, one definition and one backfill policy for the whole chain."""

from __future__ import annotations

import warnings
from datetime import UTC, date
from typing import Final

import dagster as dg

from btc_pipeline.pipeline.catalogue import DerivedAsset
from btc_pipeline.storage.times import to_date, to_day

RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
RANGE_END_TAG: Final = "dagster/asset_partition_range_end"

# Parent and child share a backfill's run only if they agree in partitions, policy and code location.
BACKFILL_POLICY: Final = dg.BackfillPolicy.single_run()


def daily_partitions(start: date) -> dg.DailyPartitionsDefinition:
    """From the first day of the settings to today, which is still filling."""
    return dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone="UTC", end_offset=1)


def days_of(context: dg.AssetExecutionContext) -> range:
    """The days (since 1970-01-01) of a run over one partition or a range."""
    window = context.partition_time_window
    return range(to_day(window.start.astimezone(UTC).date()), to_day(window.end.astimezone(UTC).date()))


def range_tags(days: range) -> dict[str, str]:
    """Tags that make one run cover a range of days."""
    return {RANGE_START_TAG: partition_key(days.start), RANGE_END_TAG: partition_key(days.stop - 1)}


def partition_key(day: int) -> str:
    """The key of a day's partition."""
    return to_date(day).isoformat()


def lookback(asset: DerivedAsset, upstream: str) -> dg.TimeWindowPartitionMapping:
    """The upstream days that a day is made from, for the lineage; the body's SQL does the reading.

    The longest reach of any day of four years, so that months and leap days are in it.
    """
    reach = max(
        (day - wanted.first_day for day in range(1461) for wanted in asset.inputs(day) if wanted.upstream == upstream),
        default=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(start_offset=-reach, allow_nonexistent_upstream_partitions=True)
