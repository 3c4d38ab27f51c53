"""What every derived asset's body does alike: find its stale days, and record what was made of them.

A day is stale when the digest of its inputs moved, or when what is stored is no longer what was recorded: the rows
themselves are read and digested, so a day that somebody deleted or edited by hand is found, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from btc_pipeline.market.candles import Candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTE, Int64Array, Interval
from btc_pipeline.pipeline.catalogue import DerivedAsset, SourceContents, inputs_digest
from btc_pipeline.pipeline.content import Part, bars_part, day_digests, minutes_parts
from btc_pipeline.storage.candles import read_candles
from btc_pipeline.storage.digests import DigestRow, StoredDigest, read_digests, save_digests
from btc_pipeline.storage.vouched import read_vouched

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

DAYS_A_TRANSACTION: Final = 400
"""A longer range is done in pieces, which bounds memory."""


@dataclass
class Report:
    """What a body did to one asset of one symbol.

    Attributes:
        days: days looked at.
        recomputed: days whose inputs had changed, or that were not there.
        written: days whose content came out different.
        rows: rows the asset now holds in those days.
        last_time: open time (epoch minute) of the last of them.
        digests: content digest by day.
    """

    asset: str
    symbol: str
    days: range
    recomputed: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    rows: int = 0
    last_time: int | None = None
    digests: dict[int, str] = field(default_factory=dict)

    def add(self, other: Report) -> None:
        """Appends the report of the following days."""
        self.days = range(self.days.start, other.days.stop)
        self.recomputed += other.recomputed
        self.written += other.written
        self.rows += other.rows
        self.last_time = self.last_time if other.last_time is None else other.last_time
        self.digests |= other.digests


class Refresh:
    """One asset of one symbol over some days, inside a transaction: wanted inputs against what is stored."""

    def __init__(
        self,
        cursor: Cursor,
        asset: DerivedAsset,
        instrument: Instrument,
        days: range,
        *,
        upstream: Mapping[str, Mapping[int, str]],
        stored: Sequence[Part],
        now: int,
        source: SourceContents | None = None,
    ) -> None:
        """
        Args:
            upstream: content digests of the inputs, as read in this transaction.
            source: those of the warm-up's source.
            stored: the asset's own rows of those days, as read in this transaction.
            now: the epoch minute up to which bars are closed.
        """
        self._cursor = cursor
        self._asset = asset
        self._symbol = instrument.symbol
        self.days = days
        self.wanted = {day: inputs_digest(asset, day, upstream, instrument.scale, now, source) for day in days}
        self.actual = day_digests(stored, days)
        known = read_digests(cursor, instrument.symbol, asset.name, days.start, days.stop)
        self.stale = [day for day in days if known.get(day) != StoredDigest(self.actual[day], self.wanted[day])]
        self._stored = stored
        self._made: Sequence[Part] = ()
        self._fresh: dict[int, str] = {}

    def span(self) -> range:
        """The days from the first stale one to the last."""
        return range(self.stale[0], self.stale[-1] + 1) if self.stale else range(0)

    def changed(self, made: Sequence[Part]) -> list[int]:
        """The stale days whose content, newly made for the whole span, differs from what is stored."""
        self._made, self._fresh = made, day_digests(made, self.span())
        return [day for day in self.stale if self._fresh[day] != self.actual[day]]

    def found(self) -> Report:
        """What was found, where nothing is to be made."""
        return Report(self._asset.name, self._symbol, self.days, recomputed=self.stale, digests=self.actual)

    def record(self, written: list[int]) -> Report:
        """Saves the digests of the stale days, once `written` ones are; reports on all days."""
        rows = [
            DigestRow(day, self._fresh[day], self.wanted[day], *count_and_last(self._made, range(day, day + 1)))
            for day in self.stale
        ]
        save_digests(self._cursor, self._symbol, self._asset.name, rows)
        settled = [Part(p.name, *_keep(p, self.stale, inside=False)) for p in self._stored]
        renewed = [Part(p.name, *_keep(p, self.stale, inside=True)) for p in self._made]
        count, last = count_and_last([*settled, *renewed], self.days)
        return Report(
            self._asset.name,
            self._symbol,
            self.days,
            recomputed=self.stale,
            written=written,
            rows=count,
            last_time=last,
            digests={**self.actual, **{day: self._fresh[day] for day in self.stale}},
        )


def _keep(part: Part, days: list[int], *, inside: bool) -> tuple[Int64Array, Int64Array]:
    rows = np.isin(part.day, days, invert=not inside)
    return part.day[rows], part.numbers[rows]


def count_and_last(parts: Sequence[Part], days: range) -> tuple[int, int | None]:
    """How many rows the parts have in a range of days, and the last time (their first column) among them."""
    count, last = 0, None
    for part in parts:
        first, end = np.searchsorted(part.day, (days.start, days.stop))
        count += int(end - first)
        if end > first:
            time = int(part.numbers[end - 1, 0])
            last = time if last is None else max(last, time)
    return count, last


def pieces(days: range) -> Iterator[range]:
    """A range of days cut into transactions."""
    for first in range(days.start, days.stop, DAYS_A_TRANSACTION):
        yield range(first, min(first + DAYS_A_TRANSACTION, days.stop))


def consecutive(days: Sequence[int]) -> list[range]:
    """Ascending days as ranges.

    Example:
        >>> consecutive([1, 2, 5])
        [range(1, 3), range(5, 6)]
    """
    ranges: list[range] = []
    for day in days:
        if ranges and ranges[-1].stop == day:
            ranges[-1] = range(ranges[-1].start, day + 1)
        else:
            ranges.append(range(day, day + 1))
    return ranges


def read_minutes(cursor: Cursor, instrument: Instrument, days: range) -> tuple[Candles, Int64Array, dict[int, str]]:
    """The minutes of whole days, the minutes vouched for, and the digest of each day."""
    start, end = MINUTE.slots_closing_in(days.start, days.stop).start, days.stop * 1440
    minutes = read_candles(cursor, instrument.symbol, MINUTE, instrument.scale, start, end)
    vouched = read_vouched(cursor, instrument.symbol, days.start, days.stop)
    return minutes, vouched, day_digests(minutes_parts(minutes, vouched), days)


def read_bars(
    cursor: Cursor, instrument: Instrument, interval: Interval, days: range
) -> tuple[Candles, dict[int, str]]:
    """The stored bars of an interval that belong to whole days, and the digest of each day.

    On 1m, quiet minutes are left out: a bar of quiet minutes alone is no bar.
    """
    if interval == MINUTE:
        minutes, _, digests = read_minutes(cursor, instrument, days)
        return minutes.take(minutes.quiet_minutes == 0), digests
    slots = interval.slots_closing_in(days.start, days.stop)
    start, end = interval.open(slots.start), interval.open(slots.stop)
    bars = read_candles(cursor, instrument.symbol, interval, instrument.scale, start, end)
    return bars, day_digests([bars_part(bars)], days)


def first_input_day(asset: DerivedAsset, days: range, upstream: str) -> int:
    """The earliest day of an upstream asset that any of the days is made from."""
    firsts = [wanted.first_day for day in days for wanted in asset.inputs(day) if wanted.upstream == upstream]
    return min([days.start, *firsts])
