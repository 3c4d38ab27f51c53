"""What of a wanted past is not there."""

from __future__ import annotations

from typing import Final

from btc_pipeline.downloading.history import Want
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.candles import first_and_last_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.holes import known_absent, stored_holes
from btc_pipeline.storage.vouched import read_vouched

LIVE_MINUTES: Final = MINUTES_PER_DAY
"""So many of the newest minutes are the collector's to fill."""


def lacking(database: Database, want: Want, now: int) -> int:
    """How many of the wanted minutes are neither stored nor known to be none, those aside that are the collector's."""
    end = now - LIVE_MINUTES if want.end is None else want.end
    with database.arrow() as cursor:
        bounds = first_and_last_minute(cursor, want.symbol)
        if bounds is None:
            return end - want.start
        missing = stored_holes(cursor, want.symbol, want.start, end)
        days = want.start // MINUTES_PER_DAY, -(-end // MINUTES_PER_DAY)
        known = [
            *Spans.of_minutes(read_vouched(cursor, want.symbol, *days)).pairs(),
            *known_absent(cursor, want.symbol, want.start, end).pairs(),
        ]
    return missing.total - sum(Spans.of(known).clip(a, b).total for a, b in missing.pairs())
