"""Statements of cross-checks: closes in, alerts into `data_quality`. No pyarrow here: the collector runs them, too.

Belongs here: SQL text, and what an alert's row says. Does not belong here: the basis and its alerts (`market.basis`).
Minutes are epoch minutes. An alert is known by its symbols and its start: said again, its row is brought up to date.
"""

from __future__ import annotations

import json
from typing import Final

from btc_pipeline.market.basis import Alert, Comparison

LOCK_NAME: Final = "cross_check"

READ_CLOSES: Final = """
SELECT extract(epoch FROM time)::bigint / 60 AS minute, close
FROM candles
WHERE symbol = $1 AND interval = '1m' AND quiet_minutes = 0
  AND time >= to_timestamp($2::bigint * 60) AND time < to_timestamp($3::bigint * 60)
ORDER BY time
"""
"""The closes of traded minutes of [$2, $3)."""

SAVE_ALERT: Final = """
WITH known AS (
    SELECT id FROM data_quality
    WHERE kind = 'anomaly' AND symbol = $1 AND payload ->> 'cross_check' = $2
      AND start_time = to_timestamp($3::bigint * 60)
    ORDER BY id LIMIT 1
), changed AS (
    UPDATE data_quality q SET
        end_time = to_timestamp($4::bigint * 60), reason = $5::text, payload = $6::jsonb, resolved = $7::boolean,
        resolved_at = CASE WHEN $7::boolean THEN coalesce(q.resolved_at, now()) END
    FROM known
    WHERE q.id = known.id AND (q.end_time, q.reason, q.payload, q.resolved)
        IS DISTINCT FROM (to_timestamp($4::bigint * 60), $5::text, $6::jsonb, $7::boolean)
)
INSERT INTO data_quality (kind, symbol, start_time, end_time, reason, payload, resolved, resolved_at)
SELECT 'anomaly', $1, to_timestamp($3::bigint * 60), to_timestamp($4::bigint * 60), $5::text, $6::jsonb, $7::boolean,
       CASE WHEN $7::boolean THEN now() END
WHERE NOT EXISTS (SELECT FROM known)
"""
"""Not to be run twice at once for one comparison: whoever runs it holds the lock `LOCK_NAME/SYMBOL/AGAINST`."""

RESOLVE_OTHERS: Final = """
UPDATE data_quality SET resolved = true, resolved_at = now()
WHERE kind = 'anomaly' AND NOT resolved AND symbol = $1 AND payload ->> 'cross_check' = $2
  AND start_time >= to_timestamp($3::bigint * 60) AND start_time < to_timestamp($4::bigint * 60)
  AND NOT extract(epoch FROM start_time)::bigint / 60 = ANY($5::bigint[])
"""
"""Open alerts of the window [$3, $4) that begin at none of the minutes $5."""


def alert_row(of: Comparison, alert: Alert, *, over: bool) -> tuple[str, str, int, int, str, str, bool]:
    """The parameters of SAVE_ALERT."""
    payload = {
        "cross_check": of.against,
        "bps": round(alert.bps, 2),
        "median_bps": round(alert.median, 2),
        "minutes": alert.minutes,
    }
    return of.symbol, of.against, alert.start, alert.end, alert.words(of), json.dumps(payload), over
