"""The lander: minutes reach the database at once, or the spool, and come back from there in order."""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict

import pytest

from btc_pipeline.collector import landing as landing_module
from btc_pipeline.collector.database import DatabaseAwayError
from btc_pipeline.collector.landing import LONGEST_RETRY_SECONDS, Lander
from btc_pipeline.collector.spool import Spool
from btc_pipeline.collector.store import Landed, MinuteStore
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline.timing.loops import VirtualLoop
from btc_pipeline_tests.collector.made_landings import (
    CONFIRMED,
    FIRST,
    PROVISIONAL,
    SCALE,
    SYMBOL,
    landing,
    revisions,
    stored,
)
from btc_pipeline_tests.collector.outside import OutsideStore

OTHER = "ETH.HYPERLIQUID"


class FakeStore:
    """A database that may be away, slow, or dislike a minute; keeps what landed in order."""

    def __init__(self):
        self.away = False
        self.seconds = 0.0
        self.disliked = set()
        self.broken = False
        self.landed = defaultdict(list)
        self.calls = []
        self.rejected = []

    async def land(self, symbol, rows):
        self.calls.append(asyncio.get_running_loop().time())
        if self.away:
            raise DatabaseAwayError("the database does not answer")
        await asyncio.sleep(self.seconds)
        if self.away:
            raise DatabaseAwayError("the connection broke")
        if self.broken:
            raise PermissionError("permission denied for table candles")
        if any(row.minute.time in self.disliked for row in rows):
            raise ValueError("numeric field overflow")
        self.landed[symbol] += [(row.minute.time - FIRST, row.status, row.minute.close) for row in rows]
        return Landed(added=len(rows))

    async def reject(self, symbol, rows):
        self.rejected += [(symbol, row.time) for row in rows]


class Bench:
    """A lander on virtual time over a store and a spool, and what it told."""

    def __init__(self, folder, store=None, max_bytes=10**9):
        loop = asyncio.get_running_loop()
        self.store = store or FakeStore()
        self.spool = Spool(folder / "spool", max_bytes)
        self.lander = Lander(self.store, self.spool, LoopClock(loop, 0.0))
        self.told = []
        self.refused = []
        self.away = []
        self.lander.on_landed = lambda symbol, minutes: self.told.extend((symbol, one - FIRST) for one in minutes)
        self.lander.on_refused = self.refused.append
        self.lander.on_away = self.away.append
        self.running = asyncio.create_task(self.lander.run())

    def put(self, *minutes, status=CONFIRMED, symbol=SYMBOL, **values):
        self.lander.put(symbol, [landing(FIRST + n, status, **values) for n in minutes])

    async def stop(self, seconds=10.0):
        self.running.cancel()
        await self.lander.stop(seconds)


def on_virtual_time(scenario):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)


def times(store, symbol=SYMBOL):
    return [row[0] for row in store.landed[symbol]]


def test_a_minute_lands_without_any_waiting_for_others(tmp_path):
    async def scenario():
        bench = Bench(tmp_path)
        await asyncio.sleep(100)
        bench.put(1)
        await asyncio.sleep(0.001)
        assert times(bench.store) == [1]
        assert bench.told == [(SYMBOL, 1)]
        assert bench.store.calls == [pytest.approx(100.0, abs=1e-4)]
        await bench.stop()
        assert bench.spool.rows == 0

    on_virtual_time(scenario())


def test_a_confirmed_word_that_tells_less_takes_nothing_from_one_that_waits(tmp_path):
    class Remembering(FakeStore):
        async def land(self, symbol, rows):
            landed = await super().land(symbol, rows)
            self.quotes = {row.minute.time - FIRST: row.minute.quote_volume for row in rows}
            return landed

    async def scenario():
        bench = Bench(tmp_path, Remembering())
        bench.store.seconds = 1.0
        bench.put(0)
        await asyncio.sleep(0.1)
        bench.put(1, 2, quote_volume=100.0)
        bench.put(3, status=PROVISIONAL, quote_volume=100.0)
        bench.put(1, 3)
        bench.put(2, close=103.0)
        assert await bench.lander.flush(60)
        assert bench.store.quotes == pytest.approx({1: 100.0, 2: math.nan, 3: math.nan}, nan_ok=True)
        await bench.stop()

    on_virtual_time(scenario())


