"""Reads for people and programs outside: bars that are stored, bars made on the spot, decisions as they were known.

Belongs here: SQL that the API and notebooks read with, and the one limit on making bars on the spot. Does not belong
here: HTTP, and what the pipeline itself reads (that is beside what it writes).

Statements take their values as parameters ($1, ...), so that ADBC and asyncpg can run the same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Interval
from btc_pipeline.market.resampling import UsabilityRule, resample
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.candles import READ_WINDOW, from_arrow
from btc_pipeline.storage.reading import BATCH_BYTES, read_table, with_literals
from btc_pipeline.storage.times import to_datetime
from btc_pipeline.storage.vouched import read_vouched

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

MAX_SOURCE_MINUTES: Final = 500_000
"""Bars that are not stored are made from at most this many minutes at a time: about a year."""

BAR_COLUMNS: Final = (
    "time", "open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "trades",
    "minutes", "quiet_minutes", "expected_minutes", "usable",
)  # fmt: skip

SYMBOL_BOUNDS: Final = """
SELECT symbol, venue, venue_symbol, price_decimals, volume_decimals, quote_decimals,
       (SELECT time FROM candles WHERE symbol = $1 AND interval = '1m' ORDER BY time LIMIT 1) AS first_minute,
       (SELECT time FROM candles WHERE symbol = $1 AND interval = '1m' ORDER BY time DESC LIMIT 1) AS last_minute,
       (SELECT time FROM candles WHERE symbol = $1 AND interval = $2 ORDER BY time DESC LIMIT 1) AS last_bar
FROM instruments WHERE symbol = $1
"""
INSTRUMENTS: Final = """
SELECT symbol, venue, venue_symbol, price_decimals, volume_decimals, quote_decimals,
       (SELECT time FROM candles c WHERE c.symbol = i.symbol AND interval = '1m' ORDER BY time LIMIT 1) AS first_minute,
       (SELECT time FROM candles c WHERE c.symbol = i.symbol AND interval = '1m' ORDER BY time DESC LIMIT 1)
           AS last_minute
FROM instruments i ORDER BY symbol
"""
BAR_AT_OFFSET: Final = """
SELECT time FROM candles WHERE symbol = $1 AND interval = $2 AND time < $3 ORDER BY time DESC OFFSET $4 LIMIT 2
"""
INDICATOR_DEFINITIONS: Final = """
SELECT indicator_name, indicator, output, parameters FROM indicator_definitions ORDER BY indicator_name
"""
EXPORT_INDICATORS: Final = """
SELECT time, indicator_name AS name, value, settled, warmed FROM indicators
WHERE symbol = $1 AND interval = $2 AND time >= $3 AND time < $4 ORDER BY time, indicator_name
"""
EXPORT_DECISIONS: Final = """
SELECT time, strategy, parameters::text AS parameters, version, target, type, confidence,
       array_to_string(reasons, '; ') AS reasons, indicator_snapshot::text AS indicator_snapshot, input_digest, origin,
       recorded_at, warmed
FROM current_decisions
WHERE symbol = $1 AND interval = $2 AND time >= $3 AND time < $4 ORDER BY time, strategy, parameters
"""

# The newest version of each decision that was recorded by $5, unless it takes the decision back. A loose index scan
# finds the strategies, so that LIMIT reads a few rows of each instead of sorting a whole history.
_SERIES: Final = """
WITH RECURSIVE series AS (
    (SELECT strategy, parameters FROM decisions
     WHERE symbol = $1 AND interval = $2 AND backtest_id IS NULL ORDER BY strategy, parameters LIMIT 1)
    UNION ALL
    SELECT next.strategy, next.parameters FROM series s CROSS JOIN LATERAL (
        SELECT d.strategy, d.parameters FROM decisions d
        WHERE d.symbol = $1 AND d.interval = $2 AND d.backtest_id IS NULL
          AND (d.strategy, d.parameters) > (s.strategy, s.parameters)
        ORDER BY d.strategy, d.parameters LIMIT 1
    ) next
)
"""
_DECISION_COLUMNS: Final = """
    time, symbol, interval, strategy, parameters, version, withdrawn, target, type, confidence, reasons,
    indicator_snapshot, input_digest, origin, recorded_at, warmed
