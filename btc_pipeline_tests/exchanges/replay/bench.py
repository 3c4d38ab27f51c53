"""A replay exchange on virtual time, and a raw client that knows nothing but JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from btc_pipeline.exchanges.replay import Behaviour, Listing, Market, MinuteRow, ReplayExchange, SyntheticMarket
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline.timing.loops import VirtualLoop

EPOCH = 1_790_232_000
"""2026-09-24 06:40:00 UTC, a whole minute."""
MINUTE = EPOCH // 60


class TableMarket:
    """BTC with the rows that a test writes, and none elsewhere; prices with one decimal, sizes with five."""

    def __init__(self, rows: list[MinuteRow]) -> None:
        self._rows = {row.minute: row for row in rows}
        self.listings: Mapping[str, Listing] = {"BTC": Listing("BTC", 1, 5)}

    def minute(self, coin: str, minute: int) -> MinuteRow | None:
        return self._rows.get(minute)

    def last_close(self, coin: str, minute: int) -> int | None:
        before = [known for known, row in self._rows.items() if known < minute and row.trades]
        return self._rows[max(before)].close if before else None

    def begins(self, coin: str) -> int:
        return min(self._rows, default=0)

    def describe(self) -> str:
        return "a table"


class Bench:
    """What a test holds in its hands."""

    def __init__(self, exchange: ReplayExchange, clock: LoopClock, http: httpx.AsyncClient) -> None:
        self.exchange = exchange
        self.clock = clock
        self.http = http

    async def info(self, body: Any) -> httpx.Response:
        return await self.http.post("/info", json=body)

    async def candles(self, start: int, end: int, coin: str = "BTC", interval: str = "1m") -> list[dict[str, Any]]:
        """candleSnapshot between two epoch milliseconds."""
        response = await self.info(snapshot(start, end, coin, interval))
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()
        return found

    async def minute(self, minute: int) -> dict[str, Any] | None:
        """What REST says of one minute now."""
        found = await self.candles(minute * 60_000, minute * 60_000 + 59_999)
        assert len(found) <= 1
        return found[0] if found else None

    async def get(self, venue: str, path: str, **asked: Any) -> httpx.Response:
        """A GET below a venue's REST address."""
        return await self.http.get(self.exchange.addresses(venue).api_url + path, params=asked or None)

    async def file(self, path: str, venue: str = "BINANCE", headers: Mapping[str, str] | None = None) -> httpx.Response:
        """A file below `data/` of a venue's archive."""
        url = f"{self.exchange.addresses(venue).archive_url}/data/{path}"
        return await self.http.get(url, headers=dict(headers or {}))

    @asynccontextmanager
    async def socket(self, venue: str = "HYPERLIQUID", streams: str = "") -> AsyncIterator[RawSocket]:
        """
        Args:
            streams: what follows the venue's address.
        """
        url = self.exchange.addresses(venue).websocket_url + streams
        async with connect(url, ping_interval=None, close_timeout=1, proxy=None) as connection:
            yield RawSocket(connection)

    async def until(self, moment: float) -> None:
        """Waits for a time in seconds after EPOCH."""
        await asyncio.sleep(EPOCH + moment - self.clock.now())


class RawSocket:
    """One socket: JSON in, JSON out."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str) else json.dumps(message))

    async def subscribe(self, kind: str = "candle", coin: str = "BTC", interval: str = "1m") -> None:
        await self.send({"method": "subscribe", "subscription": subscription(kind, coin, interval)})

    async def text(self) -> str:
        message = await self.connection.recv()
        assert isinstance(message, str)
        return message

    async def next(self) -> Any:
        return json.loads(await self.text())

    async def subscribed(self, kind: str = "candle", coin: str = "BTC", interval: str = "1m") -> None:
        """Subscribes and takes the acknowledgement."""
        await self.subscribe(kind, coin, interval)
        assert (await self.next())["channel"] == "subscriptionResponse"

    async def answer(self, message: Any) -> Any:
        """Sends, and takes the next message."""
        await self.send(message)
        return await self.next()

    async def candles_for(self, seconds: float) -> list[dict[str, Any]]:
        """The candles that come within so many seconds."""
        return [message["data"] for message in await self.all_for(seconds) if message["channel"] == "candle"]

    async def all_until_closed(self) -> list[Any]:
        """Everything that comes until the socket ends without a close frame."""
        found = []
        with suppress(ConnectionClosed):
            while True:
                found.append(await self.next())
        assert self.connection.close_code == 1006
        return found

    async def all_for(self, seconds: float) -> list[Any]:
        """Everything that comes within so many seconds."""
        found = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found.append(await self.next())
        except TimeoutError:
            return found


def subscription(kind: str, coin: str, interval: str = "1m") -> dict[str, str]:
    return {"type": kind, "coin": coin} | ({"interval": interval} if kind == "candle" else {})


def snapshot(start: Any, end: Any, coin: Any = "BTC", interval: Any = "1m") -> dict[str, Any]:
    request = {"coin": coin, "interval": interval, "startTime": start, "endTime": end}
    return {"type": "candleSnapshot", "req": request}


def play(
    scenario: Callable[[Bench], Awaitable[None]],
    behaviour: Behaviour | None = None,
    market: Market | None = None,
    begin: float = 0.0,
) -> None:
    """Runs a scenario against an exchange whose virtual time begins `begin` seconds after EPOCH."""

    async def run() -> None:
        clock = LoopClock(asyncio.get_running_loop(), EPOCH + begin)
        exchange = ReplayExchange(market or SyntheticMarket(seed=7), clock, behaviour)
        await exchange.start()
        try:
            # Loading certificates that nothing needs would take most of the time of most tests.
            async with httpx.AsyncClient(
                base_url=exchange.api_url, timeout=3600, trust_env=False, verify=False
            ) as http:
                await scenario(Bench(exchange, clock, http))
        finally:
            await exchange.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
