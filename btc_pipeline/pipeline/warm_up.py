"""Reading what a warm-up lets an asset's days see: bars of another venue, and the digests of the days they are from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from btc_pipeline.market.candles import Candles
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.warm_up import WarmBars, WarmUp
from btc_pipeline.pipeline.catalogue import DerivedAsset, SourceContents, bars_asset_name
from btc_pipeline.pipeline.refresh import read_bars
from btc_pipeline.storage.instruments import read_instruments

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor


def read_warm_bars(
    cursor: Cursor, asset: DerivedAsset, warm_up: WarmUp | None, days: range, intervals: Iterable[Interval]
) -> tuple[WarmBars | None, SourceContents | None]:
    """The source's bars that days of an asset reach back to; nothing where none of them does.

    As long as nothing is stored under the source's symbol, its warm-up has no effect.
    """
    if warm_up is None:
        return None, None
    wanted = {
        interval: warm
        for interval in intervals
        for warm in [_days(asset, warm_up, days, bars_asset_name(interval))]
        if warm
    }
    if not wanted:
        return None, None
    source = next((one for one in read_instruments(cursor) if one.symbol == warm_up.source), None)
    if source is None:
        return None, SourceContents(warm_up, None, {})
    bars: dict[Interval, Candles] = {}
    contents: dict[str, dict[int, str]] = {}
    for interval, warm in wanted.items():
        bars[interval], contents[bars_asset_name(interval)] = read_bars(cursor, source, interval, warm)
    return WarmBars(warm_up, bars), SourceContents(warm_up, source.scale, contents)


def _days(asset: DerivedAsset, warm_up: WarmUp, days: range, upstream: str) -> range:
    """The source's days that any of the days is made from."""
    found = [
        warm
        for day in days
        for wanted in asset.inputs(day)
        if wanted.upstream == upstream
        for warm in [asset.warm_days(warm_up, wanted, day)]
        if warm
    ]
    return range(min(one.start for one in found), max(one.stop for one in found)) if found else range(0)
