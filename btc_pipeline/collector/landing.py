"""From memory to the database: a short queue, one writer, the spool while the database is away.

Belongs here: what is written when, and what is kept until then. Does not belong here: which word about a minute holds
(`store`), the files of the spool (`spool`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

import structlog

from btc_pipeline.collector.database import ROW_REFUSED, DatabaseAwayError
from btc_pipeline.collector.spool import Spool, SpooledRow
from btc_pipeline.collector.store import Landed, Landing, MinuteStatus
from btc_pipeline.exchanges.base import Unreadable
from btc_pipeline.timing.clock import Clock

log = structlog.get_logger(__name__)

T = TypeVar("T")

MOST_WAITING: Final = 1_000
FIRST_RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 10.0
CANCEL_SECONDS: Final = 1.0


class LandingStore(Protocol):
    """What the lander asks of a MinuteStore."""

    async def land(self, symbol: str, rows: Sequence[Landing]) -> Landed: ...
    async def reject(self, symbol: str, rows: Sequence[Unreadable]) -> None: ...


class _StoppedError(Exception):
    """The writer was asked to end while the database had not answered."""


class Lander:
    """Takes minutes without waiting, writes them at once, and never forgets one that neither database nor spool has.

    Attributes:
        on_landed: told the symbol and the minutes that have reached the database or the spool, each time they do.
        on_refused: told how many minutes were dropped because the queue and the spool were full.
        on_away: told True when the database goes away, False when it is back and has what was spooled.
    """

    def __init__(self, store: LandingStore, spool: Spool, clock: Clock) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self.on_landed: Callable[[str, list[int]], None] = _ignore
        self.on_refused: Callable[[int], None] = _ignore
        self.on_away: Callable[[bool], None] = _ignore
        self._waiting: dict[tuple[str, int], Landing] = {}
        self._in_flight: dict[str, list[Landing]] = {}
        self._saving = 0
        self._wake = asyncio.Event()
        self._turned = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._stopping = False
        self._away = False
        self._spool_refuses = False
        self._retry_at = 0.0
        self._retry_seconds = FIRST_RETRY_SECONDS

    @property
    def waiting(self) -> int:
        """How many minutes neither the database nor the spool has."""
        return len(self._waiting) + sum(map(len, self._in_flight.values())) + self._saving

    @property
    def spooled_minutes(self) -> int:
        """How many rows wait in the spool."""
        return self._spool.rows

    @property
    def spooled_bytes(self) -> int:
        """How many bytes they take on disk."""
        return self._spool.size

    def put(self, symbol: str, rows: Sequence[Landing]) -> None:
        """Takes words about minutes; a newer one about a minute that still waits takes its place."""
        refused = []
        for row in rows:
            key = (symbol, row.minute.time)
            known = self._waiting.get(key)
            if known is None and self._spool_refuses and len(self._waiting) >= MOST_WAITING:
                refused.append(row.minute.time)
            elif known is None or _outranks(row, known):
                self._waiting[key] = row if known is None else _completed(row, known)
        if refused:
            log.error("minutes are dropped: the database is away, the spool is full", symbol=symbol, minutes=refused)
            self.on_refused(len(refused))
        self._wake.set()

    async def run(self) -> None:
        """Writes what is put, beginning with what an earlier process spooled. To be cancelled; `stop` comes after."""
        await asyncio.shield(self._start())

    async def flush(self, seconds: float) -> bool:
        """Waits until the database has everything; no longer than so many seconds, nor while it is away.

        Returns:
            Whether it has.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._has_work() and not self._away and not self._start().done():
                    self._turned.clear()
                    await self._turned.wait()
        return not self._has_work()

    async def stop(self, seconds: float) -> None:
        """Flushes for at most so many seconds, and spools what is left. Nothing may be put any more."""
        writer = self._start()
        await self.flush(seconds)
        self._stopping = True
        self._wake.set()
        await asyncio.wait([writer])
        await self._save_waiting()
        await self._on_disk(self._spool.close)
        if self.waiting:
            log.error("minutes are lost: neither the database nor the spool takes them", minutes=self.waiting)

    def _start(self) -> asyncio.Task[None]:
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return self._writer

    def _has_work(self) -> bool:
        return bool(self.waiting or self._spool.pending)

    async def _write(self) -> None:
        try:
            while not self._stopping:
                await self._until_due()
                try:
                    await self._turn()
                except _StoppedError:
                    return
                finally:
                    self._turned.set()
        finally:
            self._turned.set()

    async def _until_due(self) -> None:
        """Until there is something to write, or it is time to ask a database that was away."""
        while not self._stopping:
            self._wake.clear()
            if self._away:
                left = self._retry_at - self._clock.monotonic()
                if left <= 0 or (self._waiting and not self._spool_refuses):
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._wake.wait()
            elif self._waiting or self._spool.pending:
                return
            else:
                await self._wake.wait()

    async def _turn(self) -> None:
        if self._stopping:
            return
        if self._away and self._clock.monotonic() < self._retry_at:
            await self._save_waiting()
            return
        try:
            await self._replay()
            await self._land_waiting()
        except DatabaseAwayError as error:
            self._goes_away(error)
            await self._save_waiting()
        else:
            self._is_back()

    async def _replay(self) -> None:
        """Lands what is spooled, oldest first; a file is gone once the database has committed it."""
        while self._spool.pending and (batch := await self._on_disk(self._spool.oldest)) is not None:
            if batch.unreadable:
                log.error("lines of the spool cannot be read: set aside", lines=list(batch.unreadable))
            await self._land(_by_symbol(batch.rows))
            await self._on_disk(self._spool.remove, batch)
            self._spool_refuses = False

    async def _land_waiting(self) -> None:
        while self._waiting and not self._spool.pending:
            self._in_flight = _by_symbol([(symbol, row) for (symbol, _), row in self._waiting.items()])
            self._waiting = {}
            await self._land(self._in_flight)

    async def _land(self, rows: dict[str, list[Landing]]) -> None:
        for symbol, landings in list(rows.items()):
            await self._beside_newcomers(self._land_or_reject(symbol, landings))
            # Not in flight is what comes from the spool, or went there meanwhile: that has been told.
            if symbol in self._in_flight:
                del self._in_flight[symbol]
                self.on_landed(symbol, [row.minute.time for row in landings])

    async def _beside_newcomers(self, work: Coroutine[Any, Any, None]) -> None:
        """Waits for the database; meanwhile what comes goes to the spool if it was away, or if it is too much."""
        task = asyncio.create_task(work)
        while not task.done():
            self._wake.clear()
            full = len(self._waiting) >= MOST_WAITING
            if (full or (self._away and self._waiting)) and not self._spool_refuses:
                await self._save_waiting()
            woken = asyncio.create_task(self._wake.wait())
            await asyncio.wait([task, woken], return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            if self._stopping and not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=CANCEL_SECONDS)
                raise _StoppedError
        task.result()

    async def _land_or_reject(self, symbol: str, landings: Sequence[Landing]) -> None:
        try:
            await self._or_away(self._store.land(symbol, landings))
        except ROW_REFUSED:
            # One row must not keep the others from the database.
            for landing in landings:
                await self._land_one_or_reject(symbol, landing)

    async def _land_one_or_reject(self, symbol: str, landing: Landing) -> None:
        try:
            await self._or_away(self._store.land(symbol, [landing]))
        except ROW_REFUSED as error:
            log.error("the database refuses a minute", symbol=symbol, landing=repr(landing), reason=str(error))
            row = Unreadable(f"the database refuses it: {error}", repr(landing), landing.minute.time)
            try:
                await self._or_away(self._store.reject(symbol, [row]))
            except ROW_REFUSED:
                log.exception("the database refuses to quarantine a minute", symbol=symbol, landing=repr(landing))

    async def _or_away(self, work: Coroutine[Any, Any, object]) -> None:
        """Whatever else is the matter (a missing right, a mistake of ours), the row waits until it is mended."""
        try:
            await work
        except (DatabaseAwayError, *ROW_REFUSED):
            raise
        except Exception as error:
            log.exception("the database cannot be written to")
            raise DatabaseAwayError(f"the database cannot be written to: {error}") from error

    async def _save_waiting(self) -> None:
        """Puts everything in memory into the spool, in order; what it does not take waits on."""
        rows = [(symbol, row) for symbol, landings in self._in_flight.items() for row in landings]
        rows += [(symbol, row) for (symbol, _), row in self._waiting.items()]
        if not rows:
            return
        # From here on put() fills a new queue; nothing of this one is forgotten before the disk has it.
        self._waiting, self._in_flight, self._saving = {}, {}, len(rows)
        taken, reason = 0, "it has reached its size (collector.spool_megabytes)"
        try:
            taken = await self._on_disk(self._spool.append, rows)
        except OSError as error:
            reason = str(error)
        self._saving = 0
        for symbol, landings in _by_symbol(rows[:taken]).items():
            self.on_landed(symbol, [row.minute.time for row in landings])
        newer, self._waiting = self._waiting, {(symbol, row.minute.time): row for symbol, row in rows[taken:]}
        for (symbol, _), row in newer.items():
            self.put(symbol, [row])
        self._spool_refuses = taken < len(rows)
        if self._spool_refuses:
            log.error("the spool takes no more minutes", reason=reason, waiting=self.waiting, spooled=self._spool.rows)

    async def _on_disk(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    def _goes_away(self, error: DatabaseAwayError) -> None:
        self._retry_at = self._clock.monotonic() + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)
        if not self._away:
            self._away = True
            log.error("the database is away: minutes go to the spool", reason=str(error))
            self.on_away(True)

    def _is_back(self) -> None:
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._spool_refuses = False
        if self._away:
            self._away = False
            log.info("the database is back")
            self.on_away(False)


def _outranks(row: Landing, known: Landing) -> bool:
    """Whether the newer of two words about a minute takes the other's place in the queue."""
    if row.status is not known.status:
        return row.status is MinuteStatus.CONFIRMED
    if row.status is MinuteStatus.CONFIRMED:
        return True
    return (row.minute.trades, row.minute.volume) >= (known.minute.trades, known.minute.volume)


def _completed(row: Landing, known: Landing) -> Landing:
    """What a confirmed word does not tell is not denied by it."""
    if row.status is known.status is MinuteStatus.CONFIRMED:
        return replace(row, minute=row.minute.completed_from(known.minute))
    return row


def _by_symbol(rows: Sequence[SpooledRow]) -> dict[str, list[Landing]]:
    found: dict[str, list[Landing]] = {}
    for symbol, row in rows:
        found.setdefault(symbol, []).append(row)
    return found


def _ignore(*_: object) -> None:
    """Nobody listens."""
