"""Where a symbol's minutes go: to the lander; and what was refused, to quarantine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from btc_pipeline.collector.database import DatabaseAwayError
from btc_pipeline.collector.landing import Lander
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.store import Landing, MinuteStatus, MinuteStore
from btc_pipeline.exchanges.base import Minute, Unreadable
from btc_pipeline.market.candles import Scale

log = structlog.get_logger(__name__)

LANDED_WITHIN_SECONDS: Final = 30.0

MOST_REFUSED: Final = 1_000
"""Refused rows, and differences, that wait for the database; all of them are in the log as well."""


class DatabaseSink:
    """The sink of all symbols of a collector."""

    def __init__(self, store: MinuteStore, lander: Lander, metrics: Metrics) -> None:
        self._store = store
        self._lander = lander
        self._metrics = metrics
        self._refused: deque[tuple[str, Unreadable]] = deque(maxlen=MOST_REFUSED)
        self._differing: deque[tuple[str, Minute, str]] = deque(maxlen=MOST_REFUSED)
        self._undeclared: dict[str, Scale] = {}
        self._watchers: list[Callable[[str, Sequence[Minute]], None]] = []
        self._listeners: dict[str, Callable[[list[int]], None]] = {}
        lander.on_landed = self._landed

    def listen(self, symbol: str, listener: Callable[[list[int]], None]) -> None:
        """Tells a listener which minutes of a symbol reached the database or the spool."""
        self._listeners[symbol] = listener

    def watch(self, watcher: Callable[[str, Sequence[Minute]], None]) -> None:
        """Tells a watcher every closed minute of every symbol, as it is given to the lander."""
        self._watchers.append(watcher)

    def provisional(self, symbol: str, minutes: Sequence[Minute]) -> None:
        self._put(symbol, minutes, MinuteStatus.PROVISIONAL, "stream")

    def confirmed(self, symbol: str, minutes: Sequence[Minute], reason: str) -> None:
        self._put(symbol, minutes, MinuteStatus.CONFIRMED, reason)

    def _put(self, symbol: str, minutes: Sequence[Minute], status: MinuteStatus, reason: str) -> None:
        self._lander.put(symbol, [Landing(minute, status, reason) for minute in minutes])
        for watcher in self._watchers:
            watcher(symbol, minutes)

    def refused(self, symbol: str, rows: Sequence[Unreadable]) -> None:
        for row in rows:
            self._metrics.refused.labels(symbol).inc()
            log.warning("refused", symbol=symbol, reason=row.reason, payload=row.payload[:300])
            self._refused.append((symbol, row))

    def differs(self, symbol: str, candle: Minute, words: str) -> None:
        """A candle that something else heard of the market contradicts."""
        log.warning("a candle differs", symbol=symbol, minute=candle.time, reason=words)
        self._differing.append((symbol, candle, words))

    async def landed(self) -> None:
        await self._lander.flush(LANDED_WITHIN_SECONDS)

    async def widen(self, symbol: str, scale: Scale) -> Scale:
        try:
            return await self._store.declare_instrument(symbol, scale)
        except DatabaseAwayError:
            self._undeclared[symbol] = scale
            return scale

    async def declare_again(self) -> None:
        """Declares what could not be declared while the database was away.

        Raises:
            DatabaseAwayError: it still is.
        """
        for symbol, scale in list(self._undeclared.items()):
            await self._store.declare_instrument(symbol, scale)
            del self._undeclared[symbol]

    async def store_refused(self) -> None:
        """Writes refused rows and differences.

        Raises:
            DatabaseAwayError: it is away; they wait.
        """
        while self._refused:
            symbol, row = self._refused[0]
            await self._store.reject(symbol, [row])
            self._refused.popleft()
        while self._differing:
            symbol, candle, words = self._differing[0]
            span = (candle.time, candle.time + 1)
            await self._store.fail(symbol, words, kind="anomaly", span=span, once=True)
            self._differing.popleft()

    def _landed(self, symbol: str, minutes: list[int]) -> None:
        self._metrics.landed.labels(symbol).inc(len(minutes))
        if symbol in self._listeners:
            self._listeners[symbol](minutes)
