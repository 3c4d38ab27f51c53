"""The body of `candles_37m` and its like: minutes to bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from btc_pipeline.market.candles import Candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import UsabilityRule, resample
from btc_pipeline.market.spans import Spans
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET, BarsAsset
from btc_pipeline.pipeline.content import bars_part
from btc_pipeline.pipeline.refresh import (
    Refresh,
    Report,
    consecutive,
    first_input_day,
    pieces,
    read_bars,
    read_minutes,
)
from btc_pipeline.pipeline.schemas import validate_bars
from btc_pipeline.storage.candles import append_candles, delete_window
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import lock

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor


def refresh_bars(
    database: Database,
    assets: Sequence[BarsAsset],
    instrument: Instrument,
    days: range,
    rule: UsabilityRule,
    now: int,
    *,
    verify_only: bool = False,
) -> dict[str, Report]:
    """Makes the bars that close in the days, for one or several assets that share one reading of the minutes.

    Args:
        days: days since 1970-01-01.
        now: the epoch minute; bars that close later are not made.
        verify_only: only say which days are stale; nothing is made or written.

    Returns:
        A report an asset, by name.
    """
    reports: dict[str, Report] = {}
    for piece in pieces(days):
        with database.arrow() as cursor:
            for asset in assets:
                lock(cursor, asset.name, instrument.symbol)
            first = min(first_input_day(asset, piece, MINUTES_ASSET) for asset in assets)
            minutes, vouched, digests = read_minutes(cursor, instrument, range(first, piece.stop))
            quiet = Spans.of_minutes(vouched)
            for asset in assets:
                report = _refresh_one(
                    cursor, asset, instrument, piece, minutes, quiet, digests, rule, now, verify_only=verify_only
                )
                if asset.name in reports:
                    reports[asset.name].add(report)
                else:
                    reports[asset.name] = report
    return reports


def _refresh_one(
    cursor: Cursor,
    asset: BarsAsset,
    instrument: Instrument,
    days: range,
    minutes: Candles,
    vouched: Spans,
    digests: dict[int, str],
    rule: UsabilityRule,
    now: int,
    *,
    verify_only: bool,
) -> Report:
    stored = {interval: read_bars(cursor, instrument, interval, days)[0] for interval in asset.intervals}
    refresh = Refresh(
        cursor,
        asset,
        instrument,
        days,
        upstream={MINUTES_ASSET: digests},
        stored=[bars_part(bars) for bars in stored.values()],
        now=now,
    )
    if verify_only:
        return refresh.found()
    span = refresh.span()
    made = {
        interval: resample(minutes, interval, _closed_slots(interval, span, now), vouched=vouched, rule=rule)
        for interval in asset.intervals
    }
    written = refresh.changed([bars_part(bars) for bars in made.values()])
    changed = consecutive(written)
    renewed = [_in_days(bars, changed) for bars in made.values()]
    for bars in renewed:
        validate_bars(bars)
    for interval in made:
        for run in changed:
            slots = interval.slots_closing_in(run.start, run.stop)
            start, end = interval.open(slots.start), interval.open(slots.stop)
            if len(stored[interval].between(start, end)):
                delete_window(cursor, instrument.symbol, interval, start, end)
    append_candles(cursor, instrument.symbol, *renewed, status="derived")
    return refresh.record(written)


def _closed_slots(interval: Interval, days: range, now: int) -> range:
    slots = interval.slots_closing_in(days.start, days.stop)
    return range(slots.start, max(slots.start, min(slots.stop, interval.slot(now))))


def _in_days(bars: Candles, runs: Sequence[range]) -> Candles:
    parts = [
        bars.between(bars.interval.open(slots.start), bars.interval.open(slots.stop))
        for run in runs
        for slots in [bars.interval.slots_closing_in(run.start, run.stop)]
    ]
    return Candles.concatenate(parts) if parts else bars.take(slice(0, 0))
