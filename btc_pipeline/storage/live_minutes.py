"""Statements of whoever writes minutes one by one as they come (asyncpg, `$1` parameters). No pyarrow in its process.

Belongs here: SQL text alone, for the same tables and by the same rules as `minutes`, `digests`, `vouched` and
`instruments`, which write whole files by Arrow. Minutes are passed as epoch minutes (bigint), moments as epoch seconds.
"""

from __future__ import annotations

from typing import Final

LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
"""Excludes `digests.lock` of the same key. A statement of its own: what follows must see what it waited for."""

TOUCH: Final = """
INSERT INTO partition_digests (asset, symbol, day, touched_from, touched_at)
SELECT 'candles_1m', symbol, day, touched_from, now() FROM touched_days
ON CONFLICT (asset, symbol, day) DO UPDATE SET
    content_digest = NULL,
    inputs_digest = NULL,
    touched_from = least(partition_digests.touched_from, excluded.touched_from),
    touched_at = coalesce(partition_digests.touched_at, now()),
    updated_at = now()
"""
"""Reads (symbol, day, touched_from) from `touched_days`: a temporary table, or another part of the statement."""

LAND: Final = f"""
WITH given AS (
    SELECT to_timestamp(minute * 60) AS time, g.*
    FROM unnest($2::bigint[], $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::float8[], $8::float8[],
                $9::float8[], $10::bigint[], $11::integer[], $12::text[], $13::text[])
        AS g (minute, open, high, low, close, volume, quote_volume, taker_buy_volume, trades, quiet, status, reason)
),
edges AS (
    SELECT
        (SELECT extract(epoch FROM time)::bigint / 60 FROM candles
         WHERE symbol = $1 AND interval = '1m' ORDER BY time LIMIT 1) AS first,
        (SELECT extract(epoch FROM time)::bigint / 60 FROM candles
         WHERE symbol = $1 AND interval = '1m' ORDER BY time DESC LIMIT 1) AS last
),
-- What a confirmed word does not tell is not denied by it: where two agree in all that both tell, each completes the
-- other, whichever comes first.
told AS (
    SELECT g.minute, g.time, g.open, g.high, g.low, g.close, g.volume, g.quiet, g.status, g.reason, a.agrees,
        CASE WHEN a.agrees THEN coalesce(g.quote_volume, o.quote_volume) ELSE g.quote_volume END AS quote_volume,
        CASE WHEN a.agrees THEN coalesce(g.taker_buy_volume, o.taker_buy_volume) ELSE g.taker_buy_volume END
            AS taker_buy_volume,
        CASE WHEN a.agrees THEN coalesce(g.trades, o.trades) ELSE g.trades END AS trades
    FROM given g
    LEFT JOIN candles o ON o.symbol = $1 AND o.interval = '1m' AND o.time = g.time
        AND o.time BETWEEN to_timestamp($14::bigint * 60) AND to_timestamp($15::bigint * 60)
    CROSS JOIN LATERAL (
        SELECT o.time IS NOT NULL AND g.status = 'confirmed' AND o.status IN ('confirmed', 'revised')
            AND (g.open, g.high, g.low, g.close, g.volume) = (o.open, o.high, o.low, o.close, o.volume)
            AND coalesce(g.quote_volume = o.quote_volume, true)
            AND coalesce(g.taker_buy_volume = o.taker_buy_volume, true)
            AND coalesce(g.trades = o.trades, true) AS agrees
    ) a
),
judged AS (
    SELECT g.*, o.status AS old_status,
        CASE
            WHEN o.time IS NULL THEN 'add'
            WHEN (g.open, g.high, g.low, g.close, g.volume, g.quote_volume, g.taker_buy_volume, g.trades)
                IS NOT DISTINCT FROM
                (o.open, o.high, o.low, o.close, o.volume, o.quote_volume, o.taker_buy_volume, o.trades)
                THEN CASE WHEN g.status = 'confirmed' AND o.status IN ('provisional', 'tainted')
                     THEN 'confirm' ELSE 'keep' END
            WHEN g.agrees THEN 'complete'
            WHEN g.status = 'confirmed' THEN 'replace'
            -- Of two provisional words the one that saw more holds. The order is total, so that any order of landings
            -- ends alike.
            WHEN o.status = 'provisional'
                AND (coalesce(g.trades, -1), g.volume, g.high, -g.low, g.close, g.open,
                     coalesce(g.quote_volume, -1), coalesce(g.taker_buy_volume, -1))
                  > (coalesce(o.trades, -1), o.volume, o.high, -o.low, o.close, o.open,
                     coalesce(o.quote_volume, -1), coalesce(o.taker_buy_volume, -1))
                THEN 'replace'
            ELSE 'keep'
        END AS verdict
    FROM told g
    LEFT JOIN candles o ON o.symbol = $1 AND o.interval = '1m' AND o.time = g.time
        AND o.time BETWEEN to_timestamp($14::bigint * 60) AND to_timestamp($15::bigint * 60)
),
superseded AS (
    INSERT INTO candle_revisions (time, symbol, open, high, low, close, volume, quote_volume, taker_buy_volume, trades,
                                  status, recorded_at, superseded_at, reason)
    SELECT o.time, o.symbol, o.open, o.high, o.low, o.close, o.volume, o.quote_volume, o.taker_buy_volume, o.trades,
           o.status, o.recorded_at, statement_timestamp(), j.reason
    FROM judged j
    JOIN candles o ON o.symbol = $1 AND o.interval = '1m' AND o.time = j.time
        AND o.time BETWEEN to_timestamp($14::bigint * 60) AND to_timestamp($15::bigint * 60)
    WHERE j.verdict IN ('replace', 'complete')
),
replaced AS (
    UPDATE candles c SET
        open = j.open, high = j.high, low = j.low, close = j.close, volume = j.volume, quote_volume = j.quote_volume,
        taker_buy_volume = j.taker_buy_volume, trades = j.trades, quiet_minutes = j.quiet,
        status = CASE WHEN j.verdict = 'complete' THEN c.status
                      WHEN j.status = 'confirmed' AND c.status IN ('confirmed', 'revised') THEN 'revised'
                      ELSE j.status END,
        recorded_at = statement_timestamp()
    FROM judged j
    WHERE c.symbol = $1 AND c.interval = '1m' AND c.time = j.time AND j.verdict IN ('replace', 'complete')
        AND c.time BETWEEN to_timestamp($14::bigint * 60) AND to_timestamp($15::bigint * 60)
),
confirmed AS (
    UPDATE candles c SET status = 'confirmed'
    FROM judged j
    WHERE c.symbol = $1 AND c.interval = '1m' AND c.time = j.time AND j.verdict = 'confirm'
        AND c.time BETWEEN to_timestamp($14::bigint * 60) AND to_timestamp($15::bigint * 60)
),
added AS (
    INSERT INTO candles (time, symbol, interval, open, high, low, close, volume, quote_volume, taker_buy_volume, trades,
                         minutes, quiet_minutes, expected_minutes, usable, status, recorded_at)
    SELECT time, $1::text, '1m', open, high, low, close, volume, quote_volume, taker_buy_volume, trades,
           1, quiet, 1, true, status, statement_timestamp()
    FROM judged WHERE verdict = 'add'
),
settled AS (
    UPDATE data_quality q SET resolved = true, resolved_at = statement_timestamp()
    FROM judged j
    WHERE q.kind = 'rejected_row' AND NOT q.resolved AND q.symbol = $1 AND q.start_time = j.time
        AND j.status = 'confirmed'
),
-- A row beyond what was stored turns the minutes between into holes: their days must be looked at, too.
outermost AS (
    SELECT minute FROM judged, edges
    WHERE verdict = 'add' AND (edges.first IS NULL OR minute < edges.first OR minute > edges.last)
    UNION SELECT first FROM edges WHERE first IS NOT NULL
    UNION SELECT last FROM edges WHERE last IS NOT NULL
),
holes AS (
    SELECT before, after
    FROM (SELECT lag(minute) OVER (ORDER BY minute) AS before, minute AS after FROM outermost) pairs, edges
    WHERE after > before + 1 AND (edges.first IS NULL OR after <= edges.first OR before >= edges.last)
),
touched_days AS (
    SELECT $1::text AS symbol, date '1970-01-01' + day::integer AS day, to_timestamp(min(minute) * 60) AS touched_from
    FROM (
        SELECT minute / 1440 AS day, minute FROM judged WHERE verdict IN ('add', 'replace', 'complete')
        UNION ALL
        SELECT day, greatest(before + 1, day * 1440)
        FROM holes, generate_series((before + 1) / 1440, (after - 1) / 1440) AS day
    ) changed
    GROUP BY day
),
touched AS ({TOUCH})
SELECT
    count(*) FILTER (WHERE verdict = 'add') AS added,
    count(*) FILTER (WHERE verdict IN ('replace', 'complete')) AS replaced,
    count(*) FILTER (WHERE verdict = 'confirm') AS confirmed,
    count(*) FILTER (WHERE verdict = 'keep') AS unchanged
FROM judged
"""  # noqa: S608 constants alone
"""One round of landings, each minute at most once. A confirmed minute settles what was rejected of it.

A completed minute keeps its status: nothing that was said of it has changed. What was known before is kept, too.

Since when a row is known is the statement's time, not the transaction's: it begins after the lock is had.
"""

