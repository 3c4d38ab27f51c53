"""Importing: all or nothing, again without effect, and exactly the touched days are stale."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Scale
from btc_pipeline.pipeline.checks import check_coverage
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline_tests.pipeline.made_minutes import FIRST, HEADER, walk
from btc_pipeline_tests.pipeline.worlds import (
    NOW,
    chain_of,
    content,
    day_of,
    query,
    real_lines,
    refresh_stale,
    row_versions,
    stale,
    write_file,
)
from btc_pipeline_tests.real_data import needs_real_data

pytestmark = pytest.mark.timescale

SYMBOL = "BTCUSD.TEST"
DAY = FIRST // 1440
STORED = ("candles", "candle_revisions", "vouched_minutes", "data_quality", "instruments", "partition_digests")
IMPORT = "import sys; from pathlib import Path; from btc_pipeline.pipeline.imports import import_candles; "
IMPORT += "from btc_pipeline.storage.connection import Database; "
IMPORT += "import_candles(Database(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], vouch=True)"


def counts(database):
    return {table: query(database, f"SELECT count(*) FROM {table}")[0][0] for table in STORED}


def gaps(database):
    """Open gaps as (first, end) epoch minutes."""
    return query(
        database,
        "SELECT extract(epoch FROM start_time)::bigint / 60 AS first, "
        "extract(epoch FROM end_time)::bigint / 60 AS after "
        "FROM data_quality WHERE kind = 'gap' AND NOT resolved ORDER BY 1",
    )


def test_an_import_killed_in_the_middle_leaves_nothing_and_runs_again(database, tmp_path):
    """Killed while its rows are on their way: the last table it writes to is held shut until it has got there."""
    path = write_file(tmp_path, [HEADER, *walk(3, without={FIRST + 700})])
    command = [sys.executable, "-c", IMPORT, database.uri, str(path), SYMBOL]
    blocked = "SELECT count(*) FROM pg_locks WHERE relation = 'vouched_minutes'::regclass AND NOT granted"
    with database.rows() as holding:
        holding.execute("LOCK TABLE vouched_minutes IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        while query(database, blocked) != [(1,)]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    while query(database, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%vouched%%'") != [(1,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert counts(database) == dict.fromkeys(STORED, 0)

    subprocess.run(command, check=True)
    assert counts(database) == {
        "candles": 3 * 1440 - 1,
        "candle_revisions": 0,
        "vouched_minutes": 1,
        "data_quality": 0,
        "instruments": 1,
        "partition_digests": 3,
    }


def test_a_wrong_row_at_the_end_keeps_all_out(database, tmp_path):
    path = write_file(tmp_path, [HEADER, *walk(2), f"{(FIRST + 2 * 1440) * 60_000},400,399,398,400,1"])
    with pytest.raises(UserError, match="row"):
        import_candles(database, path, SYMBOL)
    assert counts(database) == dict.fromkeys(STORED, 0)


def test_importing_the_same_file_again_changes_nothing(database, tmp_path):
    path = write_file(tmp_path, [HEADER, *walk(2, without={FIRST + 5, FIRST + 6})])
    first = import_candles(database, path, SYMBOL, vouch=True)
    assert (first.added, first.replaced, first.unchanged, first.quiet) == (2 * 1440 - 2, 0, 0, 2)
    chain_of(database).refresh(first.instrument, range(DAY, DAY + 2), NOW)
    before, known = row_versions(database), counts(database)
    again = import_candles(database, path, SYMBOL, vouch=True)
    assert (again.added, again.replaced, again.unchanged, again.quiet) == (0, 0, 2 * 1440 - 2, 2)
    assert row_versions(database) == before
    assert counts(database) == known
    assert stale(chain_of(database), first.instrument, range(DAY, DAY + 2)) == {}


def test_an_overlapping_file_with_other_values_revises_exactly_what_differs(database, tmp_path):
    lines = list(walk(4))
    instrument = import_candles(database, write_file(tmp_path, [HEADER, *lines[: 3 * 1440]]), SYMBOL).instrument
    chain, days = chain_of(database), range(DAY, DAY + 4)
    chain.refresh(instrument, days, NOW)

    def with_other_volume(line):
        return line.rpartition(",")[0] + ",77.125"

    overlap = lines[1440:]
    for at in (10, 11, 1440 + 700):  # two in the second day, one in the third
        overlap[at] = with_other_volume(overlap[at])
    report = import_candles(database, write_file(tmp_path, [HEADER, *overlap]), SYMBOL)
    assert (report.added, report.replaced, report.unchanged) == (1440, 3, 2 * 1440 - 3)
    revised = query(database, "SELECT extract(epoch FROM time)::bigint / 60, volume FROM candle_revisions ORDER BY 1")
    old = {at: float(lines[1440 + at].rpartition(",")[2]) for at in (10, 11, 2140)}
    assert revised == [(FIRST + 1440 + at, volume) for at, volume in old.items()]
    assert stale(chain, instrument, days)["candles_1m"] == [DAY + 1, DAY + 2, DAY + 3]
    done = refresh_stale(chain, instrument, days)
    assert done["candles_1m"][0] == [DAY + 1, DAY + 2, DAY + 3]
    assert done["candles_37m"][1] == [DAY + 1, DAY + 2, DAY + 3]
    # The new day has bars to decide on; volumes decide nothing.
    assert done["decisions_37m"][1] == [DAY + 3]


@pytest.mark.parametrize("earlier_first", [True, False])
def test_what_lies_between_two_files_is_missing(database, tmp_path, earlier_first):
    """The first ends at 10:00 of its day, the second begins at 05:00 three days later."""
    lines = list(walk(5))
    files = [lines[: 1440 + 600], lines[4 * 1440 + 300 :]]
    chain, days = chain_of(database), range(DAY, DAY + 5)
    for part in files if earlier_first else reversed(files):
        path = write_file(tmp_path, [HEADER, *part])
        instrument = import_candles(database, path, SYMBOL, vouch=True).instrument
        refresh_stale(chain, instrument, days)
    midnights = [FIRST + day * 1440 for day in (2, 3, 4)]
    assert gaps(database) == [
        (FIRST + 1440 + 600, midnights[0]),
        (midnights[0], midnights[1]),
        (midnights[1], midnights[2]),
        (midnights[2], midnights[2] + 300),
    ]
    report = check_coverage(database, instrument, days)
    assert not report.passed
    assert report.summary == "4,020 minutes missing in 4 gaps"
    assert [row["minutes"] for row in report.problems] == [1440, 1440, 840, 300]

    import_candles(database, write_file(tmp_path, [HEADER, *lines[1440:]]), SYMBOL)
    refresh_stale(chain, instrument, days)
    assert gaps(database) == []
    assert check_coverage(database, instrument, days).passed


def test_holes_are_quiet_only_if_the_source_says_so_and_they_are_short(database, tmp_path):
    short, long = set(range(FIRST + 60, FIRST + 240)), set(range(FIRST + 600, FIRST + 781))
    path = write_file(tmp_path, [HEADER, *walk(1, without=short | long)])
    unknown = import_candles(database, path, SYMBOL)
    assert (unknown.quiet, unknown.unknown) == (0, 361)
    chain_of(database).refresh(unknown.instrument, range(DAY, DAY + 1), NOW)
    assert gaps(database) == [(FIRST + 60, FIRST + 240), (FIRST + 600, FIRST + 781)]
    vouched = import_candles(database, path, SYMBOL, vouch=True)
    assert (vouched.quiet, vouched.unknown) == (180, 181)
    refresh_stale(chain_of(database), unknown.instrument, range(DAY, DAY + 1))
    assert gaps(database) == [(FIRST + 600, FIRST + 781)]
    longer = import_candles(database, path, SYMBOL, vouch=True, outage_after=181)
    assert (longer.quiet, longer.unknown) == (361, 0)
    refresh_stale(chain_of(database), unknown.instrument, range(DAY, DAY + 1))
    assert gaps(database) == []
    with pytest.raises(UserError, match="outage"):
        import_candles(database, path, SYMBOL, outage_after=-1)


def test_minutes_of_skipped_rows_are_not_vouched_for(database, tmp_path):
    lines = list(walk(1, without={FIRST + 30}))
    lines[99] = lines[99].rpartition(",")[0] + ",many"  # 01:40, as 00:30 has no row
    path = write_file(tmp_path, [HEADER, *lines])
    report = import_candles(database, path, SYMBOL, vouch=True, skip_invalid=True)
    assert (report.rows, report.added, report.rejected, report.quiet, report.unknown) == (1439, 1438, 1, 1, 1)
    chain_of(database).refresh(report.instrument, range(DAY, DAY + 1), NOW)
    assert gaps(database) == [(FIRST + 100, FIRST + 101)]
    [(reason, payload)] = query(database, "SELECT reason, payload FROM data_quality WHERE kind = 'rejected_row'")
    assert "many" in reason
    assert payload == {"file": path.name, "row": 101, "text": lines[99]}


@needs_real_data
def test_more_decimals_widen_the_scale_and_change_no_bar(database, tmp_path):
    """March 3 of 2015 has 2 decimals, March 4 has a price of 8."""
    first = day_of("2015-03-01")
    days = range(first, first + 6)
    chain = chain_of(database)
    old = write_file(tmp_path, real_lines("2015-03-01", "2015-03-04"), "old.csv")
    new = write_file(tmp_path, real_lines("2015-03-04", "2015-03-07"), "new.csv")
    narrow = import_candles(database, old, SYMBOL, vouch=True).instrument
    assert narrow.scale == Scale(2, 8)
    chain.refresh(narrow, days, NOW)
    old_rows = "SELECT * FROM {} WHERE time < '2015-03-03 21:00' AND interval <> '1m' ORDER BY time, interval"
    before = [query(database, old_rows.format(table)) for table in ("candles", "indicators", "decisions")]

    wide = import_candles(database, new, SYMBOL, vouch=True).instrument
    with database.arrow() as cursor:
        assert wide == find_instrument(cursor, SYMBOL)
    assert wide.scale == Scale(8, 8)
    # The integers that sums are made of are others, so every day is made again, and what comes out equal stays.
    assert stale(chain, wide, days)["candles_37m"] == list(days)
    done = refresh_stale(chain, wide, days)
    assert done["candles_37m"] == (list(days), list(days)[3:])
    assert [query(database, old_rows.format(table)) for table in ("candles", "indicators", "decisions")] == before
    assert min(map(len, before)) > 50
    again = import_candles(database, old, SYMBOL, vouch=True)
    assert (again.instrument.scale, again.added, again.replaced) == (wide.scale, 0, 0)


def test_a_value_that_the_wider_scale_cannot_hold_is_refused_with_words(database, tmp_path):
    fine = f"{FIRST * 60_000},1.00000001,1.00000001,1.00000001,1.00000001,1"
    import_candles(database, write_file(tmp_path, [HEADER, fine]), SYMBOL)
    before = content(database, ["candles"])
    large = f"{(FIRST + 1) * 60_000},10000000,10000000,10000000,10000000,1"
    with pytest.raises(UserError, match="8 decimals has more than 15 significant digits"):
        import_candles(database, write_file(tmp_path, [HEADER, large]), SYMBOL)
    assert content(database, ["candles"]) == before