def test_what_comes_while_the_database_is_busy_lands_in_one_batch_and_newer_words_conflate(tmp_path):
    async def scenario():
        bench = Bench(tmp_path)
        bench.store.seconds = 1.0
        bench.put(0)
        await asyncio.sleep(0.1)
        bench.put(1, status=PROVISIONAL, trades=5, close=101.0)
        bench.put(1, status=PROVISIONAL, trades=4, close=102.0)
        bench.put(2, close=103.0)
        bench.put(2, status=PROVISIONAL, trades=99, close=104.0)
        bench.put(3, status=PROVISIONAL)
        bench.put(3, close=105.0)
        assert await bench.lander.flush(60)
        assert len(bench.store.calls) == 2
        assert bench.store.landed[SYMBOL][1:] == [(1, PROVISIONAL, 101.0), (2, CONFIRMED, 103.0), (3, CONFIRMED, 105.0)]
        await bench.stop()

    on_virtual_time(scenario())


def test_while_the_database_is_away_minutes_are_on_disk_and_land_in_order_when_it_is_back(tmp_path):
    async def scenario():
        bench = Bench(tmp_path)
        bench.store.away = True
        for n in range(600):
            bench.put(n)
            await asyncio.sleep(60)
            assert (bench.spool.rows, bench.lander.waiting) == (n + 1, 0)
        assert bench.told == [(SYMBOL, n) for n in range(600)]
        bench.store.away = False
        bench.put(600)
        await asyncio.sleep(LONGEST_RETRY_SECONDS)
        assert times(bench.store) == list(range(601))
        assert bench.told == [(SYMBOL, n) for n in range(601)]
        assert (bench.spool.rows, bench.away) == (0, [True, False])
        await bench.stop()

    on_virtual_time(scenario())


def test_tries_come_at_growing_intervals_up_to_ten_seconds(tmp_path):
    async def scenario():
        bench = Bench(tmp_path)
        bench.store.away = True
        bench.put(0)
        await asyncio.sleep(60)
        gaps = [round(b - a, 2) for a, b in zip(bench.store.calls, bench.store.calls[1:], strict=False)]
        assert gaps[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0]
        assert set(gaps[5:]) == {10.0}
        await bench.stop()

    on_virtual_time(scenario())


def test_a_batch_that_fails_half_way_is_spooled_before_it_is_forgotten(tmp_path):
    async def scenario():
        bench = Bench(tmp_path)
        bench.store.seconds = 1.0
        bench.put(0, 1)
        bench.put(0, symbol=OTHER)
        await asyncio.sleep(1.5)
        assert times(bench.store) == [0, 1]
        bench.store.away = True
        await asyncio.sleep(0.6)
        assert (bench.spool.rows, bench.lander.waiting) == (1, 0)
        bench.store.away = False
        assert not await bench.lander.flush(1)
        await asyncio.sleep(20)
        assert times(bench.store) == [0, 1]
        assert times(bench.store, OTHER) == [0]
        assert sorted(bench.told) == [(SYMBOL, 0), (SYMBOL, 1), (OTHER, 0)]
        await bench.stop()

    on_virtual_time(scenario())


def test_more_than_may_wait_goes_to_the_spool_while_the_database_is_slow(tmp_path, monkeypatch):
    monkeypatch.setattr(landing_module, "MOST_WAITING", 10)

    async def scenario():
        bench = Bench(tmp_path)
        bench.store.seconds = 1000.0
        bench.put(0)
        await asyncio.sleep(1)
        bench.put(*range(1, 10))
        await asyncio.sleep(1)
        assert (bench.spool.rows, bench.lander.waiting) == (0, 10)
        bench.put(10)
        await asyncio.sleep(1)
        assert (bench.spool.rows, bench.lander.waiting) == (11, 0)
        bench.put(5, close=107.0)
        bench.store.seconds = 0.0
        assert await bench.lander.flush(2000)
        assert list(dict.fromkeys(times(bench.store))) == [*range(11)]
        assert bench.store.landed[SYMBOL][-1] == (5, CONFIRMED, 107.0)
        assert sorted(bench.told) == sorted([*((SYMBOL, n) for n in range(11)), (SYMBOL, 5)])
        await bench.stop()

    on_virtual_time(scenario())


def test_at_the_cap_the_oldest_stay_and_what_is_dropped_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(landing_module, "MOST_WAITING", 10)

    async def scenario():
        bench = Bench(tmp_path, max_bytes=2000)
        bench.store.away = True
        for n in range(60):
            bench.put(n)
            await asyncio.sleep(1)
        kept = bench.spool.rows + bench.lander.waiting
        assert bench.spool.size <= 2000
        assert bench.lander.waiting == 10
        assert sum(bench.refused) == 60 - kept > 0
        bench.store.away = False
        await asyncio.sleep(LONGEST_RETRY_SECONDS)
        assert times(bench.store) == list(range(kept))
        bench.put(100)
        await asyncio.sleep(0.1)
        assert times(bench.store)[-1] == 100
        await bench.stop()

    on_virtual_time(scenario())


