"""However days are materialised, the same rows come out; no later minute is seen; what is equal is not written."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline_tests.pipeline.worlds import (
    NOW,
    SYMBOL,
    chain_of,
    content,
    day_of,
    minute_of,
    query,
    real_lines,
    refresh_stale,
    row_versions,
    small_settings,
    stale,
    write_file,
)
from btc_pipeline_tests.real_data import needs_real_data

pytestmark = [needs_real_data, pytest.mark.timescale]

FIRST, END = "2016-06-05", "2016-08-05"
DAYS = range(day_of(FIRST), day_of(END))
"""61 days: holes every day, a month's end, outages that begin and end within them (06-20, 06-21, 08-02 to after)."""

FEW = small_settings(standard_intervals=("37m", "148m", "1d", "1w"), strategies=({"strategy": "ma44"},))
LENGTHS = {"1m": 1, "37m": 37, "148m": 148, "1d": 1440, "1w": 10080}
LENGTH = "CASE interval " + " ".join(f"WHEN '{name}' THEN {n}" for name, n in LENGTHS.items()) + " END"
CLOSED_BY = {
    "candles": "time, interval, open, high, low, close, volume, minutes, quiet_minutes, usable",
    "indicators": "time, interval, indicator_name, value, settled",
    "current_decisions": "time, interval, strategy, target, type, confidence, reasons, indicator_snapshot",
}


@pytest.fixture(scope="module")
def lines():
    return real_lines(FIRST, "2016-08-12")


@pytest.fixture
def world(database, lines, tmp_path):
    """(chain, instrument): imported, nothing materialised."""
    instrument = import_candles(database, write_file(tmp_path, lines), SYMBOL, vouch=True).instrument
    with database.kept() as quick:
        yield chain_of(quick, FEW), instrument


@pytest.fixture(scope="module")
def one_range(module_database, lines, tmp_path_factory):
    """What one run over all days stores, as text."""
    path = write_file(tmp_path_factory.mktemp("range"), lines)
    instrument = import_candles(module_database, path, SYMBOL, vouch=True).instrument
    chain_of(module_database, FEW).refresh(instrument, DAYS, NOW)
    return content(module_database)


def test_the_chosen_days_are_worth_choosing(one_range, module_database):
    assert len(DAYS) >= 60
    days_with_holes = query(module_database, "SELECT count(*) FROM vouched_minutes")[0][0]
    assert days_with_holes >= 60
    outages = query(module_database, "SELECT start_time::text FROM data_quality WHERE kind = 'gap' ORDER BY 1")
    assert {row[0][:10] for row in outages} >= {"2016-06-20", "2016-06-21", "2016-08-02"}
    crossing = query(
        module_database,
        "SELECT count(*) FROM candles WHERE interval = '37m' AND time::date <> (time + interval '36 minutes')::date",
    )
    assert crossing[0][0] > 30
    assert {len(rows) > 1_000 for rows in one_range.values()} == {True}


@pytest.mark.proof
@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_days_ends_in_the_rows_of_one_range(world, one_range, seed):
    chain, instrument = world
    order = [*DAYS, *DAYS]
    random.Random(seed).shuffle(order)
    for day in order:
        chain.refresh(instrument, range(day, day + 1), NOW)
    assert stale(chain, instrument, DAYS)
    refresh_stale(chain, instrument, DAYS)
    assert content(chain.database) == one_range

    rows = row_versions(chain.database)
    for reports in (chain.refresh(instrument, DAYS, NOW), refresh_stale(chain, instrument, DAYS)):
        assert all(not report.written for report in reports.values())
    for day in order[:10]:
        chain.refresh(instrument, range(day, day + 1), NOW)
    assert row_versions(chain.database) == rows


def test_cutting_a_range_in_pieces_in_order_leaves_nothing_stale(world, one_range):
    chain, instrument = world
    for first in range(DAYS.start, DAYS.stop, 9):
        chain.refresh(instrument, range(first, min(first + 9, DAYS.stop)), NOW)
    assert stale(chain, instrument, DAYS) == {}
    assert content(chain.database) == one_range
    assert {row[0] for row in query(chain.database, "SELECT DISTINCT version FROM decisions")} == {1}


def test_a_day_is_the_same_whatever_comes_after_it(world, one_range, module_database):
    """From the last day to the first: all that is later is deleted, with all that was derived, and made anew."""
    chain, instrument = world
    for text in ("2016-08-02", "2016-07-31", "2016-06-30", "2016-06-21", "2016-06-20", "2016-06-08"):
        end = minute_of(f"{text} 00:00") + 1440
        query(chain.database, f"DELETE FROM candles WHERE interval <> '1m' OR time >= to_timestamp({end * 60})")
        query(chain.database, f"DELETE FROM vouched_minutes WHERE day > '{text}'")
        query(chain.database, "TRUNCATE indicators, decisions, partition_digests")
        chain.refresh(instrument, range(DAYS.start, day_of(text) + 1), NOW)
        for table in CLOSED_BY:
            made = rows_closed_by(chain.database, table, end)
            assert made == rows_closed_by(module_database, table, end)
            assert made[-1][0] >= datetime.fromtimestamp((end - 2 * 1440) * 60, UTC)


def rows_closed_by(database, table, end):
    """The rows of bars that close no later than an epoch minute, by time."""
    return query(
        database,
        f"SELECT * FROM (SELECT {CLOSED_BY[table]}, {LENGTH} AS length FROM {table}) rows "
        f"WHERE time + length * interval '1 minute' <= to_timestamp({end * 60}) ORDER BY 1, 2, 3",
    )
