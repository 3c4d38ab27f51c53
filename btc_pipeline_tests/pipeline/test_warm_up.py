"""Warm-up in the database: what a new symbol decides from another's history, what is marked, what becomes stale."""

from __future__ import annotations

import random
from datetime import datetime

import pytest

from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline_tests.pipeline.worlds import (
    NOW,
    SYMBOL,
    chain_of,
    content,
    day_of,
    fingerprint,
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

OWN = "BTCUSD.NEW"
FIRST, UNTIL, END = "2015-03-30", "2015-04-14", "2015-04-24"
"""At 2015-04-14T00:00Z bars of 37m, 148m and 1d begin together: none lies across."""
SOURCE_DAYS = range(day_of(FIRST), day_of(END))
OWN_DAYS = range(day_of(UNTIL), day_of(END))
STRATEGIES = (
    {"strategy": "ma44", "intervals": ("37m", "148m")},
    {"strategy": "ma", "parameters": {"period": 5}, "intervals": ("1d",)},
)
INDICATORS = {
    "ma44": {"indicator": "sma", "parameters": {"period": 44}, "intervals": ("37m", "148m")},
    "ma5": {"indicator": "sma", "parameters": {"period": 5}, "intervals": ("1d",)},
}
DECISIONS = """
SELECT interval, strategy, time, target, type, confidence, indicator_snapshot - 'warmed' AS snapshot
FROM current_decisions WHERE symbol = %s AND time >= %s ORDER BY interval, strategy, time
"""


def settings(**overrides):
    warmup = {OWN: f"{SYMBOL} until {UNTIL}"}
    return small_settings(**{"strategies": STRATEGIES, "indicators": INDICATORS, "warmup": warmup, **overrides})


@pytest.fixture
def stored(database, tmp_path):
    """(database, the source's instrument, a symbol's own): the same rows, of the latter those from UNTIL on."""
    source = import_candles(database, write_file(tmp_path, real_lines(FIRST, END)), SYMBOL, vouch=True).instrument
    path = write_file(tmp_path, real_lines(UNTIL, END), "own.csv")
    own = import_candles(database, path, OWN, vouch=True).instrument
    with database.kept() as quick:
        yield quick, source, own


@pytest.fixture
def world(stored):
    """The same with a chain, materialised."""
    database, source, own = stored
    chain = chain_of(database, settings())
    chain.refresh(source, SOURCE_DAYS, NOW)
    chain.refresh(own, OWN_DAYS, NOW)
    return chain, source, own


def moment(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00+00:00")


def test_a_new_symbol_decides_at_once_what_the_whole_market_decides(world):
    chain, _, _ = world
    own = query(chain.database, DECISIONS, OWN, moment(UNTIL))
    whole = query(chain.database, DECISIONS, SYMBOL, moment(UNTIL))
    assert {row[0] for row in own} == {"37m", "148m", "1d"}
    # Of the first decision the type differs: the new symbol holds nothing yet.
    firsts = {(row[0], row[1]): index for index, row in reversed(list(enumerate(own)))}
    for index, (mine, theirs) in enumerate(zip(own, whole, strict=True)):
        assert mine[:4] == theirs[:4]
        assert mine[5:] == theirs[5:]
        if index not in firsts.values():
            assert mine[4] == theirs[4]
    assert all(own[index][3] is not None for index in firsts.values())


def test_what_rests_on_the_other_venue_says_so_and_nothing_is_copied(world):
    chain, _, _ = world
    for interval, minutes, window in (("37m", 37, 44), ("148m", 148, 44), ("1d", 1440, 5)):
        rows = query(
            chain.database,
            "SELECT (extract(epoch FROM time - %s) / 60)::bigint / %s, warmed, reasons FROM current_decisions "
            "WHERE symbol = %s AND interval = %s ORDER BY time",
            moment(UNTIL),
            minutes,
            OWN,
            interval,
        )
        # Every slot has a bar: the window of the n-th holds those before it.
        assert [row[1] for row in rows] == [slot < window - 1 for slot, _, _ in rows]
        assert [f"saw bars of {SYMBOL}" in row[2] for row in rows] == [row[1] for row in rows]
    values = """
    SELECT count(*) FILTER (WHERE warmed) AS warmed, count(*) AS total FROM indicators
    WHERE symbol = %s AND (indicator_name, interval) IN (('ma44', '37m'), ('ma44', '148m'), ('ma5', '1d'))
    """
    [(warmed, total)] = query(chain.database, values, OWN)
    assert warmed == 43 + 43 + 4
    assert total > warmed
    assert query(chain.database, values, SYMBOL)[0][0] == 0
    of_minutes = "SELECT min(time) FROM candles WHERE symbol = %s AND interval = '1m'"
    assert query(chain.database, of_minutes, OWN) == [(moment(UNTIL),)]


def test_days_in_any_order_come_out_as_one_range(stored, world):
    _, source, own = stored
    chain, _, _ = world
    whole = fingerprint(chain.database)
    for table in ("indicators", "decisions"):
        query(chain.database, f"DELETE FROM {table} WHERE symbol = '{OWN}'")
    query(chain.database, f"DELETE FROM partition_digests WHERE symbol = '{OWN}' AND asset LIKE '%s'" % "%%_37m")
    days = list(OWN_DAYS)
    random.Random(3).shuffle(days)
    for day in days:
        chain.refresh(own, range(day, day + 1), NOW)
    refresh_stale(chain, own, OWN_DAYS)
    assert fingerprint(chain.database) == whole
    before = row_versions(chain.database)
    chain.refresh(own, OWN_DAYS, NOW)
    chain.refresh(source, SOURCE_DAYS, NOW)
    assert row_versions(chain.database) == before


def test_an_edit_of_the_source_makes_exactly_the_days_that_reach_back_to_it_stale(world, tmp_path):
    chain, source, own = world
    assert stale(chain, own, OWN_DAYS) == {}
    # The last minute of 2015-04-13: in a close of every interval.
    edited = real_lines("2015-04-13", UNTIL)
    time, open_, close, high, low, volume = edited[-1].split(",")
    edited[-1] = ",".join([time, open_, str(float(close) + 1), str(float(high) + 2), low, volume])
    import_candles(chain.database, write_file(tmp_path, edited, "edited.csv"), SYMBOL, vouch=True)
    refresh_stale(chain, source, SOURCE_DAYS)
    # The longest window with its slack; a decision looks at one bar more, and its slack.
    slots = {
        ("indicators", 37): 125 + 6,
        ("indicators", 148): 125 + 6,
        ("indicators", 1440): 125 + 6,
        ("decisions", 37): 44 + 2 + 3,
        ("decisions", 148): 44 + 2 + 3,
        ("decisions", 1440): 5 + 2 + 3,
    }
    names = {37: "37m", 148: "148m", 1440: "1d"}
    until = day_of(UNTIL) * 1440
    expected = {
        f"{asset}_{names[minutes]}": [
            day for day in OWN_DAYS if (-(-(day * 1440 + 1) // minutes) - length + 1) * minutes <= until
        ]
        for (asset, minutes), length in slots.items()
    }
    assert stale(chain, own, OWN_DAYS) == expected
    assert len(expected["decisions_37m"]) == 2
    before = content(chain.database, ["decisions"])["decisions"]
    refresh_stale(chain, own, OWN_DAYS)
    after = content(chain.database, ["decisions"])["decisions"]
    assert before != after
    assert stale(chain, own, OWN_DAYS) == {}


def test_without_the_setting_the_old_words_come_back_as_new_versions(stored, world):
    database, _, own = stored
    chain, _, _ = world
    plain = chain_of(database, settings(warmup={}))
    refresh_stale(plain, own, OWN_DAYS)
    assert query(database, "SELECT count(*) FROM current_decisions WHERE warmed") == [(0,)]
    versions = query(
        database,
        "SELECT version, warmed, target IS NULL FROM decisions WHERE symbol = %s AND interval = '1d' "
        "ORDER BY time, version LIMIT 2",
        OWN,
    )
    assert versions == [(1, True, False), (2, False, True)]
    refresh_stale(chain, own, OWN_DAYS)
    [(warmed,)] = query(database, "SELECT count(*) FROM current_decisions WHERE warmed AND symbol = %s", OWN)
    assert warmed == 43 + 43 + 4


def test_a_source_of_which_nothing_is_stored_changes_nothing_until_it_is(database, tmp_path):
    path = write_file(tmp_path, real_lines(UNTIL, END), "own.csv")
    own = import_candles(database, path, OWN, vouch=True).instrument
    chain, plain = chain_of(database, settings()), chain_of(database, settings(warmup={}))
    plain.refresh(own, OWN_DAYS, NOW)
    alone = fingerprint(database)
    refresh_stale(chain, own, OWN_DAYS)
    assert fingerprint(database) == alone
    source = import_candles(database, write_file(tmp_path, real_lines(FIRST, END)), SYMBOL, vouch=True).instrument
    chain.refresh(source, SOURCE_DAYS, NOW)
    assert stale(chain, own, OWN_DAYS)
    refresh_stale(chain, own, OWN_DAYS)
    assert query(database, "SELECT count(*) > 0 FROM current_decisions WHERE warmed") == [(True,)]
