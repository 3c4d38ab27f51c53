"""Reads for the question whether everything is well: what is stored, collected, decided, and how far back bars reach.

Statements take their values as parameters ($1, ...), so that asyncpg and psycopg (`read`) can run the same text.
Does not belong here: what the answers mean (`btc_pipeline.pipeline.health`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from btc_pipeline.storage.connection import Database

Question = tuple[str, tuple[object, ...]]
"""A statement and its parameters."""

Rows = list[dict[str, Any]]

COLLECTORS: Final = """
SELECT s.symbol, s.feed, s.process, s.connection, s.message, s.started_at, s.heartbeat_at, s.connected_at,
       s.last_frame_at, s.accounted_until, s.minutes_landed, s.spooled_minutes, s.spooled_bytes, s.clock_offset_ms,
       s.exchange_at,
       (SELECT c.time FROM candles c WHERE c.symbol = s.symbol AND c.interval = '1m' ORDER BY c.time DESC LIMIT 1)
           AS newest_minute
FROM collector_state s ORDER BY s.symbol
"""

# What `exchange_downtime` and `beyond_retention` say is settled: nobody can fill such a gap.
SYMBOLS: Final = """
SELECT h.symbol, h.venue, h.first_day, h.last_day, h.minutes::bigint AS minutes, h.touched_days, h.neglected_days,
       h.open_gaps, h.missing_minutes, h.rejected_rows, n.newest_minute,
       g.recent_open_gaps, g.final_gaps, g.fillable_since
FROM data_health h
CROSS JOIN LATERAL (
    SELECT (SELECT c.time FROM candles c WHERE c.symbol = h.symbol AND c.interval = '1m' ORDER BY c.time DESC LIMIT 1)
        AS newest_minute
) n
CROSS JOIN LATERAL (
    SELECT count(*) AS recent_open_gaps,
           count(*) FILTER (WHERE q.reason IN ('exchange_downtime', 'beyond_retention')) AS final_gaps,
           coalesce(
               array_agg(q.start_time ORDER BY q.start_time)
                   FILTER (WHERE q.reason NOT IN ('exchange_downtime', 'beyond_retention')),
               '{}'
           ) AS fillable_since
    FROM data_quality q
    WHERE q.symbol = h.symbol AND q.kind = 'gap' AND NOT q.resolved AND q.end_time > n.newest_minute - interval '7 days'
) g
ORDER BY h.symbol
"""

BARS: Final = """
SELECT s.symbol, w.interval, b.times, b.usable, b.recorded
FROM collector_state s
CROSS JOIN unnest($1::text[], $2::bigint[]) AS w (interval, bars)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(time ORDER BY time), '{}') AS times,
           coalesce(array_agg(usable ORDER BY time), '{}') AS usable,
           coalesce(array_agg(recorded_at ORDER BY time), '{}') AS recorded
    FROM (
        SELECT c.time, c.usable, c.recorded_at FROM candles c
        WHERE c.symbol = s.symbol AND c.interval = w.interval ORDER BY c.time DESC LIMIT w.bars
    ) newest
) b
ORDER BY s.symbol, w.interval
"""
"""The newest bars of every collected symbol: of each interval $1, so many as $2 says."""

WARM_BARS: Final = """
SELECT u.symbol, w.interval, b.times, b.usable
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (symbol, source, until)
CROSS JOIN unnest($4::text[], $5::bigint[]) AS w (interval, bars)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(time ORDER BY time), '{}') AS times,
           coalesce(array_agg(usable ORDER BY time), '{}') AS usable
    FROM (
        SELECT c.time, c.usable FROM candles c
        WHERE c.symbol = u.source AND c.interval = w.interval AND c.time < to_timestamp(u.until * 60)
        ORDER BY c.time DESC LIMIT w.bars
    ) newest
) b
ORDER BY u.symbol, w.interval
"""
"""The same of the sources ($2) of symbols' ($1) warm-ups, of bars that open before $3 (epoch minutes)."""

DECISIONS: Final = """
SELECT i.symbol, w.interval, w.strategy, w.parameters, d.time, d.type, d.target, d.recorded_at
FROM instruments i
CROSS JOIN unnest($1::text[], $2::text[], $3::text[]) AS w (interval, strategy, parameters)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT DISTINCT ON (time) time, type, target, recorded_at, withdrawn
        FROM decisions
        WHERE symbol = i.symbol AND interval = w.interval AND strategy = w.strategy
          AND parameters = w.parameters::jsonb AND backtest_id IS NULL
        ORDER BY time DESC, version DESC
    ) latest
    WHERE NOT withdrawn LIMIT 1
) d
ORDER BY i.symbol, d.time DESC, w.strategy
"""
"""The newest decision of every symbol at each of: interval $1, strategy $2, parameters as JSON $3."""


def read(database: Database, questions: Mapping[str, Question]) -> dict[str, Rows]:
    """The rows of every question, all as of one moment.

    Raises:
        UserError: the database does not answer.
    """
    with database.rows() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor = psycopg.RawCursor(connection, row_factory=dict_row)
        return {
            name: cursor.execute(statement, parameters).fetchall()
            for name, (statement, parameters) in questions.items()
        }
