"""A venue of the user's own whose clients have bugs: its minutes are right in the end, and the others' never notice."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from btc_pipeline.exchanges import base
from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, SyntheticMarket
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.live.cases import FIRST_DAY, stop_in_time
from btc_pipeline_tests.live.world import World, live, stored_rows, truth
from btc_pipeline_tests.pipeline.worlds import query

START: Final = FIRST_DAY + 7_000.0
FIRST: Final = int(START // 60)
MINUTES: Final = 40
NEWEST_MINUTES: Final = 3
MARKET: Final = SyntheticMarket(5, ("BTC",))
LOOK_BACK: Final = 200
FILE: Final = """
from itertools import count
from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.bybit.rest import BybitRest
from btc_pipeline.exchanges.bybit.wire import BybitStream
from btc_pipeline.exchanges.provider import Provider


class Rest:
    venue = "MINE"
    retention_minutes = 200

    def __init__(self, url, clock):
        self.inner = BybitRest(url, clock)
        self.asked = count(1)

    async def coins(self, wanted):
        return await self.inner.coins(wanted) if next(self.asked) > 2 else {}["coins"]

    async def history(self, coin, start, end):
        return await self.inner.history(coin, start, end) if next(self.asked) % 3 else 1 / 0

    async def time(self):
        return await self.inner.time()

    async def close(self):
        await self.inner.close()
        raise RuntimeError("close")


class Stream(BybitStream):
    venue = "MINE"
    heard = count(1)

    def read(self, frame):
        return super().read(frame) if next(self.heard) % 20 else frame["data"]


PROVIDER = Provider(
    name="MINE",
    title="My venue",
    example="BTCUSDT",
    addresses=Addresses("wss://mine.invalid/ws", "https://mine.invalid"),
    rest=lambda at, clock: Rest(at.api_url, clock),
    stream=lambda at: Stream(at.websocket_url),
)
"""


def test_bugs_of_a_users_venue_cost_nobody_a_minute(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LIVE_LOOK_BACK_MINUTES", LOOK_BACK)
    (tmp_path / "venues").mkdir()
    (tmp_path / "venues" / "mine.py").write_text(FILE)

    async def script(world: World) -> None:
        venues = {**world.settings.venues, "MINE": world.settings.venues["BYBIT"]}
        world.settings = world.settings.model_copy(update={"venues": venues})
        world.start_collector()
        await world.until(START + MINUTES * 60)
        await stop_in_time(world)

    live(
        database,
        tmp_path,
        MARKET,
        script,
        start=START,
        behaviour=Behaviour(frames_per_minute=12, retention=LOOK_BACK, empty_minute=EmptyMinute.FLAT),
        settings={"symbols": ("BTC", "BTCUSDT.MINE"), "venues_folder": tmp_path / "venues", "cross_checks": []},
    )
    end = FIRST + MINUTES - NEWEST_MINUTES
    expected = truth(MARKET, FIRST, end)
    for symbol, told in (("BTC", 6), ("BTCUSDT.MINE", 5)):
        stored = {at: row[:told] for at, row in stored_rows(database, symbol).items() if FIRST <= at < end}
        assert stored == {at: row[:told] for at, row in expected.items()}
    reasons = {reason for (reason,) in query(database, "SELECT reason FROM data_quality WHERE kind = 'rejected_row'")}
    assert any("mine.py, line 36: TypeError: string indices must be integers" in reason for reason in reasons), reasons
