"""Storing a file of a venue's archive: its minutes, what it lacks, and its checksum, all in one transaction or nothing.

A file whose checksum was verified is the venue's last word on its span: a minute that it lacks, the venue has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from btc_pipeline.importing.reader import CandleFile
from btc_pipeline.market.gaps import GapReason, missing_minutes
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY
from btc_pipeline.market.spans import Spans
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET
from btc_pipeline.pipeline.imports import ImportReport, check_scale, skipped_rows, store_minutes
from btc_pipeline.storage.candles import first_and_last_minute, read_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import lock
from btc_pipeline.storage.downloads import Download, read_downloads, save_download
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.quality import (
    RejectedRow,
    explain_gaps,
    record_anomalies,
    record_gaps,
    record_rejected,
)
from btc_pipeline.storage.vouched import read_vouched

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

    from btc_pipeline.market.instruments import Instrument


def store_archive_file(database: Database, symbol: str, file: CandleFile, download: Download) -> ImportReport:
    """Stores what a verified file of a venue's archive holds, under a canonical symbol.

    Minutes that are known differently are replaced, and go to `candle_revisions` with the file's name and checksum.
    Minutes that it lacks are gaps of the exchange, but not those before the symbol's first.

    Raises:
        UserError: its values do not fit the instrument's decimals; nothing is written then.
    """
    minutes, name = file.minutes, download.name
    with database.arrow() as cursor:
        lock(cursor, MINUTES_ASSET, symbol)
        instrument = upsert_instrument(cursor, symbol, minutes.scale)
        check_scale(minutes, instrument.scale, name)
        reason = f"archive file {name}, sha256 {download.sha256}"
        added, replaced = store_minutes(cursor, symbol, minutes, reason=reason)
        record_rejected(cursor, symbol, skipped_rows(file, name))
        record_anomalies(cursor, symbol, [unheld_quote(minute, text, name) for minute, text in file.unheld])
        lacking = _record_lacking(cursor, instrument, file, download)
        save_download(cursor, symbol, download)
    return ImportReport(
        instrument,
        file.layout,
        file.sha256,
        file.rows_read,
        added,
        replaced,
        unchanged=len(minutes) - added - replaced,
        quiet=0,
        unknown=lacking,
        rejected=len(file.skipped),
        first=download.first,
        last=download.last,
    )


def unheld_quote(minute: int, text: str, source: str) -> RejectedRow:
    """A minute whose quote volume was left out, as `data_quality` keeps it."""
    words = f"quote volume {text} has more digits than a double holds beside the others: it is stored as unknown"
    return RejectedRow(minute, words, {"quote_volume": text, "source": source})


def missing_between(cursor: Cursor, instrument: Instrument, start: int, end: int) -> Spans:
    """The gaps of [start, end): between the symbol's first stored minute and its last, without the vouched ones."""
    bounds = first_and_last_minute(cursor, instrument.symbol)
    if bounds is None:
        return Spans.of([])
    start, end = max(start, bounds[0]), min(end, bounds[1] + 1)
    if start >= end:
        return Spans.of([])
    stored = read_candles(cursor, instrument.symbol, MINUTE, instrument.scale, start, end)
    days = start // MINUTES_PER_DAY, (end - 1) // MINUTES_PER_DAY + 1
    vouched = Spans.of_minutes(read_vouched(cursor, instrument.symbol, *days))
    return missing_minutes(stored.time, vouched, start, end)


def _record_lacking(cursor: Cursor, instrument: Instrument, file: CandleFile, download: Download) -> int:
    """Records the gaps of the file's days, those that it proves as the exchange's; how many minutes those are."""
    symbol = instrument.symbol
    others = read_downloads(cursor, symbol).values()
    # What the file before lacks at its end is a gap only now that there is a row behind it.
    start = min([download.start, *(one.last + 1 for one in others if one.end == download.start)])
    days = range(start // MINUTES_PER_DAY, -(-download.end // MINUTES_PER_DAY))
    missing = missing_between(cursor, instrument, days.start * MINUTES_PER_DAY, days.stop * MINUTES_PER_DAY)
    record_gaps(cursor, symbol, missing, days)
    proven = missing.clip(start, download.end).without(file.doubtful)
    explain_gaps(cursor, symbol, proven, GapReason.EXCHANGE_DOWNTIME)
    return proven.total
