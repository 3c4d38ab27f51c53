"""Which days of which assets need to be made again, from `partition_digests` alone.

Nothing but digests is read, so it is cheap enough to ask every few seconds. That rows still are what their digest
says is the bodies' affair (`refresh`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.warm_up import WarmUp
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET, Catalogue, DerivedAsset, SourceContents, inputs_digest
from btc_pipeline.pipeline.refresh import consecutive
from btc_pipeline.storage.digests import StoredDigest, read_all_digests
from btc_pipeline.storage.instruments import read_instruments

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

MAX_RANGES: Final = 8
"""Scattered days are joined into at most so many ranges: a run costs more than a day that is fresh already."""


@dataclass(frozen=True, slots=True)
class SymbolDigests:
    """All digests of one symbol: of its days by asset.

    Attributes:
        source: of a symbol with a warm-up, what that comes from.
    """

    instrument: Instrument
    by_asset: Mapping[str, Mapping[int, StoredDigest]]
    source: SourceContents | None = None

    def days(self, first_day: int) -> range:
        """The days from the first with minutes (not before `first_day`) to the last."""
        known = self.by_asset.get(MINUTES_ASSET, {})
        return range(max(min(known), first_day), max(known) + 1) if known else range(0)


def read_symbol_digests(cursor: Cursor, instrument: Instrument, catalogue: Catalogue) -> SymbolDigests:
    """Everything that `partition_digests` has of a symbol, and of the source of its warm-up."""
    by_asset = read_all_digests(cursor, instrument.symbol)
    warm_up = catalogue.warm_ups.get(instrument.symbol)
    if warm_up is None:
        return SymbolDigests(instrument, by_asset)
    instruments = {one.symbol: one for one in read_instruments(cursor)}
    return SymbolDigests(
        instrument,
        by_asset,
        source_contents(warm_up, instruments.get(warm_up.source), read_all_digests(cursor, warm_up.source)),
    )


def source_contents(
    warm_up: WarmUp, source: Instrument | None, by_asset: Mapping[str, Mapping[int, StoredDigest]]
) -> SourceContents:
    """What is known of a warm-up's source; None as long as nothing is stored under that symbol."""
    contents = {name: _contents(known) for name, known in by_asset.items()}
    return SourceContents(warm_up, None if source is None else source.scale, contents)


def stale_days(digests: SymbolDigests, catalogue: Catalogue, days: range, now: int) -> dict[str, list[int]]:
    """The stale days of every asset, ascending, by asset name; assets without any are left out.

    Args:
        days: days to look at.
        now: the epoch minute up to which bars are closed.
    """
    stale = {MINUTES_ASSET: _touched(digests, days)}
    for asset in catalogue.derived:
        stale[asset.name] = stale_days_of(asset, digests, days, now)
    return {name: found for name, found in stale.items() if found}


def stale_days_of(asset: DerivedAsset, digests: SymbolDigests, days: range, now: int) -> list[int]:
    """The days of one asset whose inputs moved, or are not known because somebody touched them."""
    contents: dict[str, dict[int, str]] = {}
    unknown: dict[str, list[int]] = {}
    for upstream in asset.upstream:
        known = digests.by_asset.get(upstream, {})
        contents[upstream] = _contents(known)
        unknown[upstream] = sorted(day for day, one in known.items() if one.content is None)
    own = digests.by_asset.get(asset.name, {})
    found = []
    for day in days:
        recorded = own.get(day)
        if (
            recorded is None
            or recorded.content is None
            or _rests_on_unknown(asset, day, unknown)
            or recorded.inputs != inputs_digest(asset, day, contents, digests.instrument.scale, now, digests.source)
        ):
            found.append(day)
    return found


def merged_ranges(days: Sequence[int], most: int = MAX_RANGES) -> list[range]:
    """Ascending days as at most so many ranges, the smallest holes between them filled first.

    Example:
        >>> merged_ranges([1, 2, 5, 90], most=2)
        [range(1, 6), range(90, 91)]
    """
    ranges = consecutive(days)
    while len(ranges) > most:
        gaps = [after.start - before.stop for before, after in pairwise(ranges)]
        at = gaps.index(min(gaps))
        ranges[at : at + 2] = [range(ranges[at].start, ranges[at + 1].stop)]
    return ranges


def _contents(known: Mapping[int, StoredDigest]) -> dict[int, str]:
    return {day: one.content for day, one in known.items() if one.content is not None}


def _touched(digests: SymbolDigests, days: range) -> list[int]:
    known = digests.by_asset.get(MINUTES_ASSET, {})
    return sorted(day for day, one in known.items() if day in days and (one.content is None or one.inputs is None))


def _rests_on_unknown(asset: DerivedAsset, day: int, unknown: Mapping[str, Sequence[int]]) -> bool:
    if not any(unknown.values()):
        return False
    return any(
        wanted.first_day <= touched <= day for wanted in asset.inputs(day) for touched in unknown[wanted.upstream]
    )
