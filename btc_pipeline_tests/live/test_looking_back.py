"""A venue that gives everything is asked for weeks in parts that land one by one, and go on where they were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from btc_pipeline.collector import symbol
from btc_pipeline.exchanges import base
from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, Fault, FaultKind, SyntheticMarket
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.live.cases import FIRST_DAY, stop_in_time
from btc_pipeline_tests.live.world import World, live, stored_rows, truth
from btc_pipeline_tests.pipeline.worlds import query

START: Final = FIRST_DAY + 7_000.0
FIRST: Final = int(START // 60)
MARKET: Final = SyntheticMarket(5, ("BTC",))
BINANCE: Final = "BTCUSDT.BINANCE"
LOOK_BACK: Final = 6_000
PART: Final = 1_000
BEHAVIOUR: Final = Behaviour(frames_per_minute=12, empty_minute=EmptyMinute.FLAT)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "LIVE_LOOK_BACK_MINUTES", LOOK_BACK)
    monkeypatch.setattr(symbol, "SLICE_MINUTES", PART)


def pages(world: World) -> int:
    """How many whole pages of minutes were asked for."""
    return sum(
        request.kind == "klines" and request.status == 200 for request in world.exchange.counters_of("BINANCE").requests
    )


def missing(database: Database, until: float, symbol: str = BINANCE) -> list[int]:
    """Minutes that are not stored as the market has them."""
    expected = truth(MARKET, FIRST - LOOK_BACK + 2, int(until // 60) - 3)
    stored = stored_rows(database, symbol)
    return [at for at, row in expected.items() if stored.get(at) != row]


def test_what_was_interrupted_goes_on_where_it_was(hasty_database: Database, tmp_path: Path) -> None:
    kept: list[int] = []

    async def script(world: World) -> None:
        # Every request takes its time, so that there is some in which to be killed.
        for _ in range(3):
            world.start_collector()
            await world.until(world.clock.now() + 12)
            await world.crash_collector()
            kept.append(query(hasty_database, "SELECT count(*) FROM candles WHERE symbol = %s", BINANCE)[0][0])
        world.start_collector()
        await world.until(START + 900)
        await stop_in_time(world)

    slow = Fault(FaultKind.SLOW_REST, START, 120, 3.0, "BINANCE")
    world = live(
        hasty_database,
        tmp_path,
        MARKET,
        script,
        start=START,
        faults=[slow],
        behaviour=BEHAVIOUR,
        settings={"symbols": (BINANCE,)},
    )
    assert missing(hasty_database, world.clock.now()) == []
    assert kept == sorted(set(kept))
    assert kept[0] >= PART
    assert kept[-1] < LOOK_BACK
    # Six parts, three of them begun twice at most, one look a minute: nothing was asked for from the beginning again.
    assert pages(world) <= 6 + 3 + 20


def test_an_outage_in_the_middle_is_gone_on_behind(hasty_database: Database, tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.start_collector()
        await world.until(START + 900)
        await stop_in_time(world)

    faults = [
        Fault(FaultKind.SLOW_REST, START, 60, 2.0, "BINANCE"),
        Fault(FaultKind.RATE_LIMIT, START + 9, 5, 30.0, "BINANCE"),
    ]
    world = live(
        hasty_database,
        tmp_path,
        MARKET,
        script,
        start=START,
        faults=faults,
        behaviour=BEHAVIOUR,
        settings={"symbols": (BINANCE,)},
    )
    assert missing(hasty_database, world.clock.now()) == []
    counters = world.exchange.counters_of("BINANCE")
    assert counters.rate_limited == 1
    assert list(counters.too_soon) == []
    assert pages(world) <= 6 + 2 + 20


@pytest.mark.parametrize("pauses", [(FaultKind.BANNED, 600.0), (FaultKind.RATE_LIMIT, 120.0)])
def test_a_pause_is_kept_by_the_process_that_comes_next(
    pauses: tuple[FaultKind, float], hasty_database: Database, tmp_path: Path
) -> None:
    kind, seconds = pauses

    async def script(world: World) -> None:
        for _ in range(6):
            world.start_collector()
            await world.until(world.clock.now() + 50)
            await world.crash_collector()
        world.start_collector()
        await world.until(START + 1_500)
        await stop_in_time(world)

    world = live(
        hasty_database,
        tmp_path,
        MARKET,
        script,
        start=START,
        faults=[Fault(kind, START + 20, 45, seconds, "BINANCE")],
        behaviour=BEHAVIOUR,
        settings={"symbols": ("BTC", BINANCE)},
    )
    counters = world.exchange.counters_of("BINANCE")
    assert sum(request.status in (418, 429) for request in counters.requests) == 1
    assert list(counters.too_soon) == []
    assert missing(hasty_database, world.clock.now()) == []


@pytest.mark.parametrize("symbols", [("BTCUSDT.BYBIT",), (BINANCE,), ("BTCUSDT.BINANCE_UM", "BTCUSDT.BYBIT", "BTC")])
def test_a_quiet_symbol_keeps_its_connection(symbols: Sequence[str], hasty_database: Database, tmp_path: Path) -> None:
    market = SyntheticMarket(5, ("BTC",), empty_share=0.9)

    async def script(world: World) -> None:
        world.start_collector()
        await world.until(START + 7_200)
        await stop_in_time(world)

    world = live(
        hasty_database,
        tmp_path,
        market,
        script,
        start=START,
        behaviour=BEHAVIOUR,
        settings={"symbols": tuple(symbols)},
    )
    for name in symbols:
        venue = {"BTC": "HYPERLIQUID"}.get(name, name.partition(".")[2])
        counters = world.exchange.counters_of(venue)
        assert (counters.sockets, sum(counters.cuts.values())) == (1, 0), venue
        stored = stored_rows(hasty_database, name)
        expected = truth(market, FIRST, FIRST + 115)
        told = 5 if venue == "BYBIT" else 6
        assert {at: stored[at][:told] for at in expected} == {at: row[:told] for at, row in expected.items()}
        assert set(range(FIRST, FIRST + 115)) <= stored.keys()
