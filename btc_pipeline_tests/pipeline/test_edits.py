"""A minute that changes in an old day: what is made again, what is written, what stays known; and damage by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from btc_pipeline.market.intervals import MINUTE, Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.storage.as_of import read_minutes_as_of
from btc_pipeline.storage.candles import read_candles
from btc_pipeline.storage.digests import touch_days
from btc_pipeline.storage.minutes import supersede, write_minutes
from btc_pipeline.storage.queries import decisions_statement, read_table
from btc_pipeline.strategies.base import NO_OPINION
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
    stale,
    write_file,
)
from btc_pipeline_tests.real_data import needs_real_data

pytestmark = [needs_real_data, pytest.mark.timescale]

FIRST, END = "2016-06-01", "2016-06-15"
DAYS = range(day_of(FIRST), day_of(END))
EDITED_DAY = day_of("2016-06-03")  # a Friday
SUNDAY = day_of("2016-06-05")
LOOKBACKS = {"37m": 37, "148m": 148, "1d": 1440}
SMA_SLOTS = 125 + 125 // 20
DECIDING_SLOTS = SMA_SLOTS + 3


@pytest.fixture
def world(database, tmp_path):
    """(chain, instrument): the first two weeks of June 2016, materialised."""
    path = write_file(tmp_path, real_lines(FIRST, END))
    instrument = import_candles(database, path, SYMBOL, vouch=True).instrument
    with database.kept() as quick:
        chain = chain_of(quick)
        chain.refresh(instrument, DAYS, NOW)
        yield chain, instrument


def test_a_high_that_no_close_depends_on_stops_at_the_bars(world):
    chain, instrument = world
    before = content(chain.database)
    # Not in the bars of 37m and 148m that cross a midnight, nor the last minute of any bar.
    minute = traded_minute(chain, instrument, minute_of("2016-06-03 12:00"))
    edit(chain, instrument, minute, lambda m: replace(m, high=m.high + 50))

    assert stale(chain, instrument, DAYS)["candles_1m"] == [EDITED_DAY]
    done = refresh_stale(chain, instrument, DAYS)
    next_day = EDITED_DAY + 1
    expected = {
        "candles_1m": ([EDITED_DAY], [EDITED_DAY]),
        # The bar that crosses the next midnight is made from the edited day, too; it comes out equal.
        "candles_37m": ([EDITED_DAY, next_day], [EDITED_DAY]),
        "candles_148m": ([EDITED_DAY, next_day], [EDITED_DAY]),
        "candles_1d": ([EDITED_DAY], [EDITED_DAY]),
        # 5m of the day; and the week closes on Sunday.
        "candles_other": ([EDITED_DAY, SUNDAY], [EDITED_DAY, SUNDAY]),
    }
    for name, length in LOOKBACKS.items():
        expected[f"indicators_{name}"] = (days_that_look_at(EDITED_DAY, length, SMA_SLOTS), [])
        expected[f"decisions_{name}"] = (days_that_look_at(EDITED_DAY, length, DECIDING_SLOTS), [])
    assert done == expected

    after = content(chain.database)
    assert changed_intervals(before["candles"], after["candles"]) == {b"1m", b"5m", b"37m", b"148m", b"1d", b"1w"}
    assert (after["indicators"], after["decisions"]) == (before["indicators"], before["decisions"])
    assert query(chain.database, "SELECT max(version) FROM decisions") == [(1,)]


def test_a_close_reaches_the_decisions_and_what_was_known_before_stays_known(world):
    chain, instrument = world
    interval = Interval.parse("37m")
    bar = interval.slot(minute_of("2016-06-03 12:00"))
    minute = traded_minute(chain, instrument, interval.close(bar), before=True)
    assert interval.slot(minute) == bar
    old = one_minute(chain, instrument, minute)
    told = decisions_known(chain, "ma44", interval, bar, None)
    edit(chain, instrument, minute, lambda m: replace(m, low=m.low - 100, close=m.low - 100))
    revised_at = datetime.now(UTC)
    done = refresh_stale(chain, instrument, DAYS)

    # Every day whose window holds the edited close has other averages; nothing after the window has.
    assert done["indicators_37m"][1] == days_that_look_at(EDITED_DAY, 37, 125, of_slot=bar)
    assert done["decisions_37m"][1] == days_that_look_at(EDITED_DAY, 37, 125, of_slot=bar)
    assert done["decisions_37m"][0] == days_that_look_at(EDITED_DAY, 37, DECIDING_SLOTS)

    revisions = query(
        chain.database,
        "SELECT time, open, high, low, close, volume, reason, recorded_at < superseded_at FROM candle_revisions",
    )
    columns = [float(getattr(old, name)[0]) for name in ("open", "high", "low", "close", "volume")]
    assert revisions == [(moment(minute), *columns, "an edit", True)]

    now_told = decisions_known(chain, "ma44", interval, bar, None)
    assert (told["target"], told["version"]) == (1, 1)
    assert (now_told["target"], now_told["type"], now_told["version"]) == (-1, "OPEN_SHORT", 2)
    assert now_told["origin"] == "repair"
    assert now_told["recorded_at"] > told["recorded_at"]

    # As of before the edit the log gives the old decision, and the minutes as of then give it once more.
    for when in (told["recorded_at"], now_told["recorded_at"]):
        known = decisions_known(chain, "ma44", interval, bar, when)
        assert known == (told if when < revised_at else now_told)
        assert derived_as_of(chain, instrument, "ma44", interval, bar, when) == {
            name: known[name] for name in ("target", "type", "confidence", "reasons", "input_digest")
        }
    assert decisions_known(chain, "ma44", interval, bar, moment(minute)) is None


def test_every_old_decision_of_the_edited_days_is_derivable_from_what_was_known_then(world):
    chain, instrument = world
    interval = Interval.parse("148m")
    [(before,)] = query(chain.database, "SELECT clock_timestamp()")
    minute = traded_minute(chain, instrument, minute_of("2016-06-06 02:28"), before=True)
    edit(chain, instrument, minute, lambda m: replace(m, high=m.high + 40, close=m.high + 40))
    with chain.database.arrow() as cursor:
        lost = read_candles(cursor, SYMBOL, MINUTE, instrument.scale, minute - 300, minute - 200).time
        supersede(cursor, SYMBOL, lost, reason="lost")
        touch_days(cursor, SYMBOL, np.unique(lost // 1440))
    refresh_stale(chain, instrument, DAYS)

    slots = interval.slots_closing_in(SUNDAY, SUNDAY + 4)
    new_versions = 0
    for slot in slots:
        for strategy in ("ma44", "ma125"):
            old = decisions_known(chain, strategy, interval, slot, before)
            new = decisions_known(chain, strategy, interval, slot, None)
            new_versions += old != new
            for known, when in ((old, before), (new, datetime.now(UTC))):
                again = derived_as_of(chain, instrument, strategy, interval, slot, when)
                assert again == (None if known is None else {name: known[name] for name in again or ()})
    assert new_versions > 10


def test_a_vanished_bar_withdraws_its_decision_and_its_return_tells_it_again(world):
    chain, instrument = world
    interval = Interval.parse("37m")
    slot = interval.slot(minute_of("2016-06-08 10:00"))
    before = content(chain.database)
    told = decisions_known(chain, "ma44", interval, slot, None)
    with chain.database.arrow() as cursor:
        minutes = read_candles(cursor, SYMBOL, MINUTE, instrument.scale, interval.open(slot), interval.close(slot))
        supersede(cursor, SYMBOL, minutes.time, reason="gone")
        touch_days(cursor, SYMBOL, np.unique(minutes.time // 1440))
    refresh_stale(chain, instrument, DAYS)
    assert decisions_known(chain, "ma44", interval, slot, None) is None
    assert decisions_known(chain, "ma44", interval, slot, told["recorded_at"]) == told
    where = "WHERE interval = '37m' AND strategy = 'ma44' AND time = %s ORDER BY version"
    log = f"SELECT version, withdrawn, origin FROM decisions {where}"
    assert query(chain.database, log, moment(interval.open(slot))) == [(1, False, "backfill"), (2, True, "repair")]

    with chain.database.arrow() as cursor:
        assert write_minutes(cursor, SYMBOL, minutes, status="confirmed", reason="back") == (len(minutes), 0)
    refresh_stale(chain, instrument, DAYS)
    assert query(chain.database, log, moment(interval.open(slot)))[2:] == [(3, False, "repair")]
    assert content(chain.database) == before


DAMAGE = {
    "bars deleted": "DELETE FROM candles WHERE interval = '37m' AND time >= '2016-06-06' AND time < '2016-06-07'",
    "a bar edited": "UPDATE candles SET close = close + 0.01 WHERE interval = '148m' "
    "AND time >= '2016-06-06 04:00' AND time < '2016-06-06 06:28'",
    "a bar made usable": "UPDATE candles SET usable = NOT usable WHERE interval = '1d' AND time = '2016-06-06'",
    "a bar added": "INSERT INTO candles SELECT time + '1 min', symbol, interval, open, high, low, close, volume, "
    "quote_volume, taker_buy_volume, trades, minutes, quiet_minutes, expected_minutes, usable, status FROM candles "
    "WHERE interval = '5m' AND time = '2016-06-06 04:00'",
    "averages deleted": "DELETE FROM indicators WHERE interval = '37m' "
    "AND time >= '2016-06-06' AND time < '2016-06-07 22:00'",
    "an average edited": "UPDATE indicators SET value = value * 1.0000001 WHERE interval = '148m' "
    "AND time >= '2016-06-10' AND time < '2016-06-11'",
    "an average of another name": "INSERT INTO indicators SELECT time, symbol, interval, 'mine', value, settled "
    "FROM indicators WHERE interval = '37m' AND indicator_name = 'ma44' "
    "AND time >= '2016-06-09' AND time < '2016-06-10'",
    "a decision deleted": "DELETE FROM decisions WHERE interval = '1d' AND time = '2016-06-06'",
    "the record lost": "DELETE FROM partition_digests WHERE day = '2016-06-06'",
}


def test_rows_damaged_by_hand_are_found_and_restored(world):
    chain, instrument = world
    before = content(chain.database)
    for what, statement in DAMAGE.items():
        query(chain.database, statement)
        assert content(chain.database) != before or what == "the record lost", what
        chain.refresh(instrument, DAYS, NOW)
        assert content(chain.database) == before, what
        assert stale(chain, instrument, DAYS) == {}, what
    rows = row_versions(chain.database)
    chain.refresh(instrument, DAYS, NOW)
    assert row_versions(chain.database) == rows


def test_looking_only_says_which_days_are_stale_and_writes_nothing(world):
    chain, instrument = world
    edit(
        chain,
        instrument,
        traded_minute(chain, instrument, minute_of("2016-06-03 12:00")),
        lambda m: replace(m, high=m.high + 50),
    )
    query(chain.database, DAMAGE["averages deleted"])
    rows = row_versions(chain.database)
    reports = chain.refresh(instrument, DAYS, NOW, verify_only=True)
    assert row_versions(chain.database) == rows
    assert reports["candles_1m"].recomputed == [EDITED_DAY]
    assert reports["candles_37m"].recomputed == [EDITED_DAY, EDITED_DAY + 1]
    assert reports["indicators_37m"].recomputed == [day_of("2016-06-06"), day_of("2016-06-07")]
    assert not any(report.written for report in reports.values())


def days_that_look_at(day, length, slots, of_slot=None):
    """The days with a bar whose last `slots` slots reach a slot that closes in `day` (its last, or the one given)."""
    reached = ((day + 1) * 1440 // length) - 1 if of_slot is None else of_slot
    found = []
    for later in range(day, DAYS.stop):
        first = later * 1440 // length  # the first slot that closes in the day
        if of_slot is None:
            looked_at = (first - slots + 1 + 1) * length - 1  # its first slot's last minute
            if looked_at // 1440 <= day:
                found.append(later)
        elif first - slots + 1 <= reached:
            found.append(later)
    return found


def traded_minute(chain, instrument, at, *, before=False):
    """The first traded minute at or after an epoch minute, or the last one before it."""
    with chain.database.arrow() as cursor:
        near = read_candles(cursor, SYMBOL, MINUTE, instrument.scale, at - 100, at + 100)
    traded = near.time[near.quiet_minutes == 0]
    return int(traded[traded < at][-1] if before else traded[traded >= at][0])


def one_minute(chain, instrument, minute):
    with chain.database.arrow() as cursor:
        return read_candles(cursor, SYMBOL, MINUTE, instrument.scale, minute, minute + 1)


def edit(chain, instrument, minute, change):
    """Writes a changed minute, as a repair would."""
    changed = change(one_minute(chain, instrument, minute))
    with chain.database.arrow() as cursor:
        assert write_minutes(cursor, SYMBOL, changed, status="revised", reason="an edit") == (0, 1)


def decisions_known(chain, strategy, interval, slot, as_of):
    """The decision at a slot as the log gives it to a reader, or None."""
    start = interval.open(slot)
    with chain.database.arrow() as cursor:
        statement = decisions_statement(newest=False, every_version=False)
        window = (SYMBOL, interval.name, moment(start), moment(start + 1), as_of, 10, strategy)
        rows = read_table(cursor, statement, window).to_pylist()
    assert len(rows) <= 1
    return rows[0] if rows else None


def derived_as_of(chain, instrument, strategy, interval, slot, when):
    """The decision at a slot made anew, by pure functions, from the minutes as they were known at a moment."""
    [asset] = [asset for asset in chain.catalogue.decisions if asset.interval == interval]
    [one] = [one for one in asset.strategies if one.strategy.name == strategy]
    slots = range(slot - one.lookbacks()[interval] + 1, slot + 1)
    with chain.database.arrow() as cursor:
        minutes, vouched = read_minutes_as_of(
            cursor, instrument, interval.open(slots.start), interval.open(slots.stop), when
        )
    bars = resample(minutes, interval, slots, vouched=vouched, rule=chain.rule)
    decided = one.decide({interval: bars}, range(slot, slot + 1))
    if not len(decided):
        return None
    target = int(decided.target[0])
    return {
        "target": None if target == NO_OPINION else target,
        "type": decided.type[0],
        "confidence": float(decided.confidence[0]),
        "reasons": decided.reasons[0],
        "input_digest": decided.input_digest[0],
    }


def changed_intervals(before, after):
    return {line.split(b"\t")[1] for line in set(before) ^ set(after)}


def moment(minute):
    return datetime.fromtimestamp(minute * 60, UTC)
