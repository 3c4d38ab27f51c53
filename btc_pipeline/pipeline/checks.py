"""What is asked of an asset after it was written: each check says what it found, for a person to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from btc_pipeline.market.instruments import Instrument
from btc_pipeline.pipeline.catalogue import Catalogue, DecisionsAsset, DerivedAsset
from btc_pipeline.pipeline.staleness import read_symbol_digests, stale_days_of
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.indicators import IndicatorRows, read_indicators
from btc_pipeline.storage.times import day_start, from_timestamps, to_date, to_datetime

SHOWN_PROBLEMS: Final = 20
MAX_MIDNIGHT_JUMP_PERCENT: Final = 5.0

OPEN_GAPS: Final = """
SELECT start_time, end_time, reason, (extract(epoch FROM end_time - start_time) / 60)::bigint AS minutes
FROM data_quality
WHERE kind = 'gap' AND NOT resolved AND symbol = %(symbol)s AND start_time >= %(start)s AND start_time < %(end)s
ORDER BY minutes DESC, start_time
"""
REJECTED_ROWS: Final = """
SELECT start_time, reason, payload
FROM data_quality
WHERE kind = 'rejected_row' AND NOT resolved AND symbol = %(symbol)s
  AND (start_time IS NULL OR (start_time >= %(start)s AND start_time < %(end)s))
ORDER BY start_time NULLS FIRST
"""
MIDNIGHTS: Final = """
SELECT midnight, before.time AS last_minute, before.close, after.time AS first_minute, after.open,
       round(((after.open / before.close - 1) * 100)::numeric, 2)::float8 AS jump_percent
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 day', interval '1 day') AS midnight
CROSS JOIN LATERAL (
    SELECT time, close FROM candles
    WHERE symbol = %(symbol)s AND interval = '1m' AND time < midnight AND time >= midnight - interval '1 hour'
    ORDER BY time DESC LIMIT 1
) before
CROSS JOIN LATERAL (
    SELECT time, open FROM candles
    WHERE symbol = %(symbol)s AND interval = '1m' AND time >= midnight AND time < midnight + interval '1 hour'
    ORDER BY time LIMIT 1
) after
WHERE abs(after.open / before.close - 1) * 100 > %(most)s
ORDER BY midnight
"""
SEEN_VALUES: Final = """
SELECT time, (indicator_snapshot ->> $5)::float8 AS seen
FROM current_decisions
WHERE symbol = $1 AND interval = $2 AND strategy = $3 AND parameters = $4::jsonb AND time >= $6 AND time < $7
ORDER BY time
"""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A check's answer: whether it passed, one sentence, and the first problems as rows of a table."""

    passed: bool
    summary: str
    problems: list[dict[str, Any]] = field(default_factory=list)


def check_coverage(database: Database, instrument: Instrument, days: range) -> CheckReport:
    """No open gap in the days."""
    gaps = _query(database, OPEN_GAPS, _window(instrument, days))
    missing = sum(gap["minutes"] for gap in gaps)
    return _report(gaps, f"{missing:,} minutes missing in {len(gaps):,} gaps", "every minute is present or quiet")


def check_rejected_rows(database: Database, instrument: Instrument, days: range) -> CheckReport:
    """No row of the days in quarantine."""
    rows = _query(database, REJECTED_ROWS, _window(instrument, days))
    return _report(rows, f"{len(rows):,} rows in quarantine", "no row was refused")


def check_midnights(database: Database, instrument: Instrument, days: range) -> CheckReport:
    """No jump of price between the last minute of a day and the first of the next."""
    jumps = _query(database, MIDNIGHTS, {**_window(instrument, days), "most": MAX_MIDNIGHT_JUMP_PERCENT})
    return _report(
        jumps,
        f"{len(jumps):,} midnights with a jump above {MAX_MIDNIGHT_JUMP_PERCENT:g} %",
        f"no jump above {MAX_MIDNIGHT_JUMP_PERCENT:g} % at midnight",
    )


def check_staleness(
    database: Database, catalogue: Catalogue, asset: DerivedAsset, instrument: Instrument, days: range, now: int
) -> CheckReport:
    """No day whose inputs have moved since it was made."""
    with database.arrow() as cursor:
        digests = read_symbol_digests(cursor, instrument, catalogue)
    known = digests.days(days.start)
    stale = stale_days_of(asset, digests, range(days.start, max(days.start, min(days.stop, known.stop))), now)
    return _report(
        [{"day": to_date(day)} for day in stale],
        f"{len(stale):,} days are stale: btc-pipeline materialize --stale",
        "made from what is stored now",
    )


def check_snapshots(
    database: Database, asset: DecisionsAsset, catalogue: Catalogue, instrument: Instrument, days: range
) -> CheckReport:
    """What the decisions saw is what the `indicators` table holds, bit for bit, wherever both have an indicator."""
    names = {
        spec: name
        for indicators in catalogue.indicators
        if indicators.interval == asset.interval
        for name, spec in indicators.specs.items()
    }
    slots = asset.interval.slots_closing_in(days.start, days.stop)
    window = asset.interval.open(slots.start), asset.interval.open(slots.stop)
    problems: list[dict[str, Any]] = []
    compared = 0
    with database.arrow() as cursor:
        stored = read_indicators(cursor, instrument.symbol, asset.interval, *window)
        for one in asset.strategies:
            for input_name, (spec, interval) in one.specs().items():
                if interval != asset.interval or spec not in names:
                    continue
                compared += 1
                who = (instrument.symbol, interval.name, one.strategy.name, one.parameters_json, input_name)
                cursor.execute(SEEN_VALUES, (*who, *map(to_datetime, window)))
                seen = cursor.fetch_arrow_table()
                problems += _differences(names[spec], seen, stored.get(names[spec]))
    return _report(
        problems,
        f"{len(problems):,} values differ from the stored indicators",
        f"{compared} inputs equal the stored indicators",
    )


def _differences(name: str, seen: pa.Table, stored: IndicatorRows | None) -> list[dict[str, Any]]:
    """The bars at which a decision saw something else than is stored; nothing on both sides is equal."""
    held = {} if stored is None else dict(zip(stored.time.tolist(), stored.value.tolist(), strict=True))
    times = from_timestamps(seen["time"]).tolist()
    return [
        {"time": to_datetime(time), "indicator": name, "seen": value, "stored": held.get(time)}
        for time, value in zip(times, seen["seen"].to_pylist(), strict=True)
        if value != held.get(time)
    ]


def _window(instrument: Instrument, days: range) -> dict[str, Any]:
    return {"symbol": instrument.symbol, "start": day_start(days.start), "end": day_start(days.stop)}


def _query(database: Database, statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    with database.rows() as connection:
        return connection.execute(statement, parameters).fetchall()


def _report(problems: list[dict[str, Any]], failing: str, passing: str) -> CheckReport:
    return CheckReport(not problems, failing if problems else passing, problems[:SHOWN_PROBLEMS])
