"""The `data_quality` table: gaps, rejected rows, anomalies and failures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from btc_pipeline.market.gaps import GapReason, split_at_midnight
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.digests import through_temporary_table
from btc_pipeline.storage.quality_statements import ADD_FOUND, RESOLVE_GONE
from btc_pipeline.storage.times import TIMESTAMP, day_start, to_datetime, to_timestamps

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

ADD_REJECTED: Final = """
INSERT INTO data_quality (kind, symbol, start_time, end_time, reason, payload)
SELECT 'rejected_row', symbol, time, time + interval '1 minute', reason, payload::jsonb FROM rejected_rows
"""

EXPLAIN_WITHIN: Final = """
UPDATE data_quality SET reason = $4
WHERE kind = 'gap' AND NOT resolved AND symbol = $1 AND start_time >= $2 AND end_time <= $3 AND reason <> $4
"""
ADD_UNLESS_KNOWN: Final = """
INSERT INTO data_quality (kind, symbol, start_time, end_time, reason, payload)
SELECT '{kind}', symbol, time, time + interval '1 minute', reason, payload::jsonb FROM rejected_rows r
WHERE NOT EXISTS (
    SELECT FROM data_quality q
    WHERE q.kind = '{kind}' AND NOT q.resolved AND q.symbol = r.symbol AND q.reason = r.reason
      AND q.start_time IS NOT DISTINCT FROM r.time)
"""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was refused: its epoch minute if it had one, why, and all of it."""

    time: int | None
    reason: str
    payload: Mapping[str, object]


def record_gaps(
    cursor: Cursor, symbol: str, missing: Spans, days: range, *, reason: GapReason = GapReason.UNKNOWN
) -> None:
    """Makes the open gaps of whole days equal to what is missing; a gap is cut at midnight.

    A gap that stands, or what is left of one, keeps its reason and its retries; one that is gone is resolved.
    """
    spans = split_at_midnight(missing.clip(days.start * MINUTES_PER_DAY, days.stop * MINUTES_PER_DAY))
    table = pa.table(
        {
            "symbol": pa.repeat(symbol, len(spans)),
            "start_time": to_timestamps(spans.start),
            "end_time": to_timestamps(spans.end),
            "reason": pa.repeat(str(reason), len(spans)),
        }
    )
    cursor.adbc_ingest("found_gaps", table, mode="create", temporary=True)
    cursor.execute(ADD_FOUND)
    cursor.execute(RESOLVE_GONE, (symbol, day_start(days.start), day_start(days.stop)))
    cursor.execute("DROP TABLE pg_temp.found_gaps")


def explain_gaps(cursor: Cursor, symbol: str, spans: Spans, reason: GapReason) -> None:
    """Gives the open gaps that lie within spans a reason."""
    for start, end in spans.pairs():
        cursor.execute(EXPLAIN_WITHIN, (symbol, to_datetime(start), to_datetime(end), str(reason)))


def record_rejected(cursor: Cursor, symbol: str, rows: Sequence[RejectedRow]) -> None:
    """Keeps refused rows with their payload."""
    _record(cursor, symbol, rows, ADD_REJECTED)


def record_anomalies(cursor: Cursor, symbol: str, rows: Sequence[RejectedRow]) -> None:
    """Keeps what is odd about minutes that are stored all the same; what is known of a minute is not said again."""
    _record(cursor, symbol, rows, ADD_UNLESS_KNOWN.format(kind="anomaly"))


def record_new_rejected(cursor: Cursor, symbol: str, rows: Sequence[RejectedRow]) -> None:
    """Keeps refused rows of whoever may be told them again; what is known of a minute is not said again."""
    _record(cursor, symbol, rows, ADD_UNLESS_KNOWN.format(kind="rejected_row"))


def _record(cursor: Cursor, symbol: str, rows: Sequence[RejectedRow], statement: str) -> None:
    if not rows:
        return
    table = pa.table(
        {
            "symbol": pa.repeat(symbol, len(rows)),
            "time": pa.array([None if row.time is None else to_datetime(row.time) for row in rows], TIMESTAMP),
            "reason": pa.array([row.reason for row in rows], pa.string()),
            "payload": pa.array([json.dumps(dict(row.payload)) for row in rows], pa.string()),
        }
    )
    through_temporary_table(cursor, "rejected_rows", table, statement)
