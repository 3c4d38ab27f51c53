"""Storing what REST tells: a slice in one transaction, its rows and what it leaves out.

Belongs here: which rows are stored, and what a minute is that REST does not tell. Does not belong here: asking
(`rest_tail`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from btc_pipeline.collector.repair import LATE_PUBLISH_MINUTES
from btc_pipeline.collector.validation import accept
from btc_pipeline.exchanges.base import History, Minute, Unreadable
from btc_pipeline.market.candles import Candles, Scale, minute_candles
from btc_pipeline.market.gaps import GapReason
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.market.spans import NO_SPANS, Spans
from btc_pipeline.pipeline.archive_files import missing_between
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET
from btc_pipeline.pipeline.imports import store_minutes
from btc_pipeline.storage.candles import first_and_last_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import lock
from btc_pipeline.storage.holes import known_absent, stored_holes
from btc_pipeline.storage.instruments import read_instruments, upsert_instrument
from btc_pipeline.storage.quality import RejectedRow, explain_gaps, record_gaps, record_new_rejected
from btc_pipeline.storage.vouched import read_vouched

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

REASON: Final = "download by REST of {venue}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was wanted of a slice, and what REST told of it and of the minutes around it."""

    wanted: Spans
    history: History


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a slice's rows."""

    added: int = 0
    replaced: int = 0
    rejected: int = 0


