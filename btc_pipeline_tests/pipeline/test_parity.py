"""Parity of the log with the stored minutes: equal where nothing happened, and a cause for everything that did."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.market.intervals import Interval
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.pipeline.parity import Cause, Parity, Wanted, verify_parity
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline.storage.vouched import replace_vouched
from btc_pipeline_tests.defs.worlds import FIRST, OTHER, SYMBOL, made_minutes, store
from btc_pipeline_tests.pipeline.worlds import NOW, chain_of, day_of, query, small_settings
from btc_pipeline_tests.real_data import DATA, needs_real_data

DAYS = 6
HOLE = range(FIRST * 1440 + 1_500, FIRST * 1440 + 1_530)
STRATEGIES = (
    {"strategy": "ma", "parameters": {"period": 5}, "intervals": ["37m", "148m"]},
    {"strategy": "ma", "parameters": {"period": 9}, "intervals": ["37m"]},
)
M37 = Interval.parse("37m")
CLOSING = (FIRST + 2) * 1440 // 148 * 148 + 147
"""The last minute of a bar of both intervals: its close is theirs."""


@pytest.fixture
def settings(monkeypatch):
    return small_settings(start_date="2015-01-01", strategies=STRATEGIES, indicators={})


@pytest.fixture
def world(database: Database, settings) -> Database:
    """Six days of a symbol with half an hour missing, all materialised."""
    store(database, SYMBOL, made_minutes(FIRST, DAYS, without=HOLE))
    materialize(database, settings)
    return database


def materialize(database, settings, days=range(FIRST, FIRST + DAYS), now=NOW):
    with database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
    chain_of(database, settings).refresh(instrument, days, now)


def verify(database, settings, now=NOW, **wanted) -> Parity:
    return verify_parity(database, settings, Wanted(**wanted), now)


def causes(parity):
    return {one.cause for one in parity.differences}


def mark_live(database):
    """What was made becomes what was made live, at its bar's close."""
    query(database, "UPDATE decisions SET origin = 'live'")


def test_what_was_made_equals_what_is_made(world, settings):
    found = verify(world, settings)
    logged = query(world, "SELECT count(*) FROM current_decisions")[0][0]
    assert found.compared == logged > 500
    assert found.differences == []
    only = verify(world, settings, symbol=SYMBOL, interval=Interval.parse("148m"), start=FIRST + 1, end=FIRST + 3)
    assert only.compared == 19 or only.compared == 20
    assert only.differences == []


def test_bars_across_pieces_and_the_month_are_compared_once(world, settings, monkeypatch):
    whole = verify(world, settings)
    monkeypatch.setattr("btc_pipeline.pipeline.refresh.DAYS_A_TRANSACTION", 1)
    assert verify(world, settings).compared == whole.compared
    assert verify(world, settings).differences == []
    months = small_settings(
        start_date="2015-01-01",
        indicators={},
        strategies=({"strategy": "ma", "parameters": {"period": 5}, "intervals": ["1w"]},),
    )
    materialize(world, months)
    found = verify(world, months)
    assert found.compared == 1
    assert found.differences == []


def test_a_revised_minute_explains_what_follows_from_it(world, settings):
    edit_minute_price(world, CLOSING)
    found = verify(world, settings)
    assert causes(found) == {Cause.REVISED}
    assert all("1 minutes revised" in one.detail for one in found.differences)
    assert {one.interval for one in found.differences} == {"37m", "148m"}
    materialize(world, settings)
    assert verify(world, settings).differences == []


def test_a_filled_gap_explains_what_follows_from_it(world, settings):
    store(world, SYMBOL, made_minutes(FIRST, DAYS).take(np.arange(HOLE.start, HOLE.stop) - FIRST * 1440))
    found = verify(world, settings)
    assert causes(found) == {Cause.FILLED}
    materialize(world, settings)
    assert verify(world, settings).differences == []


