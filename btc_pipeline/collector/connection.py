"""The stream of one venue: one connection for all its symbols, watched by three clocks, dialled anew when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from btc_pipeline.collector.backoff import Backoff
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.symbol import SymbolCollector
from btc_pipeline.exchanges.addresses import is_local
from btc_pipeline.exchanges.base import (
    Acknowledged,
    CandleUpdate,
    Complaint,
    Pong,
    TradesTold,
    Unreadable,
    VenueError,
    VenueStream,
)
from btc_pipeline.exchanges.budget import Budget
from btc_pipeline.timing.clock import Clock

log = structlog.get_logger(__name__)

DIALS_A_MINUTE: Final = 20
MESSAGES_A_SECOND: Final = 4
"""Binance takes five, protocol frames among them, and closes the connection at more."""
OPEN_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 1.0
ACKNOWLEDGE_SECONDS: Final = 10.0
FRAME_SILENCE_SECONDS: Final = 45.0
PONG_INTERVALS: Final = 2.5
DEATH_AFTER_SUBSCRIBE_SECONDS: Final = 2.0
QUARANTINE_SECONDS: Final = 600.0
DEATHS_UNTIL_QUARANTINE: Final = 2
TICK_SECONDS: Final = 1.0
MAX_FRAME_BYTES: Final = 4_000_000
QUEUED_FRAMES: Final = 64


class StreamBrokenError(Exception):
    """The connection is to be given up: the reason in words."""


_BREAKS: Final = (StreamBrokenError, VenueError, WebSocketException, OSError, TimeoutError)


class VenueConnection:
    """Keeps a venue's stream alive for its symbols until it is cancelled."""

    def __init__(
        self,
        stream: VenueStream,
        feeds: Mapping[str, SymbolCollector],
        clock: Clock,
        backoff: Backoff,
        metrics: Metrics,
        *,
        catch_up: Callable[[SymbolCollector], Awaitable[None]],
        rest_answers: Callable[[], bool],
        state: Callable[[str, str], None],
    ) -> None:
        """
        Args:
            feeds: collectors by the venue's names.
            catch_up: fetches what a collector missed; called once its subscription stands.
            rest_answers: whether the venue's REST answered lately.
            state: told the connection's state (connecting, catching_up, streaming, rest_only, unreachable) and why.
        """
        self._stream = stream
        self._feeds = feeds
        self._clock = clock
        self._backoff = backoff
        self._metrics = metrics
        self._catch_up = catch_up
        self._rest_answers = rest_answers
        self._state = state
        self._dials = Budget(DIALS_A_MINUTE, 60.0, clock)
        self._messages = Budget(MESSAGES_A_SECOND, 1.0, clock)
        self._deaths: dict[str, int] = {}
        self._quarantined: dict[str, float] = {}
        self._acknowledged: dict[str, asyncio.Event] = {}
        self._heard_at = self._pong_at = self._data_since = 0.0
        self._has_data = False
        self._last_subscribed: tuple[str, float] | None = None

    async def run(self) -> None:
        """Dials, reads, dials again."""
        while True:
            await self._dials.spend(1)
            self._state("connecting", f"dialling {self._stream.url}")
            self._has_data, answered = False, False
            try:
                async with self._dial() as socket:
                    answered = True
                    self._metrics.connections.labels(self._stream.venue).inc()
                    try:
                        await self._session(socket)
                    finally:
                        # Not the closing handshake: the other side may be half open.
                        socket.transport.abort()
            except (*_BREAKS, InvalidHandshake) as error:
                answered = answered or isinstance(error, InvalidHandshake)
                reason = _reason(error)
            self._ended(reason)
            await self._wait(reason, answered=answered or self._rest_answers())

    def _dial(self) -> connect:
        return connect(
            self._stream.url,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=None,
            max_size=MAX_FRAME_BYTES,
            max_queue=QUEUED_FRAMES,
            compression=None,
            # A proxy of the environment is for the world outside, not for a replay on this machine.
            proxy=None if is_local(self._stream.url) else True,
        )

    def _ended(self, reason: str) -> None:
        for feed in self._feeds.values():
            feed.stream_ended()
        now = self._clock.monotonic()
        if self._has_data:
            self._backoff.healthy(now - self._data_since)
        if self._last_subscribed and now - self._last_subscribed[1] < DEATH_AFTER_SUBSCRIBE_SECONDS:
            self._blame(self._last_subscribed[0], now)
        self._metrics.disconnections.labels(self._stream.venue).inc()
        log.warning("stream ended", venue=self._stream.venue, reason=reason)

    def _blame(self, coin: str, now: float) -> None:
        """A coin after whose subscription the connection died at once, twice, would take all others with it again."""
        self._deaths[coin] = self._deaths.get(coin, 0) + 1
        if self._deaths[coin] >= DEATHS_UNTIL_QUARANTINE and len(self._feeds) > 1:
            self._deaths[coin] = 0
            self._quarantined[coin] = now + QUARANTINE_SECONDS
            log.error("subscription quarantined, its minutes come from REST alone", coin=coin)

    async def _wait(self, reason: str, *, answered: bool) -> None:
        until = self._clock.monotonic() + self._backoff.next(answers=answered)
        if self._rest_answers():
            self._state("rest_only", f"the stream broke ({reason}): minutes come from REST, and it is dialled again")
        else:
            self._state("unreachable", reason)
        while (left := until - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, TICK_SECONDS))
            if not answered and self._rest_answers():
                # It is back: a wait that was meant for an exchange without any answer is over.
                return

    async def _session(self, socket: ClientConnection) -> None:
        now = self._clock.monotonic()
        self._heard_at = self._pong_at = now
        self._last_subscribed = None
        self._acknowledged = {coin: asyncio.Event() for coin in self._feeds}
        for feed in self._feeds.values():
            feed.stream_begins()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(socket))
                tasks.create_task(self._ping(socket))
                tasks.create_task(self._watch())
                await self._subscribe(socket)
                self._state("catching_up", "subscribed; fetching what was missed")
                await asyncio.gather(*(self._catch_up(feed) for feed in self._feeds.values()))
                self._state("streaming", f"connected to {self._stream.url}")
        except ExceptionGroup as group:
            _, unexpected = group.split(_BREAKS)
            if unexpected is not None:
                raise
            raise _leaf(group) from group

    async def _subscribe(self, socket: ClientConnection) -> None:
        """One coin after the other, so that the one that kills the connection is known."""
        for coin, feed in self._feeds.items():
            await self._messages.spend(1)
            now = self._clock.monotonic()
            if now < self._quarantined.get(coin, 0.0):
                continue
            self._last_subscribed = (coin, now)
            await socket.send(self._stream.subscribe(coin))
            try:
                async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                    await self._acknowledged[coin].wait()
            except TimeoutError as error:
                raise StreamBrokenError(f"the subscription of {coin} was not acknowledged") from error
            trades = self._stream.subscribe_trades(coin) if feed.takes_trades else None
            if trades is not None:
                await self._messages.spend(1)
                await socket.send(trades)

    async def _read(self, socket: ClientConnection) -> None:
        async for frame in socket:
            self._heard_at = self._clock.monotonic()
            self._metrics.frames.labels(self._stream.venue).inc()
            for event in self._stream.read(frame):
                self._take(event)
        raise StreamBrokenError("the exchange closed the connection")

    def _take(self, event: object) -> None:
        if isinstance(event, CandleUpdate):
            feed = self._feeds.get(event.coin)
            if feed is None:
                return
            if not self._has_data:
                self._has_data, self._data_since = True, self._clock.monotonic()
            self._acknowledged[event.coin].set()
            feed.frame(event)
        elif isinstance(event, TradesTold):
            if event.coin in self._feeds:
                self._feeds[event.coin].heard_trades(event.trades)
        elif isinstance(event, Acknowledged):
            if event.coin in self._acknowledged:
                self._acknowledged[event.coin].set()
        elif isinstance(event, Pong):
            self._pong_at = self._clock.monotonic()
        elif isinstance(event, Complaint):
            log.warning("the exchange complains", venue=self._stream.venue, message=event.text[:300])
        elif isinstance(event, Unreadable):
            self._lost(event)

    def _lost(self, row: Unreadable) -> None:
        """A frame that says nothing to anybody: whose minute it was is known only if it names a coin."""
        if row.coin is None:
            named = [feed for coin, feed in self._feeds.items() if f'"{coin}"' in row.payload]
        else:
            named = [self._feeds[row.coin]] if row.coin in self._feeds else []
        feeds = named or list(self._feeds.values())
        for feed in feeds:
            feed.lost_frame(row)
        feeds[0].quarantine(row)

    async def _ping(self, socket: ClientConnection) -> None:
        while True:
            await self._clock.sleep(self._stream.ping_seconds)
            await self._messages.spend(1)
            await socket.send(self._stream.ping())

    async def _watch(self) -> None:
        """Three clocks: any frame, pongs, and minutes while REST shows trades. And the books' own."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            now = self._clock.monotonic()
            if now - self._heard_at > FRAME_SILENCE_SECONDS:
                raise StreamBrokenError(f"no frame for {FRAME_SILENCE_SECONDS:.0f} s")
            if now - self._pong_at > PONG_INTERVALS * self._stream.ping_seconds:
                raise StreamBrokenError(f"no pong for {PONG_INTERVALS * self._stream.ping_seconds:.0f} s")
            for coin, feed in self._feeds.items():
                feed.tick()
                if feed.is_silent and now >= self._quarantined.get(coin, 0.0):
                    raise StreamBrokenError(f"no minute of {coin} in the stream while REST shows trades")


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(error: BaseException) -> str:
    if isinstance(error, ConnectionClosed):
        return "the connection broke" if error.rcvd is None else f"closed by the exchange ({error.rcvd})"
    if isinstance(error, InvalidStatus):
        return f"the handshake was answered {error.response.status_code}"
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return str(error).strip().rstrip(".") or type(error).__name__
