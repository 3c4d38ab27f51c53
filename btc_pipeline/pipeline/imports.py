"""Importing a candle file: all of it in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from btc_pipeline.errors import UserError
from btc_pipeline.importing.reader import CandleFile, read_candle_file
from btc_pipeline.market.candles import MAX_SIGNIFICANT_DIGITS, Candles, Scale
from btc_pipeline.market.gaps import classify_holes
from btc_pipeline.market.instruments import Instrument, canonical_symbol
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.market.spans import Spans
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET
from btc_pipeline.storage.candles import first_and_last_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import lock, read_digests, touch_days
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline.storage.quality import RejectedRow, record_rejected
from btc_pipeline.storage.vouched import read_vouched, replace_vouched

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

DEFAULT_OUTAGE_MINUTES: Final = 180


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did; times are epoch minutes.

    Attributes:
        added, replaced, unchanged: minutes that were new, known differently (now in `candle_revisions`), known so.
        quiet, unknown: minutes without a row that the file vouches for, and those that nobody explains.
        rejected: rows left out under --skip-invalid, now in `data_quality`.
    """

    instrument: Instrument
    layout: str
    sha256: str
    rows: int
    added: int
    replaced: int
    unchanged: int
    quiet: int
    unknown: int
    rejected: int
    first: int
    last: int


def import_candles(
    database: Database,
    path: Path,
    symbol: str,
    *,
    layout: str = "auto",
    vouch: bool = False,
    outage_after: int = DEFAULT_OUTAGE_MINUTES,
    skip_invalid: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """Reads a file and stores its minutes under a symbol.

    Args:
        vouch: the file writes no row for a minute without trades, so its holes are quiet (`--missing no-trades`).
        outage_after: a hole longer than this many minutes is unknown all the same.
        skip_invalid: leave wrong rows out, and keep them in `data_quality`.
        say: told each step, for a terminal.

    Raises:
        UserError: the file, the symbol or the scale is wrong; nothing is written then.
    """
    canonical = canonical_symbol(symbol)
    if outage_after < 0:
        raise UserError(f"--outage-after {outage_after}m is below 0: give minutes, such as 180m.", field="outage_after")
    say(f"reading {path.name}")
    file = read_candle_file(path, layout=layout, skip_invalid=skip_invalid)
    say(f"storing {len(file.minutes):,} minutes of {canonical}")
    with database.arrow() as cursor:
        lock(cursor, MINUTES_ASSET, canonical)
        instrument = upsert_instrument(cursor, canonical, file.minutes.scale)
        check_scale(file.minutes, instrument.scale, path.name)
        return _store(cursor, instrument, file, path, vouch=vouch, outage_after=outage_after)


def _store(
    cursor: Cursor, instrument: Instrument, file: CandleFile, path: Path, *, vouch: bool, outage_after: int
) -> ImportReport:
    minutes, symbol = file.minutes, instrument.symbol
    first, last = int(minutes.time[0]), int(minutes.time[-1])
    added, replaced = store_minutes(cursor, symbol, minutes, reason=f"import of {path.name}")
    holes = classify_holes(minutes.time, vouch=vouch, outage_after=outage_after)
    quiet = holes.quiet.without(file.doubtful)
    _vouch(cursor, symbol, quiet, path.name)
    record_rejected(cursor, symbol, skipped_rows(file, path.name))
    return ImportReport(
        instrument,
        file.layout,
        file.sha256,
        file.rows_read,
        added,
        replaced,
        unchanged=len(minutes) - added - replaced,
        quiet=quiet.total,
        unknown=last + 1 - first - len(minutes) - quiet.total,
        rejected=len(file.skipped),
        first=first,
        last=last,
    )


def store_minutes(cursor: Cursor, symbol: str, minutes: Candles, *, reason: str) -> tuple[int, int]:
    """Stores confirmed minutes, and touches the days that have gaps now though no row of theirs changed.

    Args:
        minutes: ascending, at least one.
        reason: why a minute that is known differently is replaced.

    Returns:
        How many minutes were added, and how many replaced.
    """
    first, last = int(minutes.time[0]), int(minutes.time[-1])
    bounds = first_and_last_minute(cursor, symbol)
    done = write_minutes(cursor, symbol, minutes, status="confirmed", reason=reason)
    _touch_unseen(cursor, symbol, first, last, bounds or (first, last))
    return done


def skipped_rows(file: CandleFile, name: str) -> list[RejectedRow]:
    """The wrong rows of a file as `data_quality` keeps them."""
    return [
        RejectedRow(None, str(error), {"file": name, "row": error.row, "text": error.raw}) for error in file.skipped
    ]


def _vouch(cursor: Cursor, symbol: str, quiet: Spans, source: str) -> None:
    """Adds quiet minutes to what is vouched for; days whose record changes are touched."""
    if not len(quiet):
        return
    first, end = int(quiet.start[0]) // MINUTES_PER_DAY, (int(quiet.end[-1]) - 1) // MINUTES_PER_DAY + 1
    known = read_vouched(cursor, symbol, first, end)
    fresh = np.setdiff1d(quiet.minutes(), known)
    days = np.unique(fresh // MINUTES_PER_DAY)
    told = np.union1d(known[np.isin(known // MINUTES_PER_DAY, days)], fresh)
    replace_vouched(cursor, symbol, told, days, source=source)
    touch_days(cursor, symbol, days)


def _touch_unseen(cursor: Cursor, symbol: str, first: int, last: int, bounds: tuple[int, int]) -> None:
    """Touches days that have gaps now, though no row of theirs changed.

    Those are the days between what was there (`bounds`) and what came, and the day on which what was there began or
    ended, if it no longer does.
    """
    seen_first, seen_last = bounds
    days = range(min(first, seen_last) // MINUTES_PER_DAY, max(last, seen_first) // MINUTES_PER_DAY + 1)
    seen = set(read_digests(cursor, symbol, MINUTES_ASSET, days.start, days.stop))
    if first < seen_first:
        seen.discard(seen_first // MINUTES_PER_DAY)
    if last > seen_last:
        seen.discard(seen_last // MINUTES_PER_DAY)
    touch_days(cursor, symbol, _as_array([day for day in days if day not in seen]))


def _as_array(days: list[int]) -> Int64Array:
    return np.array(days, np.int64)


def check_scale(minutes: Candles, scale: Scale, name: str) -> None:
    """Refuses values of a file that the instrument's decimals would not hold exactly.

    Raises:
        UserError: there is one; the message names the file and the column.
    """
    for column, decimals in (("high", scale.price), ("volume", scale.volume)):
        largest = float(getattr(minutes, column).max())
        if largest * 10.0**decimals >= 10.0**MAX_SIGNIFICANT_DIGITS:
            raise UserError(
                f"{name}: column {column}: {largest!r} with the instrument's {decimals} decimals has more than "
                f"{MAX_SIGNIFICANT_DIGITS} significant digits; import it under another symbol.",
                field=column,
            )
