"""A minute that may not be: kept with its payload in `data_quality`, and missing from then on."""

from __future__ import annotations

import pytest

from btc_pipeline.pipeline.checks import check_coverage, check_rejected_rows
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline_tests.pipeline.made_minutes import FIRST, HEADER, walk
from btc_pipeline_tests.pipeline.worlds import NOW, chain_of, query, refresh_stale, row_versions, write_file

pytestmark = pytest.mark.timescale

SYMBOL = "BTCUSD.TEST"
DAY = FIRST // 1440
DAYS = range(DAY, DAY + 2)
HOLE = FIRST + 37 * 10
"""A minute without a row that the file vouches for."""

BAD = {
    "high is the highest": {"high": 1.0},
    "low is the lowest": {"low": 1e6},
    "price is a positive number": {"open": -5.0, "low": -5.0},
    "price is a positive number, not infinite": {"high": float("inf")},
    "volume is not negative": {"volume": -1.0},
    "volume is not negative, nor NaN": {"volume": float("nan")},
    "taker buy volume is part of the volume": {"volume": 1.0, "taker_buy_volume": 2.0},
}
INSERT = """
INSERT INTO candles (time, symbol, interval, open, high, low, close, volume, taker_buy_volume,
                     minutes, quiet_minutes, expected_minutes, usable, status)
VALUES (to_timestamp(%s), %s, '1m', %s, %s, %s, %s, %s, %s, 1, 0, 1, true, 'confirmed')
"""
TOUCH_FIRST_DAY = "UPDATE partition_digests SET content_digest = NULL WHERE asset = 'candles_1m' AND day = '2015-12-31'"


def put(database, minute, **changed):
    """A row by SQL, as no part of the product would write it."""
    row = {
        "open": 400.0,
        "high": 401.0,
        "low": 399.0,
        "close": 400.0,
        "volume": 2.0,
        "taker_buy_volume": None,
    } | changed
    query(database, "DELETE FROM candles WHERE interval = '1m' AND time = to_timestamp(%s)", minute * 60)
    query(database, INSERT, minute * 60, SYMBOL, *row.values())


def minutes_of_bar(database, minute):
    statement = (
        "SELECT minutes, quiet_minutes FROM candles WHERE interval = '37m' AND time <= to_timestamp(%s) "
        "ORDER BY time DESC LIMIT 1"
    )
    return query(database, statement, minute * 60)[0]


@pytest.fixture
def world(database, tmp_path):
    path = write_file(tmp_path, [HEADER, *walk(2, without={HOLE})])
    instrument = import_candles(database, path, SYMBOL, vouch=True).instrument
    chain = chain_of(database)
    chain.refresh(instrument, DAYS, NOW)
    return chain, instrument


def test_bad_rows_go_to_quarantine_with_their_payload_and_their_minutes_are_missing(world):
    chain, instrument = world
    database = chain.database
    assert minutes_of_bar(database, HOLE) == (37, 1)
    places = {rule: FIRST + 500 + 100 * at for at, rule in enumerate(BAD)}
    for rule, minute in places.items():
        put(database, minute, **BAD[rule])
    reports = chain.refresh(instrument, DAYS, NOW)
    assert reports["candles_1m"].written == [DAY]

    rows = query(
        database,
        "SELECT extract(epoch FROM start_time)::bigint / 60, reason, payload, resolved FROM data_quality "
        "WHERE kind = 'rejected_row' ORDER BY 1",
    )
    assert [row[0] for row in rows] == list(places.values())
    for (_, reason, payload, resolved), rule in zip(rows, BAD, strict=True):
        assert rule.partition(",")[0] in reason
        assert not resolved
        kept = {
            name: str(value) if value != value or value == float("inf") else value for name, value in BAD[rule].items()
        }
        assert {name: payload[name] for name in kept} == kept
        assert payload["close"] == 400.0
    for minute in places.values():
        assert minutes_of_bar(database, minute) == (36, 0)
        assert (
            query(database, "SELECT 1 FROM candles WHERE interval = '1m' AND time = to_timestamp(%s)", minute * 60)
            == []
        )
    gaps = query(
        database, "SELECT extract(epoch FROM start_time)::bigint / 60 FROM data_quality WHERE kind = 'gap' ORDER BY 1"
    )
    assert [row[0] for row in gaps] == list(places.values())
    assert query(database, "SELECT count(*) FROM candle_revisions WHERE reason LIKE 'quarantined: %'") == [(len(BAD),)]
    assert not check_rejected_rows(database, instrument, DAYS).passed
    assert not check_coverage(database, instrument, DAYS).passed

    stored = row_versions(database)
    chain.refresh(instrument, DAYS, NOW)
    assert row_versions(database) == stored
    assert query(database, "SELECT count(*) FROM data_quality WHERE kind = 'rejected_row'") == [(len(BAD),)]


def test_a_minute_that_was_vouched_for_is_missing_once_a_bad_row_spoke_for_it(world):
    chain, instrument = world
    put(chain.database, HOLE, high=1.0)
    query(chain.database, TOUCH_FIRST_DAY)
    done = refresh_stale(chain, instrument, DAYS)
    assert done["candles_1m"][1] == [DAY]
    assert minutes_of_bar(chain.database, HOLE) == (36, 0)
    gaps = query(
        chain.database, "SELECT extract(epoch FROM start_time)::bigint / 60 FROM data_quality WHERE kind = 'gap'"
    )
    assert gaps == [(HOLE,)]


def test_a_good_row_in_its_place_closes_the_gap(world, tmp_path):
    chain, instrument = world
    put(chain.database, FIRST + 500, high=1.0)
    chain.refresh(instrument, DAYS, NOW)
    open_gaps = "SELECT count(*) FROM data_quality WHERE kind = 'gap' AND NOT resolved"
    assert query(chain.database, open_gaps) == [(1,)]
    report = import_candles(
        chain.database, write_file(tmp_path, [HEADER, *walk(2, without={HOLE})]), SYMBOL, vouch=True
    )
    assert (report.added, report.replaced) == (1, 0)
    refresh_stale(chain, instrument, DAYS)
    assert query(chain.database, open_gaps) == [(0,)]
    assert minutes_of_bar(chain.database, FIRST + 500) == (37, 0)
