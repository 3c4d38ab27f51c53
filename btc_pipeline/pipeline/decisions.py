"""The body of `decisions_37m` and its like: bars to a log of decisions in which nothing is overwritten."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from btc_pipeline.errors import StrategyError
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.warm_up import WarmUp
from btc_pipeline.pipeline.catalogue import DecisionsAsset, bars_asset_name, strategy_key
from btc_pipeline.pipeline.content import decisions_part
from btc_pipeline.pipeline.refresh import Refresh, Report, first_input_day, pieces, read_bars
from btc_pipeline.pipeline.schemas import validate_decisions
from btc_pipeline.pipeline.warm_up import read_warm_bars
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.decisions import LatestVersions, append_versions, read_latest
from btc_pipeline.storage.digests import lock
from btc_pipeline.strategies.decisions import Decisions, StrategyOnInterval

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor


LIVE_MINUTES: Final = 10
"""A decision that is first made so soon after its bar's close is a live one, whoever made it."""


class Origin(StrEnum):
    """How a decision came to be: at its bar's close, later, or as another word on what was decided already."""

    LIVE = "live"
    BACKFILL = "backfill"
    REPAIR = "repair"


def refresh_decisions(
    database: Database,
    asset: DecisionsAsset,
    instrument: Instrument,
    days: range,
    now: int,
    warm_up: WarmUp | None = None,
    *,
    verify_only: bool = False,
) -> Report:
    """Decides at the bars of the days (since 1970-01-01), and appends what came out different.

    Args:
        now: the epoch minute, which tells live decisions from others.
        warm_up: the symbol's, if it has one.
        verify_only: only say which days are stale; nothing is made or written.

    Raises:
        StrategyError: a strategy failed. The others' decisions are there all the same, and the days stay stale.
    """
    report = Report(asset.name, instrument.symbol, range(days.start, days.start))
    failed: list[StrategyError] = []
    for piece in pieces(days):
        with database.arrow() as cursor:
            lock(cursor, asset.name, instrument.symbol)
            done = _refresh_piece(cursor, asset, instrument, piece, now, warm_up, failed, verify_only=verify_only)
            report.add(done)
    if failed:
        raise failed[0]
    return report


def read_frames(
    cursor: Cursor, asset: DecisionsAsset, instrument: Instrument, days: range
) -> tuple[dict[Interval, Candles], dict[str, dict[int, str]]]:
    """Bars of every interval that the asset's strategies look at, and the digests of the days they were read from."""
    frames: dict[Interval, Candles] = {}
    digests: dict[str, dict[int, str]] = {}
    for interval in asset.lookbacks:
        upstream = bars_asset_name(interval)
        first = first_input_day(asset, days, upstream)
        frames[interval], digests[upstream] = read_bars(cursor, instrument, interval, range(first, days.stop))
    return frames, digests


def _refresh_piece(
    cursor: Cursor,
    asset: DecisionsAsset,
    instrument: Instrument,
    days: range,
    now: int,
    warm_up: WarmUp | None,
    failed: list[StrategyError],
    *,
    verify_only: bool,
) -> Report:
    """One transaction. Of a strategy that fails nothing is written, and the days stay stale; `failed` has its error."""
    frames, digests = read_frames(cursor, asset, instrument, days)
    warm_bars, source = read_warm_bars(cursor, asset, warm_up, days, asset.lookbacks)
    slots = asset.interval.slots_closing_in(days.start, days.stop)
    start, end = asset.interval.open(slots.start), asset.interval.open(slots.stop)
    latest = {
        one: read_latest(cursor, instrument.symbol, asset.interval, one.strategy.name, one.parameters, start, end)
        for one in asset.strategies
    }
    refresh = Refresh(
        cursor,
        asset,
        instrument,
        days,
        upstream=digests,
        stored=[decisions_part(strategy_key(one), _standing(found)) for one, found in latest.items()],
        now=now,
        source=source,
    )
    if verify_only:
        return refresh.found()
    span = refresh.span()
    slots = asset.interval.slots_closing_in(span.start, span.stop)
    made: dict[StrategyOnInterval, Decisions] = {}
    for one in asset.strategies:
        try:
            made[one] = one.decide(frames, slots, warm_bars)
        except StrategyError as error:
            failed.append(error)
    written = refresh.changed([decisions_part(strategy_key(one), decisions) for one, decisions in made.items()])
    for one, decisions in made.items():
        validate_decisions(decisions)
        _append_differences(cursor, instrument, one, decisions, latest[one], written, now)
    return refresh.record(written) if len(made) == len(asset.strategies) else refresh.found()


def _standing(found: LatestVersions) -> Decisions:
    """What holds: the newest versions that are no withdrawals."""
    return found.decisions.take(np.flatnonzero(~found.withdrawn))


def _append_differences(
    cursor: Cursor,
    instrument: Instrument,
    one: StrategyOnInterval,
    made: Decisions,
    latest: LatestVersions,
    days: list[int],
    now: int,
) -> None:
    """New versions of what came out different in those days; withdrawals of what is gone."""
    versions = dict(zip(latest.decisions.time.tolist(), latest.version.tolist(), strict=True))
    standing = {row[0]: row for row in _standing(latest).rows(snapshots=False)}
    wanted = np.isin(made.day, days)
    fresh = [at for at, row in enumerate(made.rows(snapshots=False)) if wanted[at] and standing.get(row[0]) != row]
    common = (cursor, instrument.symbol, one.interval, one.strategy.name, one.parameters)
    times = made.time[fresh].tolist()
    append_versions(
        *common,
        made.take(np.array(fresh, np.int64)),
        np.array([versions.get(time, 0) + 1 for time in times], np.int64),
        withdrawn=False,
        origin=[str(Origin.REPAIR if time in versions else _origin(one.interval, time, now)) for time in times],
    )
    told = latest.decisions
    vanished = ~latest.withdrawn & np.isin(told.day, days) & np.isin(told.time, made.time, invert=True)
    gone = np.flatnonzero(vanished)
    append_versions(
        *common,
        told.take(gone),
        latest.version[gone] + 1,
        withdrawn=True,
        origin=[str(Origin.REPAIR)] * len(gone),
    )


def _origin(interval: Interval, time: int, now: int) -> Origin:
    """Of a decision at the bar that opens at an epoch minute, made for the first time."""
    return Origin.LIVE if now - interval.close(interval.slot(time)) <= LIVE_MINUTES else Origin.BACKFILL
