"""The body of `candles_1m`: looks at stored minutes, quarantines offenders, finds gaps, digests the days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from btc_pipeline.market.candles import Candles
from btc_pipeline.market.gaps import missing_minutes
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.market.spans import Spans
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET
from btc_pipeline.pipeline.content import EMPTY, day_digests, minutes_parts
from btc_pipeline.pipeline.refresh import Report, count_and_last, pieces, read_minutes
from btc_pipeline.pipeline.schemas import Offence, drop_rows, find_offences
from btc_pipeline.storage.candles import first_and_last_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import DigestRow, StoredDigest, lock, read_digests, save_digests
from btc_pipeline.storage.minutes import supersede
from btc_pipeline.storage.quality import RejectedRow, record_gaps, record_rejected
from btc_pipeline.storage.vouched import replace_vouched

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor


def refresh_minutes(
    database: Database, instrument: Instrument, days: range, now: int, *, verify_only: bool = False
) -> Report:
    """Validates the minutes of the days (since 1970-01-01) and records their gaps and digests.

    A minute that breaks the schema goes to `data_quality` with its payload and counts as missing from then on.

    Args:
        now: the epoch minute; what has not happened yet is not missing.
        verify_only: only say which days were touched; nothing is written.
    """
    report = Report(MINUTES_ASSET, instrument.symbol, range(days.start, days.start))
    for piece in pieces(days):
        with database.arrow() as cursor:
            lock(cursor, MINUTES_ASSET, instrument.symbol)
            report.add(_refresh_piece(cursor, instrument, piece, now, verify_only=verify_only))
    return report


def _refresh_piece(cursor: Cursor, instrument: Instrument, days: range, now: int, *, verify_only: bool) -> Report:
    symbol = instrument.symbol
    minutes, vouched, digests = read_minutes(cursor, instrument, days)
    known = read_digests(cursor, symbol, MINUTES_ASSET, days.start, days.stop)
    stale = [day for day in days if known.get(day) != StoredDigest(digests[day], digests[day])]
    if verify_only:
        return Report(MINUTES_ASSET, symbol, days, recomputed=[day for day in stale if day in known], digests=digests)
    offences = find_offences(minutes)
    if offences:
        minutes, vouched = _quarantine(cursor, symbol, minutes, vouched, offences)
        digests = day_digests(minutes_parts(minutes, vouched), days)
    if stale or offences:
        record_gaps(cursor, symbol, _missing(cursor, symbol, minutes.time, vouched, days, now), days)
    parts = minutes_parts(minutes, vouched)[:1]
    rows = [DigestRow(day, digests[day], digests[day], *count_and_last(parts, range(day, day + 1))) for day in days]
    save_digests(cursor, symbol, MINUTES_ASSET, [row for row in rows if row.rows or row.day in known])
    recorded = [day for day in stale if day in known or digests[day] != EMPTY]
    return Report(MINUTES_ASSET, symbol, days, recorded, recorded, *count_and_last(parts, days), digests=digests)


def _missing(cursor: Cursor, symbol: str, time: Int64Array, vouched: Int64Array, days: range, now: int) -> Spans:
    """What should be there and is not: between the symbol's first stored minute and its last (or now)."""
    bounds = first_and_last_minute(cursor, symbol)
    if bounds is None:
        return Spans.of([])
    first, last = bounds
    start = max(days.start * MINUTES_PER_DAY, first)
    end = min(days.stop * MINUTES_PER_DAY, last + 1, now)
    return missing_minutes(time, Spans.of_minutes(vouched), start, max(start, end))


def _quarantine(
    cursor: Cursor, symbol: str, minutes: Candles, vouched: Int64Array, offences: Sequence[Offence]
) -> tuple[Candles, Int64Array]:
    """Takes offenders out of `candles`; nobody vouches for their minutes any more."""
    rows = np.array([offence.row for offence in offences], np.int64)
    times = minutes.time[rows]
    record_rejected(
        cursor,
        symbol,
        [
            RejectedRow(int(minutes.time[offence.row]), "; ".join(offence.rules), _payload(minutes, offence.row))
            for offence in offences
        ],
    )
    supersede(cursor, symbol, times, reason="quarantined: " + "; ".join(sorted({r for o in offences for r in o.rules})))
    withheld = np.isin(vouched, times)
    if withheld.any():
        days = np.unique(vouched[withheld] // MINUTES_PER_DAY)
        left = vouched[~withheld]
        replace_vouched(cursor, symbol, left[np.isin(left // MINUTES_PER_DAY, days)], days, source="quarantine")
        vouched = left
    return drop_rows(minutes, rows), vouched


def _payload(minutes: Candles, row: int) -> dict[str, float | str | None]:
    """The row as JSON can hold it: numbers that are none as text."""
    names = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "trades")
    values = {name: float(getattr(minutes, name)[row]) for name in names}
    return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
