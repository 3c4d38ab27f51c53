"""The statements of `backtests`, as psycopg, ADBC and asyncpg can run them: $1, $2, ... are parameters."""

from __future__ import annotations

from typing import Final

MARK: Final = """
SELECT concat(count(*), '/', sum(hash_record_extended(
           ROW(time, open, high, low, close, volume, quote_volume, taker_buy_volume, trades), 0)), '/', (
    SELECT concat(count(*), '/', sum(hash_record_extended(ROW(day, minutes), 0)))
    FROM (
        SELECT DISTINCT ON (day) day, minutes FROM vouched_minutes
        WHERE symbol = $1 AND day >= $4::date AND day < $5::date ORDER BY day, recorded_at DESC
    ) newest
)) AS mark
FROM candles WHERE symbol = $1 AND interval = '1m' AND time >= $2::timestamptz AND time < $3::timestamptz
"""
"""What is stored of a symbol's minutes, told by the server in one line: equal content, equal line."""

TRADED: Final = """
SELECT 1 AS found FROM candles
WHERE symbol = $1 AND interval = '1m' AND time >= $2 AND time < $3 AND quiet_minutes = 0 LIMIT 1
"""
"""A row if anything was traded in [$2, $3): then there is a bar."""

COLUMNS: Final = """
    id, group_id, run_key, result_hash, status, symbol, interval, strategy, configuration, results, message, progress,
    dagster_run_id, created_at, started_at, finished_at
"""
HEAD_COLUMNS: Final = COLUMNS.replace("results,", "results -> 'metrics' AS metrics,")
"""The same for lists: of the results the metrics alone."""

ONE: Final = f"SELECT {COLUMNS} FROM backtest_runs WHERE id = $1::uuid"  # noqa: S608 constants of this module
BEGINNING_WITH: Final = "SELECT id FROM backtest_runs WHERE id::text LIKE $1 LIMIT 2"
DONE_BY_RUN_KEY: Final = f"""
SELECT {COLUMNS} FROM backtest_runs WHERE run_key = $1 AND status = 'done' ORDER BY finished_at, id LIMIT 1
"""  # noqa: S608 constants of this module
DONE_BY_LOOKUP_KEY: Final = f"""
SELECT {COLUMNS} FROM backtest_runs WHERE lookup_key = $1 AND status = 'done' ORDER BY finished_at, id LIMIT 1
"""  # noqa: S608 constants of this module
BUSY_BY_LOOKUP_KEY: Final = """
SELECT id, status FROM backtest_runs WHERE lookup_key = $1 AND status IN ('queued', 'running')
"""
SEVERAL: Final = f"SELECT {COLUMNS} FROM backtest_runs WHERE id = ANY($1::uuid[])"  # noqa: S608 constants of this module
_TRADE_COLUMNS: Final = (
    "number, entry_time, exit_time, side, quantity, entry_price, exit_price, fees, funding, profit, reason"
)
_DECISION_COLUMNS: Final = "time, target, type, confidence, input_digest, warmed"
LAST_TRADES: Final = f"""
SELECT {_TRADE_COLUMNS} FROM backtest_trades WHERE backtest_id = $1::uuid ORDER BY number DESC LIMIT $2
"""  # noqa: S608 constants of this module
_PARTS: Final = {
    "trades": (_TRADE_COLUMNS, "backtest_trades", "entry_time"),
    "equity": ("time, equity, equity_base, drawdown", "backtest_equity", "time"),
    "decisions": (f"{_DECISION_COLUMNS}, reasons, indicator_snapshot", "decisions", "time"),
}
EXPORTS: Final = {
    "trades": f"SELECT {_TRADE_COLUMNS} FROM backtest_trades WHERE backtest_id = $1::uuid ORDER BY number",  # noqa: S608
    "equity": "SELECT time, equity, equity_base, drawdown FROM backtest_equity WHERE backtest_id = $1::uuid "
    "ORDER BY time",
    "decisions": f"SELECT {_DECISION_COLUMNS}, array_to_string(reasons, '; ') AS reasons, "  # noqa: S608
    "indicator_snapshot::text AS indicator_snapshot FROM decisions WHERE backtest_id = $1::uuid ORDER BY time",
}
"""All of a run ($1), as files have it."""


