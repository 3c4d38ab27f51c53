"""The checks pass on what the pipeline wrote, and each finds what was planted for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from btc_pipeline.pipeline.checks import (
    check_coverage,
    check_midnights,
    check_rejected_rows,
    check_snapshots,
    check_staleness,
)
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.pipeline.recount import recount_bars
from btc_pipeline.settings import load_settings
from btc_pipeline_tests.pipeline.made_minutes import FIRST, HEADER, walk
from btc_pipeline_tests.pipeline.worlds import NOW, chain_of, query, write_file

pytestmark = pytest.mark.timescale

SYMBOL = "BTCUSD.TEST"
DAY = FIRST // 1440  # 2015-12-31, so that a month and a year end within the days
DAYS = range(DAY, DAY + 5)
HOLES = {FIRST + 5, *range(FIRST + 1430, FIRST + 1450), *range(FIRST + 3000, FIRST + 3100)}
A_BAR = "interval = '37m' AND time >= '2016-01-02 10:00' AND time < '2016-01-02 10:37'"


@pytest.fixture(scope="module")
def world(module_database, tmp_path_factory):
    path = write_file(tmp_path_factory.mktemp("checks"), [HEADER, *walk(5, without=HOLES)])
    instrument = import_candles(module_database, path, SYMBOL, vouch=True).instrument
    chain = chain_of(module_database, load_settings())
    chain.refresh(instrument, DAYS, NOW)
    return chain, instrument


@pytest.fixture
def planted(world):
    """Plants by SQL; takes everything back afterwards by materialising again."""
    chain, instrument = world
    yield lambda statement: query(chain.database, statement)
    chain.refresh(instrument, DAYS, NOW)
    assert recount(world).passed


def recount(world, days=DAYS, now=NOW):
    chain, instrument = world
    intervals = [interval for asset in chain.catalogue.bars for interval in asset.intervals]
    return recount_bars(chain.database, instrument, intervals, days, chain.rule, now)


def test_every_check_passes_on_what_the_pipeline_wrote(world):
    chain, instrument = world
    assert recount(world).passed
    assert "bars equal DuckDB's recount" in recount(world).summary
    for check in (check_coverage, check_rejected_rows, check_midnights):
        assert check(chain.database, instrument, DAYS).passed
    for asset in chain.catalogue.derived:
        assert check_staleness(chain.database, chain.catalogue, asset, instrument, DAYS, NOW).passed
    for asset in chain.catalogue.decisions:
        report = check_snapshots(chain.database, asset, chain.catalogue, instrument, DAYS)
        assert report.passed
        assert report.summary.startswith("2 inputs")


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (f"UPDATE candles SET close = close + 0.01 WHERE {A_BAR}", "differs"),
        (f"UPDATE candles SET volume = volume + 0.001 WHERE {A_BAR}", "differs"),
        (f"UPDATE candles SET quiet_minutes = quiet_minutes + 1 WHERE {A_BAR}", "differs"),
        (f"UPDATE candles SET usable = NOT usable WHERE {A_BAR}", "differs"),
        (f"UPDATE candles SET trades = 7 WHERE {A_BAR}", "differs"),
        (f"UPDATE candles SET quote_volume = 7 WHERE {A_BAR}", "differs"),
        (f"DELETE FROM candles WHERE {A_BAR}", "missing"),
        (f"UPDATE candles SET time = time + interval '1 minute' WHERE {A_BAR}", "should not be there"),
    ],
)
def test_the_recount_finds_an_error_in_a_stored_bar(world, planted, statement, problem):
    planted(statement)
    report = recount(world)
    assert not report.passed
    assert problem in {row["problem"] for row in report.problems}
    assert {row["interval"] for row in report.problems} == {"37m"}
    assert report.problems[0]["time"] >= datetime(2016, 1, 2, 10, tzinfo=UTC).replace(tzinfo=None)
    assert recount(world, range(DAY, DAY + 2)).passed


def test_the_recount_finds_a_minute_that_changed_behind_the_bars(world, planted):
    planted("UPDATE candles SET high = high + 50 WHERE interval = '1m' AND time = '2016-01-01 10:00'")
    report = recount(world)
    assert {row["interval"] for row in report.problems} >= {"3m", "37m", "148m", "1d"}


def test_the_recount_expects_no_bar_that_is_not_closed(world):
    chain, instrument = world
    noon = (DAY + 2) * 1440 + 720
    intervals = [interval for asset in chain.catalogue.bars for interval in asset.intervals]
    report = recount_bars(chain.database, instrument, intervals, range(DAY, DAY + 3), chain.rule, noon)
    # The bars that closed after noon are stored here, and should not be if it were noon.
    assert {row["problem"] for row in report.problems} == {"should not be there"}


def test_coverage_finds_a_gap_that_appeared(world, planted, tmp_path):
    chain, instrument = world
    lines = list(walk(5, without=HOLES))
    planted("DELETE FROM candles WHERE interval = '1m' AND time >= '2016-01-01 12:00' AND time < '2016-01-01 12:10'")
    chain.refresh(instrument, DAYS, NOW)
    report = check_coverage(chain.database, instrument, DAYS)
    assert (report.passed, report.summary) == (False, "10 minutes missing in 1 gaps")
    assert report.problems[0]["reason"] == "unknown"
    assert check_coverage(chain.database, instrument, range(DAY, DAY + 1)).passed
    import_candles(chain.database, write_file(tmp_path, [HEADER, *lines]), SYMBOL, vouch=True)
    chain.refresh(instrument, DAYS, NOW)
    assert check_coverage(chain.database, instrument, DAYS).passed


def test_a_jump_at_midnight_is_found(world, planted):
    chain, instrument = world
    planted("UPDATE candles SET open = open * 1.06, high = high * 1.06 WHERE interval = '1m' AND time = '2016-01-03'")
    report = check_midnights(chain.database, instrument, DAYS)
    assert not report.passed
    assert [row["midnight"] for row in report.problems] == [datetime(2016, 1, 3, tzinfo=UTC)]
    assert report.problems[0]["jump_percent"] == pytest.approx(6, abs=0.2)
    planted("UPDATE candles SET open = open / 1.06, high = high / 1.06 WHERE interval = '1m' AND time = '2016-01-03'")


def test_a_snapshot_that_saw_something_else_is_found(world, planted):
    chain, instrument = world
    [asset] = [asset for asset in chain.catalogue.decisions if asset.name == "decisions_37m"]
    where = "indicator_name = 'ma44' AND interval = '37m' AND time >= '2016-01-03 10:00' AND time < '2016-01-03 10:37'"
    for statement in (
        f"UPDATE indicators SET value = value + 0.01 WHERE {where}",
        f"DELETE FROM indicators WHERE {where}",
    ):
        planted(statement)
        report = check_snapshots(chain.database, asset, chain.catalogue, instrument, DAYS)
        assert (report.passed, report.summary) == (False, "1 values differ from the stored indicators")
        assert report.problems[0]["indicator"] == "ma44"
        chain.refresh(instrument, DAYS, NOW, assets=["indicators_37m"])
    assert check_snapshots(chain.database, asset, chain.catalogue, instrument, DAYS).passed


def test_a_stale_day_is_found(world, planted):
    chain, instrument = world
    planted("UPDATE partition_digests SET content_digest = NULL WHERE asset = 'candles_1m' AND day = '2016-01-02'")
    [bars] = [asset for asset in chain.catalogue.bars if asset.name == "candles_37m"]
    report = check_staleness(chain.database, chain.catalogue, bars, instrument, DAYS, NOW)
    assert not report.passed
    assert [row["day"].isoformat() for row in report.problems] == ["2016-01-02", "2016-01-03"]
    assert report.summary == "2 days are stale: btc-pipeline materialize --stale"


def test_a_row_in_quarantine_is_found(world, planted):
    chain, instrument = world
    planted("UPDATE candles SET high = 1 WHERE interval = '1m' AND time = '2016-01-04 12:00'")
    chain.refresh(instrument, DAYS, NOW)
    report = check_rejected_rows(chain.database, instrument, DAYS)
    assert (report.passed, report.summary) == (False, "1 rows in quarantine")
    assert report.problems[0]["payload"]["high"] == 1
    assert check_rejected_rows(chain.database, instrument, range(DAY, DAY + 4)).passed
