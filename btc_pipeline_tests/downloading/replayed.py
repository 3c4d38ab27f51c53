"""The replay exchange in a thread of its own, on a time that pauses skip, and downloads from it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from btc_pipeline.downloading.download import DownloadReport, Order, download
from btc_pipeline.downloading.pace import Pace
from btc_pipeline.exchanges.replay import Behaviour, Fault, MinuteRow, ReplayExchange, SyntheticMarket
from btc_pipeline.exchanges.replay.counters import Counters
from btc_pipeline.exchanges.replayed import PATHS
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.downloading.fake_binance import minute_of

FIRST = minute_of("2024-12-31 20:17")
NOW = minute_of("2025-01-07 06:00")


class LateMarket(SyntheticMarket):
    """A made-up market that begins."""

    def minute(self, coin: str, minute: int) -> MinuteRow | None:
        return super().minute(coin, minute) if minute >= FIRST else None

    def begins(self, coin: str) -> int:
        return FIRST


MARKET = LateMarket(seed=3, coins=("BTC",))
"""One for all tests: it remembers the rows that it made."""


class SkippingClock:
    """A time that goes on by itself, and at once over every pause."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        self._began = time.monotonic()
        self.slept = 0.0

    def now(self) -> float:
        return self._epoch + self.monotonic()

    def monotonic(self) -> float:
        return time.monotonic() - self._began + self.slept

    def pause(self, seconds: float) -> bool:
        self.slept += seconds
        return False

    async def sleep(self, seconds: float) -> None:
        self.pause(seconds)


class Replayed:
    """A running replay exchange, and what is downloaded from it."""

    def __init__(self, exchange: ReplayExchange, clock: SkippingClock, loop: asyncio.AbstractEventLoop) -> None:
        self.exchange = exchange
        self.clock = clock
        self._loop = loop

    def inject(self, *faults: Fault) -> None:
        self._call(lambda: [self.exchange.inject(fault) for fault in faults])

    def clear_faults(self) -> None:
        self._call(self.exchange.clear_faults)

    def inject_after(self, requests: int, fault: Fault) -> None:
        """A fault that begins once Binance has answered so many requests."""
        exchange, clock = self.exchange, self.clock

        class Trigger(Counters):
            def note_request(self, time: float, kind: str, status: int, weight: int) -> None:
                super().note_request(time, kind, status, weight)
                if len(self.requests) == requests:
                    exchange.inject(replace(fault, at=clock.now()))

        exchange.venues["BINANCE"].counters = Trigger()

    def too_soon(self) -> int:
        """How many requests came although their peer had been told to wait, of all venues."""
        return sum(len(venue.counters.too_soon) for venue in self.exchange.venues.values())

    def asked(self, venue: str) -> Counter[str]:
        """How many requests of a kind came."""
        return self.exchange.counters_of(venue).requests_by_kind

    def settings(self, folder: Path) -> Settings:
        at = {name: self.exchange.addresses(name) for name in PATHS}
        return load_settings(
            data_dir=folder,
            venues={name: {"api_url": one.api_url, "archive_url": one.archive_url} for name, one in at.items()},
            standard_intervals=("5m", "37m", "148m", "1d"),
        )

    def download(
        self, database: Database, folder: Path, symbol: str, start: int = FIRST // 1440 * 1440
    ) -> DownloadReport:
        return download(
            self.settings(folder),
            database,
            Order(symbol, start),
            clock=self.clock,
            pace=Pace(monotonic=self.clock.monotonic, wait=self.clock.pause),
        )

    def _call(self, work: Callable[[], object]) -> None:
        async def there() -> None:
            work()

        asyncio.run_coroutine_threadsafe(there(), self._loop).result(30)


@contextmanager
def replaying(behaviour: Behaviour | None = None) -> Iterator[Replayed]:
    """Serves all venues until the block ends."""
    clock = SkippingClock(NOW * 60.0 + 20)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    exchange = ReplayExchange(MARKET, clock, behaviour)
    try:
        asyncio.run_coroutine_threadsafe(exchange.start(), loop).result(30)
        yield Replayed(exchange, clock, loop)
        asyncio.run_coroutine_threadsafe(exchange.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
