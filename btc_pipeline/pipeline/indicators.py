"""The body of `indicators_37m` and its like: bars to stored indicator values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from btc_pipeline.market.candles import Candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.warm_up import WarmBars, WarmUp, splice
from btc_pipeline.pipeline.catalogue import IndicatorsAsset, bars_asset_name
from btc_pipeline.pipeline.content import indicator_parts
from btc_pipeline.pipeline.refresh import Refresh, Report, consecutive, first_input_day, pieces, read_bars
from btc_pipeline.pipeline.schemas import validate_indicators
from btc_pipeline.pipeline.warm_up import read_warm_bars
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import lock
from btc_pipeline.storage.indicators import (
    Definition,
    IndicatorRows,
    append_indicators,
    define_indicators,
    delete_indicators,
    read_indicators,
)

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor


def refresh_indicators(
    database: Database,
    asset: IndicatorsAsset,
    instrument: Instrument,
    days: range,
    now: int,
    warm_up: WarmUp | None = None,
    *,
    verify_only: bool = False,
) -> Report:
    """Computes the asset's indicators at the bars of the days (since 1970-01-01), and writes what changed.

    Args:
        warm_up: the symbol's, if it has one.
        verify_only: only say which days are stale.
    """
    report = Report(asset.name, instrument.symbol, range(days.start, days.start))
    for piece in pieces(days):
        with database.arrow() as cursor:
            lock(cursor, asset.name, instrument.symbol)
            if not verify_only:
                define_indicators(cursor, _definitions(asset))
            report.add(_refresh_piece(cursor, asset, instrument, piece, now, warm_up, verify_only=verify_only))
    return report


def output_name(name: str, output: str) -> str:
    """The name that an indicator's output is stored under: its own, or with the output's behind it."""
    return name if output == "value" else f"{name}_{output}"


def _refresh_piece(
    cursor: Cursor,
    asset: IndicatorsAsset,
    instrument: Instrument,
    days: range,
    now: int,
    warm_up: WarmUp | None,
    *,
    verify_only: bool,
) -> Report:
    upstream = bars_asset_name(asset.interval)
    first = first_input_day(asset, days, upstream)
    bars, digests = read_bars(cursor, instrument, asset.interval, range(first, days.stop))
    slots = asset.interval.slots_closing_in(days.start, days.stop)
    window = asset.interval.open(slots.start), asset.interval.open(slots.stop)
    stored = read_indicators(cursor, instrument.symbol, asset.interval, *window)
    warm_bars, source = read_warm_bars(cursor, asset, warm_up, days, [asset.interval])
    refresh = Refresh(
        cursor,
        asset,
        instrument,
        days,
        upstream={upstream: digests},
        stored=indicator_parts(stored),
        now=now,
        source=source,
    )
    if verify_only:
        return refresh.found()
    made = _in_days(_compute(asset, bars, warm_bars), [refresh.span()])
    written = refresh.changed(indicator_parts(made))
    changed = consecutive(written)
    for run in changed:
        slots = asset.interval.slots_closing_in(run.start, run.stop)
        start, end = asset.interval.open(slots.start), asset.interval.open(slots.stop)
        if any(np.any((rows.time >= start) & (rows.time < end)) for rows in stored.values()):
            delete_indicators(cursor, instrument.symbol, asset.interval, start, end)
    renewed = _in_days(made, changed)
    validate_indicators(renewed)
    append_indicators(cursor, instrument.symbol, asset.interval, renewed)
    return refresh.record(written)


def _compute(asset: IndicatorsAsset, bars: Candles, warm_bars: WarmBars | None) -> dict[str, IndicatorRows]:
    """The values at a symbol's own bars: behind `until` those that both venues' bars give together."""
    if warm_bars is None:
        return _values(asset, bars, 0)
    until = warm_bars.warm_up.until
    both = splice(bars, warm_bars.bars.get(asset.interval), until)
    before = _values(asset, bars.take(slice(0, both.own_first)), 0)
    behind = _values(asset, both.bars, both.warm)
    return {name: before[name].then(behind[name]) for name in before}


def _values(asset: IndicatorsAsset, bars: Candles, warm: int) -> dict[str, IndicatorRows]:
    """The values at all bars but the first `warm`, which are another venue's."""
    found = {}
    for name, spec in asset.specs.items():
        warmed = spec.reaches_first(bars, warm) if warm else np.zeros(len(bars), np.bool_)
        for output, series in spec.compute(bars).items():
            rows = np.flatnonzero(~np.isnan(series.value))
            rows = rows[rows >= warm]
            found[output_name(name, output)] = IndicatorRows(
                bars.time[rows], series.value[rows], series.settled[rows], bars.day[rows], warmed[rows]
            )
    return found


def _in_days(values: dict[str, IndicatorRows], runs: Sequence[range]) -> dict[str, IndicatorRows]:
    found = {}
    for name, rows in values.items():
        keep = np.zeros(len(rows.day), np.bool_)
        for run in runs:
            keep |= (rows.day >= run.start) & (rows.day < run.stop)
        found[name] = rows.take(keep)
    return found


def _definitions(asset: IndicatorsAsset) -> dict[str, Definition]:
    return {
        output_name(name, output): Definition(spec.indicator, output, dict(spec.parameters))
        for name, spec in asset.specs.items()
        for output in spec.outputs
    }