def test_a_minute_that_the_database_refuses_is_quarantined_and_keeps_no_other_out(tmp_path):
    async def scenario():
        bench = Bench(tmp_path)
        bench.store.disliked = {FIRST + 1}
        bench.put(0, 1, 2)
        assert await bench.lander.flush(10)
        assert times(bench.store) == [0, 2]
        assert bench.store.rejected == [(SYMBOL, FIRST + 1)]
        await bench.stop()

    on_virtual_time(scenario())


def test_an_error_that_is_not_the_rows_loses_and_rejects_nothing(tmp_path):
    async def scenario():
        bench = Bench(tmp_path)
        bench.store.broken = True
        bench.put(0, 1)
        await asyncio.sleep(60)
        assert (bench.spool.rows, bench.store.rejected) == (2, [])
        bench.store.broken = False
        await asyncio.sleep(LONGEST_RETRY_SECONDS)
        assert times(bench.store) == [0, 1]
        await bench.stop()

    on_virtual_time(scenario())


def test_stop_waits_for_what_is_being_landed_and_spools_what_is_not_done_in_time(tmp_path):
    async def scenario():
        bench = Bench(tmp_path / "quick")
        bench.store.seconds = 3.0
        bench.put(0)
        await bench.stop(10.0)
        assert (times(bench.store), bench.spool.rows) == ([0], 0)

        bench = Bench(tmp_path / "slow")
        bench.store.seconds = 1000.0
        bench.put(0)
        await asyncio.sleep(1)
        bench.put(1)
        began = asyncio.get_running_loop().time()
        await bench.stop(10.0)
        assert asyncio.get_running_loop().time() - began < 11.5
        assert (times(bench.store), bench.spool.rows) == ([], 2)
        again = Bench(tmp_path / "slow")
        assert await again.lander.flush(10)
        assert times(again.store) == [0, 1]
        await again.stop()

    on_virtual_time(scenario())


def test_stop_does_not_wait_for_a_database_that_is_away(tmp_path):
    async def scenario():
        bench = Bench(tmp_path)
        bench.store.away = True
        bench.put(0)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        await bench.stop(10.0)
        assert asyncio.get_running_loop().time() == pytest.approx(began, abs=0.01)
        assert Spool(tmp_path / "spool", 10**9).rows == 1

    on_virtual_time(scenario())


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_database_does_every_minute_lands_and_the_last_word_holds(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(landing_module, "MOST_WAITING", 7)

    async def scenario():
        rng = random.Random(seed)
        bench = Bench(tmp_path)
        last = {}
        for _ in range(300):
            n, close = rng.randrange(40), float(rng.randrange(50, 150))
            bench.put(n, close=close)
            last[n] = close
            if rng.random() < 0.1:
                bench.store.away = not bench.store.away
            bench.store.seconds = rng.choice([0.0, 0.0, 0.5, 5.0])
            await asyncio.sleep(rng.choice([0.0, 0.01, 1.0, 15.0]))
            if rng.random() < 0.03:
                await bench.stop(rng.choice([0.0, 2.0]))
                previous, bench = bench, Bench(tmp_path)
                bench.store.landed, bench.store.away = previous.store.landed, previous.store.away
        bench.store.away, bench.store.seconds = False, 0.0
        await asyncio.sleep(2 * LONGEST_RETRY_SECONDS)
        assert await bench.lander.flush(10)
        await bench.stop()
        assert {n: close for n, _, close in bench.store.landed[SYMBOL]} == last

    on_virtual_time(scenario())


def test_on_virtual_time_over_a_real_database_all_of_it_arrives(tmp_path, database):
    async def scenario():
        real = MinuteStore(database.uri)
        store = OutsideStore(real)
        await store.declare_instrument(SYMBOL, SCALE)
        bench = Bench(tmp_path, store)
        for n in range(60):
            bench.put(n, status=PROVISIONAL)
            await asyncio.sleep(5)
            bench.put(n, close=100.5 if n == 7 else 100.0)
            await asyncio.sleep(55)
        assert asyncio.get_running_loop().time() == pytest.approx(3600.0, abs=0.5)
        await bench.stop()
        await store.close()

    on_virtual_time(scenario())
    assert [row[:2] for row in stored(database)] == [(n, 100.5 if n == 7 else 100.0) for n in range(60)]
    assert {row[-1] for row in stored(database)} == {"confirmed"}
    assert revisions(database) == [(7, 100.0, "provisional", "test")]
