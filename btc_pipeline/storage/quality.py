"""The `data_quality` table: gaps, rejected rows, anomalies and failures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from btc_pipeline.market.gaps import GapReason
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.digests import through_temporary_table
from btc_pipeline.storage.times import TIMESTAMP, day_start, to_datetime, to_timestamps

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

RESOLVE_GONE: Final = """
UPDATE data_quality q SET resolved = true, resolved_at = now()
WHERE kind = 'gap' AND NOT resolved AND symbol = $1 AND start_time >= $2 AND start_time < $3
  AND NOT EXISTS (SELECT FROM found_gaps f WHERE f.start_time = q.start_time AND f.end_time = q.end_time)
"""
ADD_FOUND: Final = """
INSERT INTO data_quality (kind, symbol, start_time, end_time, reason, retries, retried_at, detected_at)
SELECT 'gap', f.symbol, f.start_time, f.end_time, coalesce(q.reason, f.reason), coalesce(q.retries, 0), q.retried_at,
       coalesce(q.detected_at, now())
FROM found_gaps f
LEFT JOIN LATERAL (
    SELECT reason, retries, retried_at, detected_at FROM data_quality q
    WHERE q.kind = 'gap' AND NOT q.resolved AND q.symbol = f.symbol
      AND q.start_time < f.end_time AND q.end_time > f.start_time
    ORDER BY q.detected_at LIMIT 1
) q ON true
ON CONFLICT (symbol, start_time, end_time) WHERE kind = 'gap' AND NOT resolved DO NOTHING
"""
ADD_REJECTED: Final = """
INSERT INTO data_quality (kind, symbol, start_time, end_time, reason, payload)
SELECT 'rejected_row', symbol, time, time + interval '1 minute', reason, payload::jsonb FROM rejected_rows
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


def record_rejected(cursor: Cursor, symbol: str, rows: Sequence[RejectedRow]) -> None:
    """Keeps refused rows with their payload."""
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
    through_temporary_table(cursor, "rejected_rows", table, ADD_REJECTED)


def split_at_midnight(spans: Spans) -> Spans:
    """The same minutes in spans that never cross midnight."""
    pairs = [
        (max(start, day * MINUTES_PER_DAY), min(end, (day + 1) * MINUTES_PER_DAY))
        for start, end in spans.pairs()
        for day in range(start // MINUTES_PER_DAY, (end - 1) // MINUTES_PER_DAY + 1)
    ]
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return Spans(table[:, 0].copy(), table[:, 1].copy())