class SliceStore:
    """Where slices of one symbol are stored, in ascending order."""

    def __init__(
        self, database: Database, symbol: str, venue: str, scale: Scale, *, now: int, proven: Spans = NO_SPANS
    ) -> None:
        """
        Args:
            scale: decimals to begin with, if the symbol has none yet.
            now: the epoch minute that the venue's clock shows.
            proven: minutes that the venue does not have, as is known without asking.
        """
        self._database = database
        self._symbol = symbol
        self._venue = venue
        self._scale = scale
        self._now = now
        self._proven = proven
        self._unexplained = list(proven.pairs())

    def missing(self, spans: Spans) -> Spans:
        """What of spans has no row, is not vouched for, and is not known to be absent."""
        found: list[tuple[int, int]] = []
        with self._database.arrow() as cursor:
            for start, end in spans.pairs():
                holes = stored_holes(cursor, self._symbol, start, end)
                days = start // MINUTES_PER_DAY, (end - 1) // MINUTES_PER_DAY + 1
                vouched = Spans.of_minutes(read_vouched(cursor, self._symbol, *days))
                absent = Spans.of([*known_absent(cursor, self._symbol, start, end).pairs(), *self._proven.pairs()])
                found += minus(minus(holes, vouched), absent).pairs()
        return Spans.of(found)

    def has_older(self, missing: Spans) -> bool:
        """Whether a row is stored from before what is missing."""
        with self._database.arrow() as cursor:
            bounds = first_and_last_minute(cursor, self._symbol)
        return bounds is not None and len(missing) > 0 and bounds[0] < int(missing.start[0])

    def land(self, answer: Answer) -> Landed:
        """Stores a slice."""
        wanted = answer.wanted
        told = [row.time for row in answer.history.minutes if row.time < self._now]
        inside = _within(answer.history, wanted, self._now)
        with self._database.arrow() as cursor:
            lock(cursor, MINUTES_ASSET, self._symbol)
            declared = {one.symbol: one for one in read_instruments(cursor)}.get(self._symbol)
            if declared is None and not inside.minutes:
                return Landed()
            rows, refused, scale = _accepted(inside, declared.scale if declared else self._scale, self._symbol)
            if declared is None or scale != declared.scale:
                declared = upsert_instrument(cursor, self._symbol, scale)
            landed = Landed(rejected=len(refused))
            if rows:
                minutes = _candles(rows, declared.scale)
                reason = REASON.format(venue=self._venue)
                added, replaced = store_minutes(cursor, self._symbol, minutes, reason=reason)
                landed = Landed(added, replaced, len(refused))
            record_new_rejected(cursor, self._symbol, [_rejected(one) for one in refused])
            self._explain(cursor, declared, answer, told)
        return landed

    def finish(self) -> None:
        """Says of what was not explained yet, for no row came behind it, what it is."""
        if not self._unexplained:
            return
        with self._database.arrow() as cursor:
            lock(cursor, MINUTES_ASSET, self._symbol)
            declared = {one.symbol: one for one in read_instruments(cursor)}.get(self._symbol)
            if declared is not None:
                self._record(cursor, declared, Spans.of(self._unexplained))

    def _explain(self, cursor: Cursor, instrument: Instrument, answer: Answer, told: Sequence[int]) -> None:
        """What REST leaves out between a stored row and one that it tells, it has not, once that is a day ago."""
        refused = [row.time for row in answer.history.unreadable if row.time is not None]
        given = np.unique(np.array([*told, *refused], np.int64))
        self._unexplained += minus(answer.wanted, Spans.of_minutes(given)).pairs()
        if not len(given):
            return
        behind = int(given[-1])
        ready = [(start, end) for start, end in self._unexplained if end <= behind]
        self._unexplained = [(start, end) for start, end in self._unexplained if end > behind]
        self._record(cursor, instrument, Spans.of([*ready, *answer.wanted.pairs()]), Spans.of(ready))

    def _record(self, cursor: Cursor, instrument: Instrument, looked_at: Spans, left_out: Spans = NO_SPANS) -> None:
        """Records the gaps of the days that were looked at, with their reasons."""
        if not len(looked_at):
            return
        days = range(int(looked_at.start[0]) // MINUTES_PER_DAY, (int(looked_at.end[-1]) - 1) // MINUTES_PER_DAY + 1)
        missing = missing_between(cursor, instrument, days.start * MINUTES_PER_DAY, days.stop * MINUTES_PER_DAY)
        record_gaps(cursor, instrument.symbol, missing, days)
        known = self._proven.clip(days.start * MINUTES_PER_DAY, days.stop * MINUTES_PER_DAY).pairs()
        final = [(start, end) for start, end in left_out.pairs() if self._now - end >= LATE_PUBLISH_MINUTES]
        late = minus(looked_at, Spans.of([*final, *known]))
        explain_gaps(cursor, instrument.symbol, late, GapReason.LATE_PUBLISH)
        explain_gaps(cursor, instrument.symbol, Spans.of([*final, *known]), GapReason.EXCHANGE_DOWNTIME)


def minus(spans: Spans, other: Spans) -> Spans:
    """The minutes of spans that are not in the other's."""
    if not len(spans) or not len(other):
        return spans
    left = other.complement(int(spans.start[0]), int(spans.end[-1]))
    return Spans.of((max(a, c), min(b, d)) for a, b in spans.pairs() for c, d in left.clip(a, b).pairs())


def _within(history: History, wanted: Spans, now: int) -> History:
    """The rows that were wanted, of minutes that have closed."""
    rows = [row for row in history.minutes if row.time < now]
    inside = wanted.contains(np.array([row.time for row in rows], np.int64)).tolist()
    unreadable = [row for row in history.unreadable if row.time is None or row.time < now]
    return History([row for row, wanted_too in zip(rows, inside, strict=True) if wanted_too], unreadable)


def _accepted(history: History, scale: Scale, symbol: str) -> tuple[list[Minute], list[Unreadable], Scale]:
    async def declare(wanted: Scale) -> Scale:
        return wanted

    return asyncio.run(accept(history, scale, declare, symbol))


def _rejected(row: Unreadable) -> RejectedRow:
    return RejectedRow(row.time, row.reason, {"text": row.payload})


def _candles(rows: Sequence[Minute], scale: Scale) -> Candles:
    def column(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.array([getattr(row, name) for row in rows], np.float64)

    return minute_candles(
        scale,
        np.array([row.time for row in rows], np.int64),
        (column("open"), column("high"), column("low"), column("close")),
        column("volume"),
        quote_volume=column("quote_volume"),
        taker_buy_volume=column("taker_buy_volume"),
        trades=np.array([row.trades for row in rows], np.int64),
    )
