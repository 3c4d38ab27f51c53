"""Processes at work on the same days, or on different ones at the same time: one result, no error."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.pipeline.made_minutes import FIRST, HEADER, walk
from btc_pipeline_tests.pipeline.worlds import NOW, chain_of, query, row_versions, small_settings, write_file

pytestmark = pytest.mark.timescale

SYMBOL = "BTCUSD.TEST"
DAYS = range(FIRST // 1440, FIRST // 1440 + 3)
MEETING_POINTS = ("candles_1m", "candles_37m", "indicators_37m", "decisions_37m")
"""Locks at which both processes are made to wait before either has it: the import's, then one of each kind."""

LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, 0))"
UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def import_and_refresh(uri, path):
    chain = chain_of(Database(uri))
    instrument = import_candles(chain.database, path, SYMBOL, vouch=True).instrument
    chain.refresh(instrument, DAYS, NOW)


def until(database, statement, expected):
    deadline = time.monotonic() + 60
    while query(database, statement) != [(expected,)]:
        assert time.monotonic() < deadline, f"{statement}: never {expected}"
        time.sleep(0.02)


def test_two_processes_that_import_and_refresh_the_same_days_agree(database, tmp_path):
    path = write_file(tmp_path, [HEADER, *walk(3, without={FIRST + 700})])
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=import_and_refresh, args=(database.uri, path)) for _ in range(2)]
    with database.rows(autocommit=True) as connection:
        for asset in MEETING_POINTS:
            connection.execute(LOCK, (f"{asset}/{SYMBOL}",))
        for process in processes:
            process.start()
        for asset in MEETING_POINTS:
            until(database, WAITING, 2)
            connection.execute(UNLOCK, (f"{asset}/{SYMBOL}",))
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0]

    assert query(database, "SELECT count(*) FROM candles WHERE interval = '1m'") == [(3 * 1440 - 1,)]
    assert query(database, "SELECT count(*) FROM candle_revisions") == [(0,)]
    assert query(database, "SELECT count(*) FROM vouched_minutes") == [(1,)]
    assert query(database, "SELECT DISTINCT version FROM decisions") == [(1,)]
    rows = row_versions(database)
    import_and_refresh(database.uri, path)
    assert row_versions(database) == rows
    assert len(rows["decisions"]) > 200


def test_indicators_of_two_intervals_may_be_defined_at_once(database, tmp_path):
    """Both write the rows that say what `ma44` means; one of them begins before it can see the other's."""
    chain = chain_of(database, small_settings(standard_intervals=("37m",), strategies=()))
    instrument = import_candles(database, write_file(tmp_path, [HEADER, *walk(6)]), SYMBOL, vouch=True).instrument
    days = range(FIRST // 1440, FIRST // 1440 + 6)
    chain.refresh(instrument, days, NOW, assets=["candles_1m", "candles_37m", "candles_148m"])
    failures = []

    def refresh(asset):
        try:
            chain.refresh(instrument, days, NOW, assets=[asset])
        except Exception as error:  # noqa: BLE001 whatever it is, the test names it
            failures.append(error)

    workers = [threading.Thread(target=refresh, args=(f"indicators_{i}",)) for i in ("37m", "148m")]
    with database.rows() as connection:
        connection.execute("LOCK TABLE indicator_definitions IN SHARE MODE")
        for worker in workers:
            worker.start()
        until(database, BLOCKED, 2)
        connection.commit()
    for worker in workers:
        worker.join(timeout=60)
    assert failures == []
    assert query(database, "SELECT indicator_name FROM indicator_definitions ORDER BY 1") == [("ma125",), ("ma44",)]