TOUCH_MINUTES: Final = f"""
WITH touched_days AS (
    SELECT $1::text AS symbol, date '1970-01-01' + day AS day, to_timestamp(touched_from * 60) AS touched_from
    FROM unnest($2::integer[], $3::bigint[]) AS t (day, touched_from)
)
{TOUCH}
"""  # noqa: S608 constants alone

BOUNDS: Final = """
SELECT
    (SELECT extract(epoch FROM time)::bigint / 60 FROM candles
     WHERE symbol = $1 AND interval = '1m' ORDER BY time LIMIT 1) AS first,
    (SELECT extract(epoch FROM time)::bigint / 60 FROM candles
     WHERE symbol = $1 AND interval = '1m' ORDER BY time DESC LIMIT 1) AS last
"""

LAST_CONFIRMED: Final = """
SELECT extract(epoch FROM max(time))::bigint / 60
FROM candles
WHERE symbol = $1 AND interval = '1m' AND time >= to_timestamp($2::bigint * 60)
  AND status IN ('confirmed', 'revised')
  AND time < coalesce(
      (SELECT min(time) FROM candles WHERE symbol = $1 AND interval = '1m' AND time >= to_timestamp($2::bigint * 60)
         AND status NOT IN ('confirmed', 'revised')),
      'infinity')
"""

