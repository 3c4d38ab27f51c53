"""The collector's road beside others: Dagster's bodies, imports, a second collector; a server that comes and goes."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from btc_pipeline.collector.database import DatabaseAwayError
from btc_pipeline.collector.landing import Lander
from btc_pipeline.collector.spool import Spool
from btc_pipeline.collector.store import Landed, MinuteStore
from btc_pipeline.exchanges.base import Unreadable
from btc_pipeline.market.gaps import GapReason, missing_minutes
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTE
from btc_pipeline.market.spans import Spans
from btc_pipeline.pipeline.minutes import refresh_minutes
from btc_pipeline.storage import digests, live_minutes
from btc_pipeline.storage.candles import read_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import lock, read_digests
from btc_pipeline.storage.migrate import migrate
from btc_pipeline.storage.quality import record_gaps
from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline.storage.vouched import read_vouched, replace_vouched
from btc_pipeline.timing.clock import SystemClock
from btc_pipeline_tests.collector.made_landings import (
    CONFIRMED,
    DAY,
    FIRST,
    PROVISIONAL,
    SCALE,
    SYMBOL,
    gaps,
    landing,
    revisions,
    rows,
    stored,
    touched,
    versions,
)

INSTRUMENT = Instrument(SYMBOL, "HYPERLIQUID", "BTC", SCALE)
FOREVER = FIRST + 10**6
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def test_both_roads_wait_for_the_same_lock():
    assert live_minutes.LOCK.replace("_xact_", "_") == digests.LOCK


@pytest.mark.timescale
async def test_a_landing_waits_while_somebody_else_writes_the_symbols_minutes(store, database):
    held, release = threading.Event(), threading.Event()

    def hold():
        with database.arrow() as cursor:
            lock(cursor, "candles_1m", SYMBOL)
            held.set()
            release.wait(60)

    holder = asyncio.create_task(asyncio.to_thread(hold))
    await asyncio.to_thread(held.wait, 60)
    waiting = asyncio.create_task(store.land(SYMBOL, [landing(FIRST)]))
    other = await store.land("ETH.HYPERLIQUID", [landing(FIRST)])
    while rows(database, WAITING) != [(1,)]:
        await asyncio.sleep(0.01)
    assert (other, waiting.done()) == (Landed(added=1), False)
    release.set()
    assert await waiting == Landed(added=1)
    await holder


@pytest.mark.timescale
async def test_landings_of_two_collectors_at_once_lose_and_double_nothing(store, database):
    second = MinuteStore(database.uri)
    words = [
        landing(FIRST + n, status, close=100.0 + n if status == CONFIRMED else 99.0)
        for n in range(60)
        for status in (PROVISIONAL, CONFIRMED)
    ]

    async def land_all(one, seed):
        shuffled = random.Random(seed).sample(words, len(words))
        for at in range(0, len(shuffled), 5):
            await one.land(SYMBOL, shuffled[at : at + 5])

    await asyncio.gather(*(land_all(one, seed) for seed, one in enumerate((store, second, store, second))))
    await second.close()
    assert stored(database) == [(n, 100.0 + n, 1.0, 3, "confirmed") for n in range(60)]
    assert {row[2] for row in revisions(database)} <= {"provisional"}
    assert len(revisions(database)) <= 60


@pytest.mark.timescale
async def test_landings_beside_a_refresh_of_their_day_never_fail_and_leave_no_day_unseen(store, database):
    done = threading.Event()
    refreshed = []

    def refresh():
        while not done.is_set():
            refreshed.append(refresh_minutes(database, INSTRUMENT, range(DAY, DAY + 2), FOREVER))

    refreshing = asyncio.create_task(asyncio.to_thread(refresh))
    for n in range(150):
        await store.land(SYMBOL, [landing(FIRST + 2 * n, PROVISIONAL), landing(FIRST + 2 * n)])
        if n % 10 == 0 and n > 0:
            await store.record_gaps(SYMBOL, range(DAY, DAY + 1), reason=GapReason.COLLECTOR_DOWN)
            await store.vouch(SYMBOL, [FIRST + 2 * n - 1], "test")
            await store.gap_tried(SYMBOL, await _open(store), at=1.0)
    done.set()
    await refreshing
    assert len(refreshed) > 1
    refresh_minutes(database, INSTRUMENT, range(DAY, DAY + 2), FOREVER)
    assert len(stored(database)) == 150
    assert touched(database) == {}
    assert [row[0] for row in gaps(database)] == [2 * n + 1 for n in range(149) if (n + 1) % 10]
    with database.arrow() as cursor:
        known = read_digests(cursor, SYMBOL, "candles_1m", DAY, DAY + 1)[DAY]
    assert known.content is not None
    assert known.touched_from is None


@pytest.mark.timescale
@pytest.mark.parametrize("seed", range(4))
async def test_whoever_looks_at_touched_days_alone_finds_every_gap(store, database, seed):
    rng = random.Random(seed)
    days = rng.sample(range(8), 4)
    present = sorted({1440 * day + rng.randrange(1440) for day in days for _ in range(3)} | {1440 * days[0] + 1439})
    left = rng.sample(present, len(present))
    while left:
        size = rng.randint(1, 4)
        batch, left = left[:size], left[size:]
        await store.land(SYMBOL, [landing(FIRST + n) for n in batch])
        if rng.random() < 0.5:
            await asyncio.to_thread(_look_at_touched_days, database)
    await asyncio.to_thread(_look_at_touched_days, database)
    minutes = sorted(row[0] for row in stored(database))
    missing = set(range(minutes[0], minutes[-1])) - set(minutes)
    assert {n for start, end, *_ in gaps(database) for n in range(start, end)} == missing


def _look_at_touched_days(database):
    for day in sorted(touched(database)):
        refresh_minutes(database, INSTRUMENT, range(DAY + day, DAY + day + 1), FOREVER)
    assert touched(database) == {}


async def _open(store):
    return await store.record_gaps(SYMBOL, range(DAY, DAY + 1), reason=GapReason.COLLECTOR_DOWN)


@pytest.mark.timescale
async def test_gaps_are_the_same_by_both_roads(store, database):
    rng = random.Random(3)
    present = sorted(rng.sample(range(4000), 2500))
    await store.land(SYMBOL, [landing(FIRST + n) for n in present])
    vouched = sorted(rng.sample(sorted(set(range(100, 3900)) - set(present)), 300))
    assert await store.vouch(SYMBOL, [FIRST + n for n in vouched], "test") == 300
    assert await store.vouch(SYMBOL, [FIRST + n for n in vouched], "test") == 0
    days = range(DAY, DAY + 3)
    found = await store.record_gaps(SYMBOL, days, reason=GapReason.UNKNOWN)
    before = versions(database)
    with database.arrow() as cursor:
        told = read_vouched(cursor, SYMBOL, DAY, DAY + 3)
        assert told.tolist() == [FIRST + n for n in vouched]
        time = read_candles(cursor, SYMBOL, MINUTE, SCALE, FIRST, FIRST + 4320).time
        missing = missing_minutes(time, Spans.of_minutes(told), int(time[0]), int(time[-1]) + 1)
        record_gaps(cursor, SYMBOL, missing, days)
    assert versions(database) == before
    assert [(gap.start - FIRST, gap.end - FIRST) for gap in found] == [row[:2] for row in gaps(database)]
    assert (await store.holes(SYMBOL, FIRST, FIRST + 5000)).pairs() == missing.pairs()
    inner = await store.holes(SYMBOL, FIRST + 777, FIRST + 3333)
    assert inner.pairs() == missing.clip(FIRST + 777, FIRST + 3333).pairs()


@pytest.mark.timescale
async def test_vouched_minutes_add_to_what_an_import_vouched_for(store, database):
    with database.arrow() as cursor:
        replace_vouched(cursor, SYMBOL, np.array([FIRST + 3]), np.array([DAY]), source="import of a file")
    assert await store.vouch(SYMBOL, [FIRST + 3, FIRST + 5, FIRST + 1445], "REST") == 2
    with database.arrow() as cursor:
        assert read_vouched(cursor, SYMBOL, DAY, DAY + 2).tolist() == [FIRST + 3, FIRST + 5, FIRST + 1445]
    assert touched(database) == {0: 5, 1: 1445}


async def test_what_is_left_of_a_gap_keeps_its_reason_and_its_retries(store, database):
    await store.land(SYMBOL, [landing(FIRST), landing(FIRST + 1500)])
    (first, _) = await store.record_gaps(SYMBOL, range(DAY, DAY + 2), reason=GapReason.COLLECTOR_DOWN)
    await store.gap_tried(SYMBOL, [first], at=123.5, reason=GapReason.LATE_PUBLISH)
    await store.land(SYMBOL, [landing(FIRST + 700)])
    left = await store.record_gaps(SYMBOL, range(DAY, DAY + 2), reason=GapReason.COLLECTOR_DOWN)
    assert [(gap.start - FIRST, gap.end - FIRST, gap.reason, gap.retries, gap.retried_at) for gap in left] == [
        (1, 700, "late_publish", 1, 123.5),
        (701, 1440, "late_publish", 1, 123.5),
        (1440, 1500, "collector_down", 0, None),
    ]
    assert gaps(database, resolved=True) == [(1, 1440, "late_publish", 1)]


async def test_what_is_rejected_again_and_again_is_counted_and_settled_by_a_confirmed_row(store, database):
    bad = Unreadable('no number: "\x00\\u0000\ud800"', '{"o":"\x00\ud800"}' * 1000, FIRST)
    for _ in range(3):
        await store.reject(SYMBOL, [bad, Unreadable("other", "x", None)])
    kept = "SELECT reason, retries, resolved, length(payload::text) < 10000 FROM data_quality ORDER BY id"
    assert rows(database, kept) == [('no number: "\ufffd\\ufffd?"', 2, False, True), ("other", 2, False, True)]
    await store.land(SYMBOL, [landing(FIRST, PROVISIONAL)])
    assert [row[2] for row in rows(database, kept)] == [False, False]
    await store.land(SYMBOL, [landing(FIRST)])
    assert [row[2] for row in rows(database, kept)] == [True, False]


async def test_failures_are_kept_with_what_was_the_matter(store, database):
    assert await store.fail(SYMBOL, "REST differs", {"seen": float("inf"), "told": 2}, kind="anomaly", span=(5, 6))
    assert not await store.fail(SYMBOL, "REST differs", {"told": 3}, kind="anomaly", span=(5, 6))
    assert await store.fail(SYMBOL, "REST differs", span=(5, 6))
    assert await store.fail(SYMBOL, "REST differs", kind="anomaly", span=(6, 7))
    assert rows(database, "SELECT kind, retries, payload FROM data_quality ORDER BY id") == [
        ("anomaly", 1, {"seen": "inf", "told": 2}),
        ("failure", 0, None),
        ("anomaly", 0, None),
    ]


@pytest.fixture
def own_server():
    """A server of this test's own, which it may stop."""
    folder = Path(tempfile.mkdtemp(prefix="btc-test-"))
    folder.chmod(0o755)
    server = EmbeddedServer(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_server_that_goes_and_comes_back_finds_every_minute(own_server, tmp_path):
    database = Database(await asyncio.to_thread(own_server.ensure_running))
    await asyncio.to_thread(migrate, database)
    store = MinuteStore(database.uri)
    spool = Spool(tmp_path / "spool", 10**9)
    lander = Lander(store, spool, SystemClock())
    running = asyncio.create_task(lander.run())
    await store.declare_instrument(SYMBOL, SCALE)
    for n in range(40):
        lander.put(SYMBOL, [landing(FIRST + n)])
        if n == 10:
            await asyncio.to_thread(own_server.stop)
        if n == 30:
            assert await _eventually(lambda: spool.rows >= 20 and lander.waiting == 0)
            with pytest.raises(DatabaseAwayError, match="does not answer"):
                await store.bounds(SYMBOL)
            await asyncio.to_thread(own_server.ensure_running)
        await asyncio.sleep(0.005)
    assert await _eventually(lambda: spool.rows == 0 and lander.waiting == 0)
    running.cancel()
    await lander.stop(5.0)
    # A connection that the server ended while nobody used it is replaced without a word.
    await asyncio.to_thread(own_server.stop)
    await asyncio.to_thread(own_server.ensure_running)
    assert await store.bounds(SYMBOL) == (FIRST, FIRST + 39)
    await store.close()
    assert stored(database) == [(n, 100.0, 1.0, 3, "confirmed") for n in range(40)]
    assert revisions(database) == []


async def test_a_server_that_hangs_is_away_and_serves_again_when_it_wakes(own_server, tmp_path):
    database = Database(await asyncio.to_thread(own_server.ensure_running))
    await asyncio.to_thread(migrate, database)
    store = MinuteStore(database.uri, connect_seconds=0.5, statement_seconds=0.5)
    await store.declare_instrument(SYMBOL, SCALE)
    await store.land(SYMBOL, [landing(FIRST)])
    lander = Lander(store, Spool(tmp_path / "spool", 10**9), SystemClock())
    running = asyncio.create_task(lander.run())
    processes = [psutil.Process(pid) for pid in own_server._processes()]
    for process in processes:
        process.suspend()
    try:
        lander.put(SYMBOL, [landing(FIRST + 1)])
        for _ in range(2):
            with pytest.raises(DatabaseAwayError):
                await store.land(SYMBOL, [landing(FIRST)])
        assert await _eventually(lambda: lander.spooled_minutes == 1)
    finally:
        for process in processes:
            process.resume()
    assert await _eventually(lambda: lander.spooled_minutes == 0)
    running.cancel()
    await lander.stop(5.0)
    await store.close()
    assert stored(database) == [(n, 100.0, 1.0, 3, "confirmed") for n in range(2)]


async def _eventually(holds, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)
    return True


async def test_a_database_that_never_was_is_away(tmp_path):
    store = MinuteStore("postgresql://btc_bot@127.0.0.1:1/btc_data")
    with pytest.raises(DatabaseAwayError, match="does not answer"):
        await store.land(SYMBOL, [landing(FIRST)])
    await store.close()


async def test_a_database_that_is_being_made_or_that_is_slow_is_away(server_uri, database):
    missing = MinuteStore(database.uri.replace("btc_test_", "btc_none_"))
    with pytest.raises(DatabaseAwayError, match="does not exist"):
        await missing.bounds(SYMBOL)
    await missing.close()
    slow = MinuteStore(database.uri, statement_seconds=0.2)
    await slow.bounds(SYMBOL)

    async def sleep(connection):
        return await connection.fetchval("SELECT pg_sleep(30)")

    with pytest.raises(DatabaseAwayError, match="took longer"):
        await slow.run(sleep)
    assert await slow.bounds(SYMBOL) is None
    await slow.close()


async def test_a_statement_that_is_wrong_is_not_taken_for_a_database_that_is_away(store):
    async def wrong(connection):
        return await connection.fetchval("SELECT no_such_column FROM candles")

    with pytest.raises(Exception, match="no_such_column") as caught:
        await store.run(wrong)
    assert not isinstance(caught.value, DatabaseAwayError)