def list_statement(*, newest: bool) -> str:
    """Runs of a symbol ($1), status ($2) and group ($3) that were asked for in [$4, $5), at most $6 of them."""
    order = "DESC" if newest else "ASC"
    return f"""
    SELECT {HEAD_COLUMNS} FROM backtest_runs
    WHERE ($1::text IS NULL OR symbol = $1) AND ($2::text IS NULL OR status = $2)
      AND ($3::uuid IS NULL OR group_id = $3 OR id IN (SELECT backtest_id FROM backtest_groups WHERE group_id = $3))
      AND created_at >= $4 AND created_at < $5
    ORDER BY created_at {order}, id {order} LIMIT $6
    """  # noqa: S608 constants of this module


def part_statement(what: str, *, newest: bool) -> str:
    """A run's ($1) `trades`, `equity` or `decisions` with `time` (trades: of the entry) in [$2, $3), at most $4."""
    columns, table, time = _PARTS[what]
    order = "DESC" if newest else "ASC"
    return f"""
    SELECT {columns} FROM {table} WHERE backtest_id = $1::uuid AND {time} >= $2 AND {time} < $3
    ORDER BY {time} {order} LIMIT $4
    """  # noqa: S608 constants of this module


ADD: Final = """
INSERT INTO backtest_runs (id, group_id, status, symbol, interval, strategy, configuration, lookup_key)
VALUES ($1::uuid, $2::uuid, 'queued', $3, $4, $5, $6::jsonb, $7)
ON CONFLICT (lookup_key) WHERE status IN ('queued', 'running') DO UPDATE SET lookup_key = excluded.lookup_key
RETURNING id, status
"""
"""A row that waits, or the one with its lookup key that waits or runs already."""
GROUP_OF: Final = """
WITH near AS (
    SELECT group_id FROM backtest_runs WHERE id = ANY($1::uuid[])
    UNION SELECT group_id FROM backtest_groups WHERE backtest_id = ANY($1::uuid[])
), members AS (
    SELECT group_id, id FROM backtest_runs JOIN near USING (group_id)
    UNION SELECT group_id, backtest_id FROM backtest_groups JOIN near USING (group_id)
)
SELECT group_id FROM members GROUP BY group_id HAVING array_agg(id ORDER BY id) = $1::uuid[] ORDER BY group_id LIMIT 1
"""
"""A group of exactly these runs ($1, ascending)."""
JOIN_GROUP: Final = """
INSERT INTO backtest_groups (group_id, backtest_id) SELECT $1::uuid, id FROM backtest_runs WHERE id = ANY($2::uuid[])
ON CONFLICT DO NOTHING
"""
IS_GROUP: Final = """
SELECT 1 AS found FROM backtest_runs WHERE group_id = $1::uuid
UNION ALL SELECT 1 FROM backtest_groups WHERE group_id = $1::uuid LIMIT 1
"""
SET_DAGSTER_RUN: Final = "UPDATE backtest_runs SET dagster_run_id = $2 WHERE id = $1::uuid"
START: Final = """
UPDATE backtest_runs
SET status = 'running', progress = 0, message = NULL, started_at = clock_timestamp(), finished_at = NULL,
    dagster_run_id = coalesce($2, dagster_run_id)
WHERE id = $1::uuid AND status <> 'done'
RETURNING id
"""
PROGRESS: Final = "UPDATE backtest_runs SET progress = $2 WHERE id = $1::uuid AND status = 'running'"
FAIL: Final = """
UPDATE backtest_runs SET status = 'failed', lookup_key = NULL, message = $2, finished_at = clock_timestamp()
WHERE id = $1::uuid AND status IN ('queued', 'running')
RETURNING id
"""
FINISH: Final = """
UPDATE backtest_runs
SET status = 'done', progress = 1, run_key = $2, lookup_key = $3, result_hash = $4, configuration = $5::jsonb,
    results = $6::jsonb, finished_at = clock_timestamp()
WHERE id = $1::uuid AND status = 'running'
RETURNING id
"""
LOCK: Final = "SELECT pg_advisory_lock(hashtextextended('backtest/' || $1, 0))"
"""Held by whoever runs a run as long as its connection lives."""
FAIL_ABANDONED: Final = """
WITH busy AS MATERIALIZED (
    SELECT id, status FROM backtest_runs
    WHERE status = 'running'
       OR (status = 'queued' AND dagster_run_id IS NULL AND created_at < now() - interval '1 minute')
)
UPDATE backtest_runs r
SET status = 'failed', lookup_key = NULL, message = CASE busy.status WHEN 'running' THEN $1 ELSE $2 END,
    finished_at = clock_timestamp()
FROM busy
WHERE r.id = busy.id AND r.status = busy.status
  AND pg_try_advisory_xact_lock(hashtextextended('backtest/' || busy.id, 0))
RETURNING r.id
"""
"""Runs that nobody runs any more ($1 says so), or that nobody has launched ($2), are failed."""

