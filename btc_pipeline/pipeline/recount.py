"""The second opinion: DuckDB recounts stored bars from stored minutes, in SQL of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Interval
from btc_pipeline.market.resampling import UsabilityRule
from btc_pipeline.pipeline.checks import SHOWN_PROBLEMS, CheckReport
from btc_pipeline.storage.candles import read_candles, to_arrow
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.vouched import read_vouched

if TYPE_CHECKING:
    import duckdb

    from btc_pipeline.market.candles import Candles

MEMORY_LIMIT: Final = "400MB"
DAYS_AT_A_TIME: Final = 366
"""A longer range is recounted in pieces, which bounds memory."""

BUCKETS: Final = {
    "1w": "epoch(date_trunc('week', to_timestamp({m} * 60))) // 60",
    "1M": "epoch(date_trunc('month', to_timestamp({m} * 60))) // 60",
}
BUCKET_ENDS: Final = {
    "1w": "epoch(date_trunc('week', to_timestamp({m} * 60)) + INTERVAL 7 DAY) // 60",
    "1M": "epoch(date_trunc('month', to_timestamp({m} * 60)) + INTERVAL 1 MONTH) // 60",
}
KNOWN: Final = """
CREATE TEMP TABLE known AS
SELECT m, open, high, low, close, volume, quote_volume, taker_buy_volume, trades,
       volume = 0 AND open = high AND high = low AND low = close AS quiet
FROM minutes
UNION ALL
SELECT m, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, true FROM vouched ANTI JOIN minutes USING (m)
"""
RECOUNT: Final = """
WITH bucketed AS (
    SELECT *, ({bucket})::BIGINT AS slot_open, ({bucket_end})::BIGINT AS slot_end FROM known
), expected AS (
    SELECT
        slot_open AS m,
        arg_min(open, m) FILTER (NOT quiet) AS open,
        max(high) FILTER (NOT quiet) AS high,
        min(low) FILTER (NOT quiet) AS low,
        arg_max(close, m) FILTER (NOT quiet) AS close,
        (sum(round(volume * 1e{volume})::BIGINT) FILTER (NOT quiet))::DOUBLE / 1e{volume} AS volume,
        CASE WHEN bool_and(quote_volume IS NOT NULL) FILTER (NOT quiet)
             THEN (sum(round(quote_volume * 1e{quote})::BIGINT) FILTER (NOT quiet))::DOUBLE / 1e{quote} END
             AS quote_volume,
        CASE WHEN bool_and(taker_buy_volume IS NOT NULL) FILTER (NOT quiet)
             THEN (sum(round(taker_buy_volume * 1e{volume})::BIGINT) FILTER (NOT quiet))::DOUBLE / 1e{volume} END
             AS taker_buy_volume,
        CASE WHEN bool_and(trades IS NOT NULL) FILTER (NOT quiet)
             THEN (sum(trades) FILTER (NOT quiet))::BIGINT END AS trades,
        count(*)::BIGINT AS minutes,
        (count(*) FILTER (quiet))::BIGINT AS quiet_minutes,
        slot_end - slot_open AS expected_minutes,
        count(*) * 100 >= {coverage} * (slot_end - slot_open)
            AND (NOT {closing} OR count(*) FILTER (m = slot_end - 1) = 1) AS usable
    FROM bucketed
    WHERE slot_end > {first_close} AND slot_end <= {last_close}
    GROUP BY slot_open, slot_end
    HAVING count(*) FILTER (NOT quiet) > 0
)
SELECT
    make_timestamp(coalesce(e.m, s.m) * 60000000) AS time,
    CASE WHEN s.m IS NULL THEN 'missing' WHEN e.m IS NULL THEN 'should not be there' ELSE 'differs' END AS problem,
    concat_ws(' ', s.open, s.high, s.low, s.close, s.volume, s.minutes, s.quiet_minutes, s.usable) AS stored,
    concat_ws(' ', e.open, e.high, e.low, e.close, e.volume, e.minutes, e.quiet_minutes, e.usable) AS recounted
