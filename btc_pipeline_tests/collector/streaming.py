"""A connection to a replay exchange on virtual time, without a database: what it hears, and how it behaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from btc_pipeline.collector.backoff import Backoff
from btc_pipeline.collector.connection import VenueConnection
from btc_pipeline.collector.exchange_clock import ExchangeClock
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.symbol import SymbolCollector
from btc_pipeline.exchanges.base import Minute, Unreadable, VenueError
from btc_pipeline.exchanges.hyperliquid.rest import HyperliquidRest
from btc_pipeline.exchanges.hyperliquid.wire import HyperliquidStream
from btc_pipeline.exchanges.replay import Behaviour, Fault, ReplayExchange, SyntheticMarket
from btc_pipeline.market.candles import Scale
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline.timing.loops import VirtualLoop

START = 1_790_232_000.0
SCALE = Scale(1, 5, 8)
ETHER_SCALE = Scale(2, 4, 8)


@dataclass
class Heard:
    """What came of it. Moments are seconds after START."""

    exchange: ReplayExchange
    provisional: dict[str, list[Minute]] = field(default_factory=dict)
    confirmed: dict[str, dict[int, Minute]] = field(default_factory=dict)
    landed_at: dict[int, float] = field(default_factory=dict)
    refused: list[Unreadable] = field(default_factory=list)
    states: list[tuple[float, str, str]] = field(default_factory=list)

    def state_at(self, moment: float) -> str:
        """How the connection was then."""
        return [state for at, state, _ in self.states if at <= moment][-1]

    def reasons(self) -> list[str]:
        """Why connections were given up."""
        return [why.partition("(")[2].partition(")")[0] for _, state, why in self.states if state == "rest_only"]


class Sink:
    """Remembers."""

    def __init__(self, heard: Heard, clock: LoopClock) -> None:
        self._heard = heard
        self._clock = clock

    def provisional(self, symbol: str, minutes: Sequence[Minute]) -> None:
        self._heard.provisional.setdefault(symbol, []).extend(minutes)
        for minute in minutes:
            self._heard.landed_at[minute.time] = self._clock.now() - START

    def confirmed(self, symbol: str, minutes: Sequence[Minute], reason: str) -> None:
        self._heard.confirmed.setdefault(symbol, {}).update({minute.time: minute for minute in minutes})

    def refused(self, symbol: str, rows: Sequence[Unreadable]) -> None:
        self._heard.refused.extend(rows)

    async def landed(self) -> None:
        """At once."""

    async def widen(self, symbol: str, scale: Scale) -> Scale:
        return scale


def listen(
    minutes: float, *faults: Fault, coins: Sequence[str] = ("BTC",), behaviour: Behaviour | None = None
) -> Heard:
    """Runs a connection for so long; `at` of faults counts from START."""

    async def main() -> Heard:
        clock = LoopClock(asyncio.get_running_loop(), START)
        exchange = ReplayExchange(
            SyntheticMarket(seed=1), clock, behaviour=behaviour or Behaviour(frames_per_minute=20)
        )
        await exchange.start()
        for fault in faults:
            exchange.inject(Fault(fault.kind, START + (fault.at or 0.0), fault.seconds, fault.value))
        heard, rest, told = Heard(exchange), HyperliquidRest(exchange.api_url, clock), ExchangeClock(clock)
        sink = Sink(heard, clock)
        feeds = {
            coin: SymbolCollector(coin, coin, SCALE if coin == "BTC" else ETHER_SCALE, rest, told, sink)
            for coin in coins
        }

        async def catch_up(feed: SymbolCollector) -> None:
            with suppress(VenueError):
                await feed.catch_up(int(clock.now() // 60))

        async def confirm(feed: SymbolCollector) -> None:
            while True:
                await clock.sleep(60.0 - (clock.now() - 5.0) % 60.0)
                with suppress(VenueError):
                    await feed.confirm()

        connection = VenueConnection(
            HyperliquidStream(exchange.websocket_url),
            feeds,
            clock,
            Backoff(Random(1)),
            Metrics(),
            catch_up=catch_up,
            rest_answers=lambda: True,
            state=lambda state, why: heard.states.append((clock.now() - START, state, why)),
        )
        tasks = [asyncio.create_task(connection.run()), *(asyncio.create_task(confirm(f)) for f in feeds.values())]
        await clock.sleep(minutes * 60)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results
        await rest.close()
        await exchange.stop()
        return heard

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
