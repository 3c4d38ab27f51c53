"""kill -9 of the collector at any moment, for seconds or for days: what it comes back to is right in the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Final

import pytest

from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, Fault, FaultKind, SyntheticMarket
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.live.cases import FIRST_DAY, Tripwires
from btc_pipeline_tests.live.judging import final_truth, judge_minutes, judge_requests, keep_trail
from btc_pipeline_tests.live.world import World, live, open_gaps, stored_rows
from btc_pipeline_tests.pipeline.worlds import query

START: Final = FIRST_DAY + 40_000.0
FIRST: Final = int(START // 60)
SETTLING_SECONDS: Final = 25 * 60.0
BEHAVIOUR: Final = Behaviour(frames_per_minute=12, retention=600, empty_minute=EmptyMinute.FLAT)
MARKET: Final = SyntheticMarket(5, ("BTC",), empty_share=0.02)
REAL_RETENTION: Final = 5_000


@pytest.mark.parametrize("seed", range(4))
def test_a_collector_that_is_killed_again_and_again_ends_with_every_minute(
    seed: int, hasty_database: Database, tmp_path: Path
) -> None:
    source = Random(seed)
    starts: list[float] = []
    kills = {"moment": 0, "landing": 0}

    async def script(world: World) -> None:
        wires = Tripwires()
        world.wrap_store = wires.wrap
        for _ in range(8):
            starts.append(world.clock.now())
            world.start_collector()
            # The first seconds are full of things half done.
            alive = source.choice((source.uniform(0, 0.02), source.uniform(0, 10), source.uniform(10, 900)))
            await world.until(world.clock.now() + alive)
            if source.random() < 0.5:
                kills["landing"] += await wires.kill_at_landing(
                    world, source.randint(1, 3), after=source.random() < 0.5
                )
            else:
                kills["moment"] += 1
                await world.crash_collector()
            pauses = (source.uniform(0, 1), source.uniform(1, 60), source.uniform(60, 3600))
            await asyncio.sleep(source.choice(pauses))
        starts.append(world.clock.now())
        world.start_collector()
        await world.until(world.clock.now() + SETTLING_SECONDS)
        await world.stop_collector()

    keep_trail(hasty_database)
    world = live(hasty_database, tmp_path, MARKET, script, start=START, behaviour=BEHAVIOUR, seed=seed)
    now = world.clock.now()
    problems = judge_minutes(hasty_database, MARKET, BEHAVIOUR, first=FIRST, now=now)
    assert problems + judge_requests(world.exchange, (), starts) == []
    assert min(kills.values()) > 0


def test_minutes_that_the_exchange_forgot_meanwhile_are_gaps_beyond_retention(
    hasty_database: Database, tmp_path: Path
) -> None:
    away_minutes = REAL_RETENTION + 700
    behaviour = Behaviour(frames_per_minute=12, retention=REAL_RETENTION)
    begins: list[int] = []

    async def script(world: World) -> None:
        world.start_collector()
        await world.until(START + 1800)
        await world.crash_collector()
        await asyncio.sleep(away_minutes * 60.0)
        begins.append(int(world.clock.now() // 60))
        world.start_collector()
        await world.until(world.clock.now() + SETTLING_SECONDS)
        await world.stop_collector()

    world = live(hasty_database, tmp_path, MARKET, script, start=START, behaviour=behaviour)
    stored, gaps = stored_rows(hasty_database), open_gaps(hasty_database)
    end = int(world.clock.now() // 60) - 3
    missing = {at for at in range(min(stored), end) if at not in stored}
    assert missing == set(range(int((START + 1800) // 60), begins[0] - REAL_RETENTION + 1))
    assert len(missing) > 700
    assert gaps == dict.fromkeys(missing, "beyond_retention")
    truth = final_truth(MARKET, behaviour, min(stored), end)
    assert {at: row for at, row in stored.items() if at < end} == {at: truth[at] for at in truth if at not in missing}


def test_a_collector_that_never_lives_for_two_minutes_loses_nothing(hasty_database: Database, tmp_path: Path) -> None:
    source = Random(1)

    async def script(world: World) -> None:
        while world.clock.now() < START + 2400:
            world.start_collector()
            await world.until(world.clock.now() + source.uniform(1, 110))
            await world.crash_collector()
            await asyncio.sleep(source.uniform(0, 5))

    keep_trail(hasty_database)
    world = live(hasty_database, tmp_path, MARKET, script, start=START, behaviour=BEHAVIOUR)
    now = world.clock.now()
    problems = judge_minutes(hasty_database, MARKET, BEHAVIOUR, first=FIRST, now=now)
    assert problems == []


@pytest.mark.parametrize(
    ("start", "later", "dies", "pause"),
    [
        # Minutes that were confirmed up to a quarter of an hour before the kill change after it.
        pytest.param(START, 840, 1500, 3600, id="within the quarter of an hour"),
        # The collector is not there when the daily audit is due.
        pytest.param(FIRST_DAY + 86_400 - 7200, 5400, 6600, 2400, id="over the time of the audit"),
    ],
)
def test_what_the_exchange_revises_while_the_collector_is_away_is_found_afterwards(
    start: float, later: float, dies: float, pause: float, hasty_database: Database, tmp_path: Path
) -> None:
    revised = Fault(FaultKind.LATE_REVISION, at=start + 600, seconds=900, value=later)

    async def script(world: World) -> None:
        world.start_collector()
        await world.until(start + dies)
        await world.crash_collector()
        await asyncio.sleep(pause)
        world.start_collector()
        await world.until(world.clock.now() + SETTLING_SECONDS)
        await world.stop_collector()

    keep_trail(hasty_database)
    world = live(hasty_database, tmp_path, MARKET, script, start=start, behaviour=BEHAVIOUR, faults=[revised])
    first = int(start // 60)
    assert judge_minutes(hasty_database, MARKET, BEHAVIOUR, first=first, now=world.clock.now()) == []
    assert len(query(hasty_database, "SELECT 1 FROM candles WHERE status = 'revised'")) >= 10
