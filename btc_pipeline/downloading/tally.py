"""What a download made of its range: counted in the database, for a file may hold minutes from outside it.

Belongs here: how many minutes of the range are stored, are missing, came now. Does not belong here: why minutes are
missing (`storage.holes`).
"""

from __future__ import annotations

from dataclasses import dataclass

from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.candles import first_and_last_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.downloads import Stored, count_replaced, read_stored
from btc_pipeline.storage.holes import stored_holes
from btc_pipeline.storage.vouched import read_vouched


@dataclass(frozen=True, slots=True)
class Tally:
    """The epoch minutes [begins, end): a range from the coin's first minute on.

    Attributes:
        first, last: what is stored of them; None where nothing is.
        stored, missing: how many; a minute that is vouched to have had no trade is neither.
        added, replaced, known: the stored ones, by what the download did.
    """

    begins: int
    first: int | None
    last: int | None
    stored: int
    missing: int
    added: int
    replaced: int
    known: int


def before(database: Database, symbol: str, start: int, end: int) -> Stored:
    """What is there before a download of [start, end)."""
    with database.arrow() as cursor:
        return read_stored(cursor, symbol, start, end)


def after(database: Database, symbol: str, start: int, end: int, was: Stored, listed: int | None) -> Tally:
    """What a download of [start, end) did.

    Args:
        was: what was there before it.
        listed: the first row of the venue's first file; None where that is not known.
    """
    with database.arrow() as cursor:
        now = read_stored(cursor, symbol, start, end)
        replaced = count_replaced(cursor, symbol, start, end, was.moment)
        bounds = first_and_last_minute(cursor, symbol)
        firsts = [one for one in (listed, bounds[0] if bounds else None) if one is not None]
        begins = max(start, min([end, *firsts]))
        vouched = Spans.of_minutes(
            read_vouched(cursor, symbol, begins // MINUTES_PER_DAY, -(-end // MINUTES_PER_DAY))
        ).clip(begins, end)
        quiet = 0
        if len(vouched):
            holes = stored_holes(cursor, symbol, begins, end)
            quiet = sum(vouched.clip(a, b).total for a, b in holes.pairs())
    added = max(0, now.rows - was.rows)
    return Tally(
        begins,
        now.first,
        now.last,
        now.rows,
        end - begins - now.rows - quiet,
        added,
        replaced,
        now.rows - added - replaced,
    )
