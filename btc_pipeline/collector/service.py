"""The service: every symbol's collection, one connection a venue, confirmation, repair, heartbeat, and a clean end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, Final, Literal

import structlog

from btc_pipeline.collector.backoff import Backoff
from btc_pipeline.collector.coins import resolve
from btc_pipeline.collector.connection import VenueConnection
from btc_pipeline.collector.cross_check import CrossCheck
from btc_pipeline.collector.database import DatabaseAwayError
from btc_pipeline.collector.exchange_clock import ExchangeClock
from btc_pipeline.collector.landing import Lander
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.repair import repair
from btc_pipeline.collector.sink import DatabaseSink
from btc_pipeline.collector.store import CollectorState, MinuteStore
from btc_pipeline.collector.symbol import CONFIRM_AFTER_SECONDS, SymbolCollector
from btc_pipeline.collector.symbol_trades import SymbolTrades
from btc_pipeline.collector.trade_writer import TradeWriter
from btc_pipeline.collector.venue import Venue, VenueState, is_answer, pause_of
from btc_pipeline.exchanges.base import Coin, VenueError
from btc_pipeline.market.gaps import GapReason
from btc_pipeline.market.instruments import split_symbol
from btc_pipeline.timing.clock import Clock

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 10.0
REPAIR_SECONDS: Final = 60.0
"""Between two looks at the gaps; each gap is asked for at a pace of its own."""
FIRST_REPAIR_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0
LEAVE_SECONDS: Final = 1.0
"""With a server that hangs not even a cancellation is done at once; all of the end takes less than ten seconds."""


class Collector:
    """Runs until it is stopped. All times come from one clock."""

    def __init__(
        self,
        venues: Sequence[Venue],
        store: MinuteStore,
        lander: Lander,
        clock: Clock,
        *,
        feed: str,
        omitted: Literal["gap", "quiet"],
        metrics: Metrics,
        random: Random,
        announce: Callable[[str], None],
        trades: bool = False,
        trade_writer: TradeWriter | None = None,
        cross_check: CrossCheck | None = None,
    ) -> None:
        """
        Args:
            feed: live or replay.
            omitted: what a closed minute is that REST leaves out: gap or quiet.
            trades: whether trades are taken where candles do not tell everything.
            trade_writer: keeps them; None where they are not kept.
            cross_check: compares symbols; None where there are none to compare.
            announce: told in one line whenever something changes that a user wants to know.
        """
        self._venues = venues
        self._store = store
        self._lander = lander
        self._clock = clock
        self._feed = feed
        self._omitted = omitted
        self._metrics = metrics
        self._random = random
        self._announce = announce
        self._trades = trades
        self._trade_writer = trade_writer
        self._cross_check = cross_check
        self._sink = DatabaseSink(store, lander, metrics)
        if cross_check is not None:
            self._sink.watch(cross_check.told)
        self._feeds: dict[str, SymbolCollector] = {}
        self._clocks = {venue.name: ExchangeClock(clock) for venue in venues}
        self._states = {venue.name: VenueState(venue, clock, feed, announce) for venue in venues}
        self._stop = asyncio.Event()
        self._started_at = clock.now()
        self._process = f"{socket.gethostname()}/{os.getpid()}"
        lander.on_away = self._say_database
        lander.on_refused = self._say_refused
        self._refusing = False

    @property
    def feeds(self) -> Mapping[str, SymbolCollector]:
        """The symbols' collectors, once their coins are known to exist."""
        return self._feeds

    def stop(self) -> None:
        """Asks it to end; `run` returns when everything it knows is in the database or in the spool."""
        self._stop.set()

    async def run(self) -> None:
        """Collects.

        Raises:
            UserError: a symbol that its venue does not have.
        """
        work = asyncio.create_task(self._work())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            work.cancel()
            await asyncio.wait([work], timeout=LEAVE_SECONDS)
            await self._end()
        if work.done() and not work.cancelled():
            work.result()

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lander.run())
                tasks.create_task(self._heartbeat())
                for beside in (self._trade_writer, self._cross_check):
                    if beside is not None:
                        tasks.create_task(beside.run())
                for venue in self._venues:
                    tasks.create_task(self._collect(venue))
        except ExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from group
            raise

    async def _end(self) -> None:
        await self._lander.stop(STOP_SECONDS)
        if self._trade_writer is not None:
            await _for_a_moment(self._trade_writer.flush())
        for state in self._states.values():
            state.connection, state.message = "stopped", "stopped"
        await _for_a_moment(self._save_states())
        for venue in self._venues:
            await venue.rest.close()
        await _for_a_moment(self._store.close())

    async def _collect(self, venue: Venue) -> None:
        coins = await self._resolve(venue)
        clock, state = self._clocks[venue.name], self._states[venue.name]
        feeds = {}
        for symbol, coin in coins.items():
            scale = await self._sink.widen(symbol, coin.scale)
            trades = self._trades_of(venue, symbol, coin.name)
            feeds[coin.name] = SymbolCollector(symbol, coin.name, scale, venue.rest, clock, self._sink, trades)
            self._feeds[symbol] = feeds[coin.name]
            self._sink.listen(symbol, feeds[coin.name].progress.has_landed)
        connection = VenueConnection(
            venue.stream,
            feeds,
            self._clock,
            Backoff(self._random),
            self._metrics,
            catch_up=lambda feed: self._catch_up(venue, feed),
            rest_answers=state.rest_answers,
            state=state.turn,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(connection.run())
            for feed in feeds.values():
                tasks.create_task(self._confirm(venue, feed))
                tasks.create_task(self._repair(venue, feed))

    def _trades_of(self, venue: Venue, symbol: str, coin: str) -> SymbolTrades | None:
        if not self._trades or venue.stream.subscribe_trades(coin) is None:
            return None
        writer = self._trade_writer
        return SymbolTrades(
            self._clocks[venue.name],
            keep=lambda trades: None if writer is None else writer.put(symbol, trades),
            differs=lambda candle, words: self._sink.differs(symbol, candle, words),
        )

    async def _resolve(self, venue: Venue) -> dict[str, Coin]:
        """The coins of the symbols; asks until the venue answers.

        Raises:
            UserError: the venue has no such coin.
        """
        backoff, state = Backoff(self._random), self._states[venue.name]
        while True:
            try:
                listed = await venue.rest.coins([split_symbol(symbol)[1] for symbol in venue.symbols])
            except VenueError as error:
                state.turn("connecting" if pause_of(error) else "unreachable", str(error))
                state.say_pause(error)
                await self._clock.sleep(max(backoff.next(answers=is_answer(error)), pause_of(error)))
            else:
                state.answered()
                return resolve(venue.name, venue.symbols, listed)

    async def _catch_up(self, venue: Venue, feed: SymbolCollector) -> None:
        try:
            last_confirmed = await self._store.last_confirmed(feed.symbol)
        except DatabaseAwayError:
            last_confirmed = None
        try:
            await feed.catch_up(last_confirmed)
        except VenueError as error:
            log.warning("not caught up yet", symbol=feed.symbol, reason=str(error))
        else:
            self._states[venue.name].answered()

    async def _confirm(self, venue: Venue, feed: SymbolCollector) -> None:
        """Looks at REST five seconds after each minute, and again soon if it did not answer."""
        clock, state, backoff = self._clocks[venue.name], self._states[venue.name], Backoff(self._random)
        while True:
            now = clock.now()
            due = ((now - CONFIRM_AFTER_SECONDS) // 60 + 1) * 60 + CONFIRM_AFTER_SECONDS
            await self._clock.sleep(due - now)
            while True:
                try:
                    await feed.confirm()
                except VenueError as error:
                    self._metrics.rest_requests.labels(venue.name, "failed").inc()
                    log.warning("REST", symbol=feed.symbol, reason=str(error))
                    if is_answer(error):
                        state.answered()
                    state.say_pause(error)
                    # However long it has been away: that it is back is noticed here, and the stream dialled then.
                    await self._clock.sleep(max(1.0 + backoff.next(answers=True), pause_of(error)))
                else:
                    break
            self._metrics.rest_requests.labels(venue.name, "answered").inc()
            state.answered()
            backoff = Backoff(self._random)

    async def _repair(self, venue: Venue, feed: SymbolCollector) -> None:
        """Finds gaps in the database and fills them from REST."""
        await self._clock.sleep(FIRST_REPAIR_SECONDS)
        # What is missing at the first look was missed while no collector ran.
        reason = GapReason.COLLECTOR_DOWN
        while True:
            # What is spooled would come after what REST says now, and is older; what is looked for far back comes
            # without being asked for twice.
            waits = self._lander.spooled_minutes or feed.looks_far_back
            if not waits and await self._repair_once(venue, feed, reason):
                reason = GapReason.UNKNOWN
            await self._clock.sleep(REPAIR_SECONDS)

    async def _repair_once(self, venue: Venue, feed: SymbolCollector, reason: GapReason) -> bool:
        """Whether the database could be asked."""
        try:
            report = await repair(
                self._store,
                venue.rest,
                feed.symbol,
                feed.coin,
                clock=self._clock,
                now_minute=int(self._clocks[venue.name].now() // 60),
                omitted=self._omitted,
                reason=reason,
            )
        except DatabaseAwayError as error:
            log.warning("repair waits", symbol=feed.symbol, reason=str(error))
            return False
        self._metrics.open_gaps.labels(feed.symbol).set(report.missing)
        return True

    async def _heartbeat(self) -> None:
        others_retired = False
        while True:
            self._metrics.buffered.set(self._lander.waiting)
            self._metrics.spooled.set(self._lander.spooled_minutes)
            self._metrics.spooled_bytes.set(self._lander.spooled_bytes)
            try:
                if not others_retired:
                    await self._store.retire_others([symbol for venue in self._venues for symbol in venue.symbols])
                    others_retired = True
                await self._sink.declare_again()
                await self._save_states()
                await self._sink.store_refused()
            except DatabaseAwayError as error:
                log.warning("no heartbeat", reason=str(error))
            await self._clock.sleep(HEARTBEAT_SECONDS)

    def _say_database(self, away: bool) -> None:
        self._refusing = self._refusing and away
        self._announce(
            "collector: the database is away; minutes go to the spool on disk"
            if away
            else "collector: the database is back, and has what was spooled"
        )

    def _say_refused(self, minutes: int) -> None:
        self._metrics.spool_full.inc(minutes)
        if not self._refusing:
            self._refusing = True
            self._announce(
                "collector: the spool is full: its oldest minutes are kept, newer ones are not. Bring the database back"
            )

    async def _save_states(self) -> None:
        now = self._clock.now()
        for venue in self._venues:
            state, clock = self._states[venue.name], self._clocks[venue.name]
            if clock.offset is not None:
                self._metrics.clock_offset.labels(venue.name).set(clock.offset)
            for symbol in venue.symbols:
                feed = self._feeds.get(symbol)
                await self._store.save_state(self._state_of(symbol, feed, state, clock, now))

    def _state_of(
        self, symbol: str, feed: SymbolCollector | None, state: VenueState, clock: ExchangeClock, now: float
    ) -> CollectorState:
        progress = None if feed is None else feed.progress
        last = None if progress is None else progress.last_minute
        until = None if progress is None else progress.accounted_until
        if last is not None:
            self._metrics.age.labels(symbol).set(clock.now() - (last + 1) * 60)
        return CollectorState(
            symbol=symbol,
            feed=self._feed,
            process=self._process,
            connection=state.connection,
            message=state.message,
            started_at=self._started_at,
            heartbeat_at=now,
            connected_at=state.connected_at,
            last_frame_at=(feed.last_frame_at or None) if feed else None,
            last_minute=None if last is None else last * 60.0,
            accounted_until=None if until is None else until * 60.0,
            minutes_landed=progress.landed if progress else 0,
            spooled_minutes=self._lander.spooled_minutes,
            spooled_bytes=self._lander.spooled_bytes,
            clock_offset_ms=None if clock.offset is None else clock.offset * 1000,
            exchange_at=clock.now(),
        )


async def _for_a_moment(work: Coroutine[Any, Any, None]) -> None:
    """Does work of the end, as far as it is done in LEAVE_SECONDS."""
    task = asyncio.create_task(work)
    await asyncio.wait([task], timeout=LEAVE_SECONDS)
    if not task.done():
        task.cancel()
    elif (error := task.exception()) is not None:
        log.warning("not done at the end", reason=str(error))
