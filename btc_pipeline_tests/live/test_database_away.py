"""The database away for hours: everything waits on disk and comes back in order; a full disk is said, not hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from btc_pipeline.collector import landing
from btc_pipeline.collector.store import Landing
from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, SyntheticMarket
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline_tests.live.cases import FIRST_DAY, Tripwires, stop_in_time
from btc_pipeline_tests.live.judging import judge_minutes, keep_trail
from btc_pipeline_tests.live.servers import own_server
from btc_pipeline_tests.live.world import World, live
from btc_pipeline_tests.pipeline.worlds import query

START: Final = FIRST_DAY + 50_000.0
FIRST: Final = int(START // 60)
MARKET: Final = SyntheticMarket(9, ("BTC",), empty_share=0.02)
AWAY: Final = "collector: the database is away; minutes go to the spool on disk"
BACK: Final = "collector: the database is back, and has what was spooled"


@pytest.fixture
def server() -> Iterator[tuple[EmbeddedServer, Database]]:
    with own_server() as (server, database):
        keep_trail(database)
        yield server, database


class Order:
    """Around a store: which minutes landed, in order."""

    def __init__(self, store: Any, landed: list[int]) -> None:
        self._store = store
        self._landed = landed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def land(self, symbol: str, rows: list[Landing]) -> Any:
        done = await self._store.land(symbol, rows)
        self._landed += [row.minute.time for row in rows]
        return done


def habits(retention: int) -> Behaviour:
    return Behaviour(frames_per_minute=6, retention=retention, empty_minute=EmptyMinute.FLAT)


async def stop(server: EmbeddedServer) -> None:
    await asyncio.to_thread(server.stop)


async def start(server: EmbeddedServer) -> None:
    await asyncio.to_thread(server.ensure_running)


def test_ten_hours_away_are_spooled_and_come_back_in_order_though_the_collector_was_killed(
    server: tuple[EmbeddedServer, Database], tmp_path: Path
) -> None:
    postgres, database = server
    # The exchange gives no more than an hour back: what is not in the spool is lost.
    behaviour = habits(retention=60)
    landed: list[int] = []
    spooled: list[int] = []

    async def script(world: World) -> None:
        world.start_collector()
        await world.until(START + 1200)
        await stop(postgres)
        await world.until(START + 1200 + 4 * 3600)
        assert world.collector is not None
        spooled.append(world.collector._lander.spooled_minutes)
        await world.crash_collector()
        await asyncio.sleep(90)
        world.wrap_store = lambda store: Order(store, landed)
        world.start_collector()
        await world.until(START + 1200 + 10 * 3600)
        spooled.append(world.collector._lander.spooled_minutes)
        assert landed == []
        await start(postgres)
        await world.until(world.clock.now() + 20)
        spooled.append(world.collector._lander.spooled_minutes)
        await world.until(world.clock.now() + 25 * 60)
        await stop_in_time(world)

    world = live(database, tmp_path, MARKET, script, start=START, behaviour=behaviour)
    assert spooled[0] >= 240
    assert spooled[1] >= 600
    assert spooled[2] == 0
    first_seen = list(dict.fromkeys(landed))
    assert first_seen == sorted(first_seen)
    problems = judge_minutes(database, MARKET, behaviour, first=FIRST, now=world.clock.now())
    assert problems == []
    assert [line for line in world.lines if "database" in line] == [AWAY, AWAY, BACK]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_in_the_middle_of_the_replay_repeats_it(
    after: bool, server: tuple[EmbeddedServer, Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres, database = server
    behaviour = habits(retention=60)
    monkeypatch.setattr("btc_pipeline.collector.spool.ROWS_A_FILE", 50)
    killed: list[bool] = []
    files: list[int] = []

    async def script(world: World) -> None:
        wires = Tripwires()
        world.wrap_store = wires.wrap
        world.start_collector()
        await world.until(START + 600)
        await stop(postgres)
        await world.until(START + 2 * 3600)
        files.append(len(list((tmp_path / "spool").glob("*.jsonl"))))
        await start(postgres)
        # Two files are in the database and gone, the third is in the database or not, and there still.
        killed.append(await wires.kill_at_landing(world, 3, after=after))
        files.append(len(list((tmp_path / "spool").glob("*.jsonl"))))
        await asyncio.sleep(30)
        world.start_collector()
        await world.until(world.clock.now() + 25 * 60)
        await stop_in_time(world)

    world = live(database, tmp_path, MARKET, script, start=START, behaviour=behaviour)
    assert killed == [True]
    assert files[0] - files[1] == 2
    assert files[1] > 1
    problems = judge_minutes(database, MARKET, behaviour, first=FIRST, now=world.clock.now())
    assert problems == []
    assert list((tmp_path / "spool").glob("*.jsonl")) == []


def test_a_full_spool_is_said_loudly_keeps_the_oldest_and_rest_fills_the_rest(
    server: tuple[EmbeddedServer, Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres, database = server
    behaviour = habits(retention=600)
    monkeypatch.setattr(landing, "MOST_WAITING", 30)
    refused: list[float] = []
    kept: list[bytes] = []

    async def script(world: World) -> None:
        world.start_collector()
        assert world.collector is not None
        world.collector._lander._spool._max_bytes = 20_000
        await world.until(START + 600)
        await stop(postgres)
        for hours in (1.5, 4.0):
            await world.until(START + hours * 3600)
            kept.append(b"".join(path.read_bytes() for path in sorted((tmp_path / "spool").glob("*.jsonl"))))
            assert world.collector is not None
            found = world.collector._metrics.registry.get_sample_value(
                "btc_pipeline_collector_minutes_not_spooled_total"
            )
            refused.append(found or 0.0)
        await start(postgres)
        await world.until(world.clock.now() + 25 * 60)
        await stop_in_time(world)

    with capture_logs() as logs:
        world = live(database, tmp_path, MARKET, script, start=START, behaviour=behaviour)
    assert 15_000 < len(kept[0]) <= 20_000
    assert kept[1] == kept[0]
    assert refused[1] > refused[0]
    loud = {entry["event"] for entry in logs if entry["log_level"] == "error"}
    assert "the spool takes no more minutes" in loud
    assert "minutes are dropped: the database is away, the spool is full" in loud
    problems = judge_minutes(database, MARKET, behaviour, first=FIRST, now=world.clock.now())
    assert problems == []
    oldest = int(kept[0].split(b'"time":')[1].split(b",")[0])
    assert (oldest,) in query(
        database, "SELECT extract(epoch FROM time)::bigint / 60 FROM candles WHERE interval = '1m'"
    )