FROM expected e FULL JOIN bars s ON e.m = s.m
WHERE e.m IS NULL OR s.m IS NULL OR (
    e.open, e.high, e.low, e.close, e.volume, e.minutes, e.quiet_minutes, e.expected_minutes, e.usable
) <> (
    s.open, s.high, s.low, s.close, s.volume, s.minutes, s.quiet_minutes, s.expected_minutes, s.usable
) OR e.quote_volume IS DISTINCT FROM s.quote_volume
  OR e.taker_buy_volume IS DISTINCT FROM s.taker_buy_volume
  OR e.trades IS DISTINCT FROM s.trades
ORDER BY 1
"""


def recount_bars(
    database: Database,
    instrument: Instrument,
    intervals: Sequence[Interval],
    days: range,
    rule: UsabilityRule,
    now: int,
) -> CheckReport:
    """Compares every stored bar that closes in the days with DuckDB's recount of the stored minutes.

    Args:
        days: days since 1970-01-01.
        now: the epoch minute; bars that close later are not expected.
    """
    bars, problems = 0, list[dict[str, Any]]()
    for first in range(days.start, days.stop, DAYS_AT_A_TIME):
        piece = range(first, min(first + DAYS_AT_A_TIME, days.stop))
        counted, found = _recount_piece(database, instrument, intervals, piece, rule, now)
        bars += counted
        problems += found
    if problems:
        return CheckReport(False, f"{len(problems):,} bars differ from the recount", problems[:SHOWN_PROBLEMS])
    return CheckReport(True, f"{bars:,} bars equal DuckDB's recount of the stored minutes")


def _recount_piece(
    database: Database,
    instrument: Instrument,
    intervals: Sequence[Interval],
    days: range,
    rule: UsabilityRule,
    now: int,
) -> tuple[int, list[dict[str, Any]]]:
    """How many bars were compared, and the differences."""
    import duckdb

    first = min(interval.open(_slots(interval, days).start) for interval in intervals)
    bars, problems = 0, list[dict[str, Any]]()
    with (
        database.arrow() as cursor,
        duckdb.connect(config={"threads": 2, "memory_limit": MEMORY_LIMIT}) as connection,
    ):
        minutes = read_candles(cursor, instrument.symbol, MINUTE, instrument.scale, first, days.stop * MINUTES_PER_DAY)
        vouched = read_vouched(cursor, instrument.symbol, first // MINUTES_PER_DAY, days.stop)
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("minutes", _with_epoch_minutes(minutes))
        connection.register("vouched", pa.table({"m": vouched[vouched >= first]}))
        connection.execute(KNOWN)
        for interval in intervals:
            slots = _slots(interval, days)
            window = interval.open(slots.start), interval.open(slots.stop)
            stored = read_candles(cursor, instrument.symbol, interval, instrument.scale, *window)
            bars += len(stored)
            problems += _differences(connection, instrument, interval, stored, days, rule, now)
    return bars, problems


def _slots(interval: Interval, days: range) -> range:
    return interval.slots_closing_in(days.start, days.stop)


def _differences(
    connection: duckdb.DuckDBPyConnection,
    instrument: Instrument,
    interval: Interval,
    stored: Candles,
    days: range,
    rule: UsabilityRule,
    now: int,
) -> list[dict[str, Any]]:
    connection.register("bars", _with_epoch_minutes(stored))
    n = interval.minutes
    statement = RECOUNT.format(
        bucket=BUCKETS.get(interval.name, f"(m // {n}) * {n}").format(m="m"),
        bucket_end=BUCKET_ENDS.get(interval.name, f"(m // {n} + 1) * {n}").format(m="m"),
        volume=instrument.scale.volume,
        quote=instrument.scale.quote,
        coverage=repr(rule.minimum_coverage_percent),
        closing=str(rule.closing_minute_required).lower(),
        first_close=days.start * MINUTES_PER_DAY,
        last_close=min(days.stop * MINUTES_PER_DAY, now),
    )
    found = connection.execute(statement).to_arrow_table().to_pylist()
    return [{"interval": interval.name, **row} for row in found]


def _with_epoch_minutes(candles: Candles) -> pa.Table:
    """The columns of candles with `m`, their open in epoch minutes."""
    table = to_arrow(candles, "", status="").drop_columns(["time", "symbol", "interval", "status"])
    return table.append_column("m", pa.array(candles.time))