"""
_KNOWN_VERSIONS: Final = """
        WHERE d.symbol = $1 AND d.interval = $2 AND d.strategy = s.strategy AND d.parameters = s.parameters
          AND d.backtest_id IS NULL AND d.time >= $3 AND d.time < $4
          AND d.recorded_at <= coalesce($5::timestamptz, 'infinity')
"""
_OF_STRATEGY: Final = "WHERE $7::text IS NULL OR s.strategy = $7"


def decisions_statement(*, newest: bool, every_version: bool) -> str:
    """Decisions of a symbol ($1) and interval ($2) in [$3, $4) as known at $5, at most $6 of them, of strategy $7.

    Args:
        newest: descending by time, else ascending.
        every_version: superseded versions and withdrawals, too.
    """
    order = "DESC" if newest else "ASC"
    if every_version:
        rows = f"""
        SELECT {_DECISION_COLUMNS} FROM decisions d {_KNOWN_VERSIONS}
        ORDER BY d.time {order}, d.version {order} LIMIT $6
        """  # noqa: S608 constants of this module
    else:
        rows = f"""
        SELECT * FROM (
            SELECT DISTINCT ON (d.time) {_DECISION_COLUMNS} FROM decisions d {_KNOWN_VERSIONS}
            ORDER BY d.time {order}, d.version DESC
        ) latest WHERE NOT withdrawn LIMIT $6
        """  # noqa: S608 constants of this module
    return f"""{_SERIES}
    SELECT found.* FROM series s CROSS JOIN LATERAL ({rows}) found {_OF_STRATEGY}
    ORDER BY found.time {order}, found.strategy {order}, found.parameters {order}, found.version {order} LIMIT $6
    """  # noqa: S608 constants of this module


def indicators_statement(*, newest: bool) -> str:
    """Values of a symbol ($1) and interval ($2) in [$3, $4), at most $5 of them, of the names $6 (text[])."""
    order = "DESC" if newest else "ASC"
    return f"""
    SELECT found.time, n.name, found.value, found.settled, found.warmed
    FROM unnest($6::text[]) AS n (name) CROSS JOIN LATERAL (
        SELECT time, value, settled, warmed FROM indicators
        WHERE symbol = $1 AND interval = $2 AND indicator_name = n.name AND time >= $3 AND time < $4
        ORDER BY time {order} LIMIT $5
    ) found
    ORDER BY found.time {order}, n.name {order} LIMIT $5
    """  # noqa: S608 two words, chosen here


def quality_statement(*, newest: bool) -> str:
    """Problems of a symbol ($1) and kind ($2), open or settled ($3), that start in [$4, $5), at most $6 of them.

    A gap is stored in days; pieces that touch, alike in reason and state, are one here.
    """
    order = "DESC" if newest else "ASC"
    return f"""
    WITH chosen AS (
        SELECT * FROM data_quality
        WHERE ($1::text IS NULL OR symbol = $1) AND ($2::text IS NULL OR kind = $2)
          AND ($3::boolean IS NULL OR resolved = $3)
    ), pieces AS (
        SELECT *, CASE WHEN start_time = lag(end_time) OVER (
            PARTITION BY symbol, interval, reason, resolved, resolved_at ORDER BY start_time, end_time, id
        ) THEN 0 ELSE 1 END AS begins
        FROM chosen WHERE kind = 'gap'
    ), numbered AS (
        SELECT *, sum(begins) OVER (
            PARTITION BY symbol, interval, reason, resolved, resolved_at ORDER BY start_time, end_time, id
        ) AS number
        FROM pieces
    ), together AS (
        SELECT array_agg(id ORDER BY start_time) AS ids, 'gap' AS kind, symbol, interval, min(start_time) AS start_time,
               max(end_time) AS end_time, reason, NULL::jsonb AS payload, max(retries) AS retries,
               min(detected_at) AS detected_at, resolved, resolved_at
        FROM numbered GROUP BY symbol, interval, reason, resolved, resolved_at, number
        UNION ALL
        SELECT ARRAY[id], kind, symbol, interval, start_time, end_time, reason, payload, retries, detected_at, resolved,
               resolved_at
        FROM chosen WHERE kind <> 'gap'
    )
    SELECT *, coalesce(start_time, detected_at) AS at,
           (extract(epoch FROM end_time - start_time) / 60)::bigint AS minutes
    FROM together WHERE coalesce(start_time, detected_at) >= $4 AND coalesce(start_time, detected_at) < $5
    ORDER BY at {order}, ids[1] {order} LIMIT $6
    """  # noqa: S608 two words, chosen here


def bars_statement(columns: Sequence[str] = BAR_COLUMNS, *, newest: bool = False) -> str:
    """Stored bars of a symbol ($1) and interval ($2) that open in [$3, $4), at most $5 of them."""
    unknown = set(columns) - set(BAR_COLUMNS)
    if unknown:
        raise ValueError(f"no such columns: {sorted(unknown)}")
    order = "DESC" if newest else "ASC"
    return f"""
    SELECT {", ".join(columns)} FROM candles
    WHERE symbol = $1 AND interval = $2 AND time >= $3 AND time < $4 ORDER BY time {order} LIMIT $5
    """  # noqa: S608 checked names


def stream_bars(
    cursor: Cursor, symbol: str, interval: Interval, columns: Sequence[str], start: int, end: int, limit: int
) -> Iterator[pa.RecordBatch]:
    """Stored bars that open in the epoch minutes [start, end), in batches of a megabyte."""
    parameters = (symbol, interval.name, to_datetime(start), to_datetime(end), limit)
    yield from stream_rows(cursor, bars_statement(columns), parameters)


def read_bars_table(
    cursor: Cursor, symbol: str, interval: Interval, columns: Sequence[str], start: int, end: int, limit: int
) -> pa.Table:
    """Stored bars that open in the epoch minutes [start, end), some of their columns."""
    parameters = (symbol, interval.name, to_datetime(start), to_datetime(end), limit)
    return read_table(cursor, bars_statement(columns), parameters)


def stream_rows(cursor: Cursor, statement: str, parameters: Sequence[object]) -> Iterator[pa.RecordBatch]:
    """The rows of a statement in batches of a megabyte, so that their number does not cost memory."""
    cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
    cursor.execute(with_literals(statement, parameters))
    with cursor.fetch_record_batch() as reader:
        try:
            yield from reader
        except GeneratorExit:
            # Whoever asked has gone: PostgreSQL need not write the rest.
            cursor.adbc_cancel()
            raise


def make_bars(cursor: Cursor, instrument: Instrument, interval: Interval, slots: range, rule: UsabilityRule) -> Candles:
    """The bars of some slots, made from minutes now.

    Raises:
        UserError: they span more than `MAX_SOURCE_MINUTES`.
    """
    check_source_minutes(interval, slots)
    start, end = interval.open(slots.start), interval.open(slots.stop)
    window = (instrument.symbol, MINUTE.name, to_datetime(start), to_datetime(end))
    minutes = from_arrow(read_table(cursor, READ_WINDOW, window), MINUTE, instrument.scale)
    first_day, end_day = start // MINUTES_PER_DAY, (end - 1) // MINUTES_PER_DAY + 1
    vouched = Spans.of_minutes(read_vouched(cursor, instrument.symbol, first_day, end_day))
    return resample(minutes, interval, slots, vouched=vouched, rule=rule)


def check_source_minutes(interval: Interval, slots: range) -> None:
    """Raises UserError where making the bars of the slots takes too many minutes."""
    minutes = interval.open(slots.stop) - interval.open(slots.start)
    if minutes > MAX_SOURCE_MINUTES:
        raise UserError(
            f"limit: {len(slots):,} bars of {interval} that are not materialised take {minutes:,} minutes, more than "
            f"the limit of {MAX_SOURCE_MINUTES:,}: ask for fewer bars or a shorter range, or add {interval} to "
            "standard_intervals and materialise it.",
            field="limit",
        )
