"""A collector that lives and lands nothing is unhealthy within two minutes: progress is minutes, not turning loops."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from btc_pipeline.exchanges.replay import Behaviour, Fault, FaultKind, SyntheticMarket
from btc_pipeline.pipeline.collection import CollectorHealth
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.live.cases import FIRST_DAY, health
from btc_pipeline_tests.live.world import World, live

START: Final = FIRST_DAY + 3_600.0
HANGS: Final = START + 605.0
COMES_BACK: Final = HANGS + 600.0
TWO_MINUTES: Final = 120.0


class Hanging:
    """Around a store: everything answers but landings, which wait until a moment."""

    def __init__(self, store: Any, world: World) -> None:
        self._store = store
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def land(self, *arguments: Any) -> Any:
        now = self._world.clock.now()
        if HANGS <= now < COMES_BACK:
            await asyncio.sleep(COMES_BACK - now)
        return await self._store.land(*arguments)


FAULTS: Final[dict[str, Sequence[Fault]]] = {
    "the exchange refuses": [
        Fault(FaultKind.REFUSE, at=HANGS, seconds=600),
        Fault(FaultKind.DISCONNECT, at=HANGS, seconds=600),
    ],
    "the stream stalls and REST answers errors": [
        Fault(FaultKind.STALL, at=HANGS, seconds=600),
        Fault(FaultKind.SERVER_ERROR, at=HANGS, seconds=600),
    ],
    "landings hang": [],
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_collector_that_lives_and_lands_nothing_is_unhealthy_within_two_minutes(
    what: str, hasty_database: Database, tmp_path: Path
) -> None:
    seen: list[CollectorHealth] = []

    async def script(world: World) -> None:
        if what == "landings hang":
            world.wrap_store = lambda store: Hanging(store, world)
        world.start_collector()
        for moment in (HANGS - 5, HANGS + TWO_MINUTES, COMES_BACK - 5, COMES_BACK + 1800):
            await world.until(moment)
            seen.append(health(hasty_database, world.clock.now()))
        await world.stop_collector()

    behaviour = Behaviour(frames_per_minute=12, retention=100)
    live(hasty_database, tmp_path, SyntheticMarket(1), script, start=START, faults=FAULTS[what], behaviour=behaviour)
    assert [one.healthy for one in seen] == [True, False, False, True]
    # It is alive all the time, and says so.
    assert all(one.heartbeat_age_seconds <= 30 for one in seen)
    assert all("minutes are known up to" in one.message for one in seen[1:3])