STORED: Final = """
SELECT extract(epoch FROM time)::bigint / 60 AS minute, open, high, low, close, volume, trades, quote_volume,
       taker_buy_volume, status
FROM candles
WHERE symbol = $1 AND interval = '1m' AND time >= to_timestamp($2::bigint * 60) AND time < to_timestamp($3::bigint * 60)
ORDER BY time
"""

HOLES: Final = """
SELECT extract(epoch FROM time)::bigint / 60 + 1 AS start, extract(epoch FROM next)::bigint / 60 AS end
FROM (
    SELECT time, lead(time, 1, to_timestamp($3::bigint * 60)) OVER (ORDER BY time) AS next
    FROM (
        SELECT to_timestamp(($2::bigint - 1) * 60) AS time
        UNION ALL
        SELECT time FROM candles
        WHERE symbol = $1 AND interval = '1m'
          AND time >= to_timestamp($2::bigint * 60) AND time < to_timestamp($3::bigint * 60)
    ) stored
) pairs
WHERE next > time + interval '1 minute'
ORDER BY time
"""
"""Spans of [$2, $3) without a row."""

VOUCHED: Final = """
SELECT DISTINCT ON (day) day - date '1970-01-01' AS epoch_day, minutes FROM vouched_minutes
WHERE symbol = $1 AND day >= date '1970-01-01' + $2::integer AND day < date '1970-01-01' + $3::integer
ORDER BY day, recorded_at DESC
"""
"""The bitmaps that hold of the days [$2, $3) since 1970-01-01."""

VOUCH: Final = """
INSERT INTO vouched_minutes (symbol, day, minutes, source, recorded_at)
SELECT $1, date '1970-01-01' + day, minutes, $4, clock_timestamp()
FROM unnest($2::integer[], $3::bytea[]) AS v (day, minutes)
"""

UPSERT_INSTRUMENT: Final = """
INSERT INTO instruments (symbol, venue, venue_symbol, price_decimals, volume_decimals, quote_decimals)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (symbol) DO UPDATE SET
    price_decimals = greatest(instruments.price_decimals, excluded.price_decimals),
    volume_decimals = greatest(instruments.volume_decimals, excluded.volume_decimals),
    quote_decimals = greatest(instruments.quote_decimals, excluded.quote_decimals)
"""
"""The text of `instruments.UPSERT`."""

SCALE: Final = "SELECT price_decimals, volume_decimals, quote_decimals FROM instruments WHERE symbol = $1"

SAVE_STATE: Final = """
INSERT INTO collector_state (symbol, feed, process, connection, message, started_at, heartbeat_at, connected_at,
                             last_frame_at, last_minute, accounted_until, minutes_landed, spooled_minutes,
                             spooled_bytes, clock_offset_ms, exchange_at)
VALUES ($1, $2, $3, $4, $5, to_timestamp($6), to_timestamp($7), to_timestamp($8), to_timestamp($9), to_timestamp($10),
        to_timestamp($11), $12, $13, $14, $15, to_timestamp($16))
ON CONFLICT (symbol) DO UPDATE SET
    process = excluded.process, connection = excluded.connection, message = excluded.message,
    started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at, connected_at = excluded.connected_at,
    last_frame_at = excluded.last_frame_at, last_minute = excluded.last_minute,
    accounted_until = excluded.accounted_until, minutes_landed = excluded.minutes_landed,
    spooled_minutes = excluded.spooled_minutes, spooled_bytes = excluded.spooled_bytes,
    clock_offset_ms = excluded.clock_offset_ms, exchange_at = excluded.exchange_at
WHERE collector_state.feed = excluded.feed
RETURNING feed
"""
"""Answers no row where the stored one is of another feed."""

RETIRE_STATES: Final = """
UPDATE collector_state SET connection = 'stopped', message = 'not collected any more'
WHERE NOT (symbol = ANY($1::text[])) AND connection <> 'stopped'
"""
"""A symbol that the settings do not name any more is nobody's fault: a collector that was killed left it as it was."""
