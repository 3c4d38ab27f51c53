"""Minutes without a row, as a download looks for them; and those of which it is known that the venue has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from btc_pipeline.market.gaps import GapReason
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.live_minutes import HOLES
from btc_pipeline.storage.times import to_datetime, to_minute

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

GIVEN_UP: Final = """
SELECT start_time, end_time FROM data_quality
WHERE kind = 'gap' AND NOT resolved AND symbol = $1 AND end_time > $2 AND start_time < $3 AND reason = $4
"""

COUNTS: Final = """
SELECT reason, (sum(extract(epoch FROM least(end_time, $3) - greatest(start_time, $2))) / 60)::bigint AS minutes
FROM data_quality
WHERE kind = 'gap' AND NOT resolved AND symbol = $1 AND end_time > $2 AND start_time < $3
GROUP BY reason ORDER BY reason
"""


def stored_holes(cursor: Cursor, symbol: str, start: int, end: int) -> Spans:
    """The spans of the epoch minutes [start, end) without a row, before a symbol's first and behind its last, too."""
    cursor.execute(HOLES, (symbol, start, end))
    table = cursor.fetch_arrow_table()
    return Spans.of(zip(table["start"].to_pylist(), table["end"].to_pylist(), strict=True))


def known_absent(cursor: Cursor, symbol: str, start: int, end: int) -> Spans:
    """What of [start, end) is a gap that the exchange itself has."""
    window = (symbol, to_datetime(start), to_datetime(end), str(GapReason.EXCHANGE_DOWNTIME))
    cursor.execute(GIVEN_UP, window)
    rows = cursor.fetch_arrow_table().to_pylist()
    return Spans.of((to_minute(row["start_time"]), to_minute(row["end_time"])) for row in rows)


def gap_counts(cursor: Cursor, symbol: str, start: int, end: int) -> dict[str, int]:
    """The minutes of open gaps in [start, end) by reason."""
    cursor.execute(COUNTS, (symbol, to_datetime(start), to_datetime(end)))
    return {row["reason"]: row["minutes"] for row in cursor.fetch_arrow_table().to_pylist()}