DELETE: Final = """
WITH decided AS (DELETE FROM decisions WHERE backtest_id = $1::uuid)
DELETE FROM backtest_runs WHERE id = $1::uuid RETURNING id
"""

ADD_TRADES: Final = """
INSERT INTO backtest_trades (backtest_id, number, entry_time, exit_time, side, quantity, entry_price, exit_price, fees,
                             funding, profit, reason)
SELECT backtest_id::uuid, number, entry_time, exit_time, side, quantity, entry_price, exit_price, fees, funding, profit,
       reason
FROM new_trades
"""
ADD_EQUITY: Final = """
INSERT INTO backtest_equity (backtest_id, time, equity, equity_base, drawdown)
SELECT backtest_id::uuid, time, equity, equity_base, drawdown FROM new_equity
"""
ADD_DECISIONS: Final = """
INSERT INTO decisions (time, symbol, interval, strategy, parameters, backtest_id, version, target, type, confidence,
                       reasons, indicator_snapshot, input_digest, origin, warmed)
SELECT time, symbol, interval, strategy, parameters::jsonb, backtest_id::uuid, 1, target, type, confidence,
       string_to_array(reasons, chr(31)), indicator_snapshot::jsonb, input_digest, 'backfill', warmed
FROM new_decisions
"""
FINISH_AS: Final = """
UPDATE backtest_runs r
SET status = 'done', progress = 1, run_key = o.run_key, lookup_key = o.lookup_key, result_hash = o.result_hash,
    configuration = o.configuration, results = o.results, finished_at = clock_timestamp()
FROM backtest_runs o
WHERE o.id = $1::uuid AND r.id = $2::uuid AND r.status = 'running'
RETURNING r.id
"""
COPY: Final = (
    """
INSERT INTO backtest_trades
SELECT $2::uuid, number, entry_time, exit_time, side, quantity, entry_price, exit_price, fees, funding, profit, reason
FROM backtest_trades WHERE backtest_id = $1::uuid
""",
    """
INSERT INTO backtest_equity SELECT $2::uuid, time, equity, equity_base, drawdown
FROM backtest_equity WHERE backtest_id = $1::uuid
""",
    """
INSERT INTO decisions (time, symbol, interval, strategy, parameters, backtest_id, version, target, type, confidence,
                       reasons, indicator_snapshot, input_digest, origin, warmed)
SELECT time, symbol, interval, strategy, parameters, $2::uuid, version, target, type, confidence, reasons,
       indicator_snapshot, input_digest, origin, warmed
FROM decisions WHERE backtest_id = $1::uuid
""",
)
"""All that belongs to a run ($1), once more for another ($2)."""