def test_minutes_that_are_vouched_for_since_explain_it_too(world, settings):
    with world.arrow() as cursor:
        day = np.array([HOLE.start // 1440])
        replace_vouched(cursor, SYMBOL, np.array(HOLE, np.int64), day, source="test")
        cursor.execute("UPDATE partition_digests SET content_digest = NULL WHERE asset = 'candles_1m'")
    found = verify(world, settings)
    assert causes(found) == {Cause.FILLED}
    assert all("came since" in one.detail for one in found.differences)
    assert "30 came since; the day is stale" in {one.detail for one in found.differences}


def test_other_parameters_of_the_code_explain_it(world, settings, monkeypatch):
    monkeypatch.setattr("btc_pipeline.strategies.moving_average.FULL_CONFIDENCE_DISTANCE", 0.5)
    assert causes(verify(world, settings)) == {Cause.UNEXPLAINED}, "the source is the same: nobody knows why"
    monkeypatch.setattr("btc_pipeline.pipeline.catalogue.code_digest", lambda *_: "another")
    found = verify(world, settings)
    assert causes(found) == {Cause.CHANGED}
    assert {one.field for one in found.differences} == {"confidence"}


def test_another_setting_explains_it(world, settings):
    laxer = small_settings(
        start_date="2015-01-01",
        strategies=STRATEGIES,
        indicators={},
        usability={"minimum_coverage_percent": 5.0, "closing_minute_required": False},
    )
    found = verify(world, laxer)
    assert found.differences
    assert causes(found) == {Cause.CHANGED}


def test_days_that_nobody_made_are_told_so(world, settings):
    store(world, SYMBOL, made_minutes(FIRST + DAYS, 2))
    found = verify(world, settings)
    assert causes(found) == {Cause.STALE}
    assert {(one.field, one.logged) for one in found.differences} == {("decision", None)}
    assert min(one.time for one in found.differences) // 1440 >= FIRST + DAYS - 1


def test_an_edited_log_is_unexplained(world, settings):
    when = query(world, "SELECT min(time) + interval '2886 minutes' FROM decisions WHERE interval = '37m'")[0][0]
    query(world, "UPDATE decisions SET target = -target WHERE interval = '37m' AND target <> 0 AND time = %s", when)
    found = verify(world, settings)
    assert len(found.differences) == found.unexplained == 2
    one = found.differences[0]
    assert (one.field, one.logged, one.time) == ("target", -one.made, int(when.timestamp()) // 60)
    query(world, "DELETE FROM decisions WHERE interval = '37m' AND time = %s", when)
    found = verify(world, settings)
    assert {(one.field, one.logged, one.cause) for one in found.differences} == {("decision", None, Cause.UNEXPLAINED)}


def test_edited_minutes_that_nobody_recorded_are_unexplained(world, settings):
    query(world, "UPDATE candles SET close = close + 5 WHERE interval = '1m' AND time = %s", at(CLOSING))
    found = verify(world, settings)
    assert found.unexplained == len(found.differences) > 0


def test_a_withdrawn_decision_is_none(world, settings):
    times = range((FIRST + 2) * 1440, (FIRST + 2) * 1440 + 74)
    query(
        world,
        "DELETE FROM candles WHERE interval = '1m' AND time >= %s AND time < %s",
        at(times.start),
        at(times.stop),
    )
    materialize(world, settings)
    assert query(world, "SELECT count(*) FROM decisions WHERE withdrawn")[0][0] > 0
    assert verify(world, settings).differences == []


# What was said live


def test_live_decisions_that_nothing_changed_are_equal(world, settings):
    mark_live(world)
    found = verify(world, settings, live=True)
    assert found.compared > 500
    assert found.differences == []
    query(world, "UPDATE decisions SET origin = 'backfill'")
    assert verify(world, settings, live=True).compared == 0


def test_a_live_decision_differs_by_a_minute_that_was_revised_since(world, settings):
    mark_live(world)
    time.sleep(0.01)
    edit_minute_price(world, CLOSING)
    assert causes(verify(world, settings, live=True)) == {Cause.REVISED}
    materialize(world, settings)
    found = verify(world, settings, live=True)
    assert causes(found) == {Cause.REVISED}
    assert {one.detail for one in found.differences} == {"1 minutes revised since; what was known then gives it"}
    assert verify(world, settings).differences == []


def test_a_live_decision_differs_by_a_gap_that_was_filled_since(world, settings):
    mark_live(world)
    store(world, SYMBOL, made_minutes(FIRST, DAYS).take(np.arange(HOLE.start, HOLE.stop) - FIRST * 1440))
    materialize(world, settings)
    assert causes(verify(world, settings, live=True)) == {Cause.FILLED}


def test_a_live_decision_that_was_decided_again_with_the_same_minutes_differs_by_the_code(world, settings, monkeypatch):
    mark_live(world)
    monkeypatch.setattr("btc_pipeline.strategies.moving_average.FULL_CONFIDENCE_DISTANCE", 0.5)
    assert causes(verify(world, settings, live=True)) == {Cause.UNEXPLAINED}
    monkeypatch.setattr("btc_pipeline.pipeline.catalogue.code_digest", lambda *_: "another")
    assert causes(verify(world, settings, live=True)) == {Cause.CHANGED}
    materialize(world, settings)
    found = verify(world, settings, live=True)
    assert causes(found) == {Cause.CHANGED}
    assert {one.detail for one in found.differences} == {"the same minutes; decided again since"}


def test_a_revision_does_not_excuse_what_was_known_then(world, settings):
    """A live decision that was wrong when it was made is not explained by a minute that changed later."""
    mark_live(world)
    minute = CLOSING
    query(world, "UPDATE decisions SET confidence = 0.123 WHERE interval = '37m' AND time = %s", at(minute // 37 * 37))
    edit_minute_price(world, minute)
    found = verify(world, settings, live=True, interval=M37)
    wrong = [one for one in found.differences if one.time == minute // 37 * 37]
    assert {one.cause for one in wrong} == {Cause.UNEXPLAINED}
    assert {one.cause for one in found.differences} == {Cause.UNEXPLAINED, Cause.REVISED}


# Ranges and mistakes


def test_a_bar_that_is_not_closed_is_not_compared(database, settings):
    store(database, SYMBOL, made_minutes(FIRST, 2))
    now = (FIRST + 1) * 1440 + 600
    materialize(database, settings, range(FIRST, FIRST + 2), now)
    assert verify(database, settings, now).differences == []
    assert causes(verify(database, settings, now + 37)) == {Cause.STALE}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"symbol": OTHER}, "symbol 'BTCUSDT.BINANCE' has no data here"),
        ({"interval": Interval.parse("41m")}, "interval 41m: no strategy is at work on it; on 37m, 148m there is"),
        ({"start": FIRST + 2, "end": FIRST + 2}, "start is not before end"),
    ],
)
def test_mistakes_are_said_in_a_line(world, settings, wanted, words):
    with pytest.raises(UserError, match=words):
        verify(world, settings, **wanted)


@pytest.mark.proof
@needs_real_data
def test_two_years_take_seconds(database):
    settings = small_settings(
        start_date="2015-01-01", indicators={}, strategies=({"strategy": "ma44", "intervals": ["37m"]},)
    )
    for year in (2015, 2016):
        import_candles(database, DATA / f"bitfinex_btcusd_1m_{year}.csv.gz", SYMBOL, vouch=True)
    materialize(database, settings, range(day_of("2015-01-01"), day_of("2017-01-01")))
    began = time.perf_counter()
    found = verify(database, settings)
    assert time.perf_counter() - began < 20
    assert found.compared > 20_000
    assert found.differences == []


def at(minute):
    return datetime.fromtimestamp(minute * 60, UTC)


def edit_minute_price(database, minute):
    """A correction of one stored minute by its source: every price a little higher."""
    made = made_minutes(FIRST, DAYS).take(np.array([minute - FIRST * 1440]))
    moved = {name: getattr(made, name) + 0.5 for name in ("open", "high", "low", "close")}
    store(database, SYMBOL, replace(made, **moved))
