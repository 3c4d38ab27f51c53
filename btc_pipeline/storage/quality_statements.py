"""Statements on `data_quality` that both roads use: `quality` by Arrow, the collector by asyncpg. No pyarrow here.

Belongs here: SQL text alone. The gaps' statements read what was found from a relation `found_gaps` (symbol, start_time,
end_time, reason): a temporary table or a WITH before them.
"""

from __future__ import annotations

from typing import Final

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

FOUND_GAPS: Final = """
WITH found_gaps AS (
    SELECT $1::text AS symbol, to_timestamp(start_minute * 60) AS start_time, to_timestamp(end_minute * 60) AS end_time,
           {reason} AS reason
    FROM unnest({minutes}::bigint[], {ends}::bigint[]) AS f (start_minute, end_minute)
)
"""
RESOLVE_GONE_OF_ARRAYS: Final = FOUND_GAPS.format(reason="''", minutes="$4", ends="$5") + RESOLVE_GONE
"""Symbol, the window as two timestamps, the starts and ends of what was found in epoch minutes."""
ADD_FOUND_OF_ARRAYS: Final = FOUND_GAPS.format(reason="$4::text", minutes="$2", ends="$3") + ADD_FOUND
"""Symbol, the starts and ends in epoch minutes, the reason of gaps that are new."""

EXPLAIN_UNKNOWN: Final = """
UPDATE data_quality SET reason = $4
WHERE kind = 'gap' AND NOT resolved AND symbol = $1 AND start_time >= $2 AND start_time < $3 AND reason = 'unknown'
"""
OPEN_GAPS: Final = """
SELECT extract(epoch FROM start_time)::bigint / 60 AS start, extract(epoch FROM end_time)::bigint / 60 AS end, reason,
       retries, extract(epoch FROM retried_at)::float8 AS retried_at
FROM data_quality
WHERE kind = 'gap' AND NOT resolved AND symbol = $1 AND start_time >= $2 AND start_time < $3
ORDER BY start_time
"""
TRIED: Final = """
UPDATE data_quality q SET retries = retries + 1, retried_at = to_timestamp($4::float8), reason = coalesce($5, reason)
FROM unnest($2::bigint[], $3::bigint[]) AS t (start_minute, end_minute)
WHERE kind = 'gap' AND NOT resolved AND symbol = $1
  AND start_time = to_timestamp(t.start_minute * 60) AND end_time = to_timestamp(t.end_minute * 60)
"""
EXPLAIN: Final = """
UPDATE data_quality q SET reason = $4
FROM unnest($2::bigint[], $3::bigint[]) AS t (start_minute, end_minute)
WHERE kind = 'gap' AND NOT resolved AND symbol = $1 AND reason <> $4
  AND start_time = to_timestamp(t.start_minute * 60) AND end_time = to_timestamp(t.end_minute * 60)
"""

COUNT_AGAIN: Final = """
UPDATE data_quality SET retries = retries + 1, retried_at = now()
WHERE id = (
    SELECT max(id) FROM data_quality
    WHERE kind = $1 AND symbol = $2 AND reason = $3 AND NOT resolved
      AND start_time IS NOT DISTINCT FROM to_timestamp($4::bigint * 60)
      AND end_time IS NOT DISTINCT FROM to_timestamp($5::bigint * 60)
      AND detected_at > now() - make_interval(secs => $6::float8)
)
RETURNING id
"""
"""A row that says the same and is not older than so many seconds; `retries` counts how often it was said again."""
ADD: Final = """
INSERT INTO data_quality (kind, symbol, reason, start_time, end_time, payload)
VALUES ($1, $2, $3, to_timestamp($4::bigint * 60), to_timestamp($5::bigint * 60), $6::jsonb)
"""
