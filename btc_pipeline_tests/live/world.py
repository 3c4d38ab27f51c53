"""A live world on virtual time: a replay exchange and a collector in one loop, a real database beside it.

Hours take seconds. Time stands still while the database is waited for, so that its speed is not part of a test.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from btc_pipeline.collector.assembly import build_collector
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.service import Collector
from btc_pipeline.collector.store import MinuteStore
from btc_pipeline.exchanges.base import Minute
from btc_pipeline.exchanges.replay import Behaviour, Fault, Market, ReplayExchange
from btc_pipeline.setting_sections import VenueSettings
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline.timing.loops import VirtualLoop
from btc_pipeline_tests.collector.outside import OutsideStore

COIN = "BTC"
SYMBOL = "BTC"


@dataclass
class World:
    """What a script of a test can touch. Moments are UTC seconds since 1970-01-01."""

    exchange: ReplayExchange
    settings: Settings
    clock: LoopClock
    uri: str
    seed: int
    lines: list[str] = field(default_factory=list)
    collector: Collector | None = None
    wrap_store: Callable[[Any], Any] = lambda store: store
    """What is put around the store of collectors started from now on."""
    _task: asyncio.Task[None] | None = None

    def start_collector(self) -> None:
        """A new process, as it were: nothing is shared with the one before but the disk and the database."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.collector = build_collector(
            self.settings,
            self.wrap_store(OutsideStore(MinuteStore(self.uri))),
            self.clock,
            metrics=Metrics(),
            random=Random(self.seed),
            announce=self.lines.append,
        )
        self._task = asyncio.create_task(self.collector.run())

    async def stop_collector(self) -> None:
        """As SIGTERM would."""
        assert self.collector is not None
        assert self._task is not None
        self.collector.stop()
        await self._task
        self.collector = self._task = None

    async def crash_collector(self) -> None:
        """As kill -9 would: what is neither in the database nor in the spool is gone."""
        assert self.collector is not None
        assert self._task is not None

        async def nothing() -> None:
            """Nobody cleans up after a kill."""

        collector, task = self.collector, self._task
        self.collector = self._task = None
        collector._end = nothing  # type: ignore[method-assign]
        # First whoever writes: what a cancelled task passes on at its end must reach nobody.
        writer = collector._lander._writer
        if writer is not None:
            writer.cancel()
            await asyncio.wait([writer])
        task.cancel()
        await asyncio.wait([task])
        # What a thread has begun to write is written, as by a process that dies a moment later.
        await asyncio.to_thread(time.sleep, 0.01)
        for venue in collector._venues:
            await venue.rest.close()
        await collector._store.close()

    async def until(self, moment: float) -> None:
        """Lets time pass; a collector that ends by itself is an error."""
        while (left := moment - self.clock.now()) > 0:
            await asyncio.sleep(min(left, 60.0))
            if self._task is not None and self._task.done():
                await self._task
                raise AssertionError("the collector ended by itself")


Script = Callable[[World], Awaitable[None]]


def live(
    database: Database,
    folder: Path,
    market: Market,
    script: Script,
    *,
    start: float,
    faults: Sequence[Fault] = (),
    behaviour: Behaviour | None = None,
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
) -> World:
    """Runs a script in a new world whose clock shows `start`; returns the world once everything is stopped."""

    async def main() -> World:
        clock = LoopClock(asyncio.get_running_loop(), start)
        exchange = ReplayExchange(market, clock, behaviour=behaviour or Behaviour(frames_per_minute=12))
        await exchange.start()
        for fault in faults:
            exchange.inject(fault)
        venues = {name: _settings_of(exchange, name) for name in exchange.venues}
        chosen = Settings(data_dir=folder, venues=venues, **dict(settings or {}))  # type: ignore[arg-type]
        world = World(exchange, chosen, clock, database.uri, seed)
        try:
            await script(world)
        finally:
            if world.collector is not None:
                await world.crash_collector()
            await exchange.stop()
        return world

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def _settings_of(exchange: ReplayExchange, venue: str) -> VenueSettings:
    at = exchange.addresses(venue)
    return VenueSettings(websocket_url=at.websocket_url, api_url=at.api_url, archive_url=at.archive_url)


def run_for(hours: float) -> Script:
    """A collector runs for some hours, and is stopped."""

    async def script(world: World) -> None:
        end = world.clock.now() + hours * 3600
        world.start_collector()
        await world.until(end)
        await world.stop_collector()

    return script


def stored_rows(database: Database, symbol: str = SYMBOL) -> dict[int, tuple[float, ...]]:
    """(open, high, low, close, volume, trades) of every stored minute, by epoch minute."""
    with database.rows() as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM time)::bigint / 60 AS minute, open, high, low, close, volume, trades "
            "FROM candles WHERE symbol = %s AND interval = '1m'",
            [symbol],
        ).fetchall()
    return {row["minute"]: tuple(list(row.values())[1:]) for row in rows}


def open_gaps(database: Database, symbol: str = SYMBOL) -> dict[int, str]:
    """The reason of every minute that lies in an open gap, by epoch minute."""
    with database.rows() as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM start_time)::bigint / 60 AS first, extract(epoch FROM end_time)::bigint / 60 AS "
            "until, reason FROM data_quality WHERE kind = 'gap' AND NOT resolved AND symbol = %s",
            [symbol],
        ).fetchall()
    return {minute: row["reason"] for row in rows for minute in range(row["first"], row["until"])}


def final_rows(market: Market, start: int, end: int, coin: str = COIN) -> Iterator[Minute]:
    """What the market says of the epoch minutes [start, end) once everything is settled."""
    listing = market.listings[coin]
    price, volume = 10.0**listing.price_decimals, 10.0**listing.volume_decimals
    for at in range(start, end):
        row = market.minute(coin, at)
        if row is not None:
            prices = (row.open / price, row.high / price, row.low / price, row.close / price)
            yield Minute(at, *prices, row.volume / volume, row.trades)


def truth(market: Market, start: int, end: int) -> dict[int, tuple[float, ...]]:
    """`final_rows` in the shape of `stored_rows`."""
    return {
        one.time: (one.open, one.high, one.low, one.close, one.volume, one.trades)
        for one in final_rows(market, start, end)
    }
