"""One symbol's collection: its minute book, what REST says of it, and how far it is accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from btc_pipeline.collector.book import Heard, MinuteBook
from btc_pipeline.collector.exchange_clock import ExchangeClock
from btc_pipeline.collector.progress import Progress
from btc_pipeline.collector.symbol_trades import SymbolTrades
from btc_pipeline.collector.validation import accept, refusal, with_held_quote
from btc_pipeline.exchanges.base import (
    CandleUpdate,
    History,
    Minute,
    Trade,
    Unreadable,
    VenueRest,
    look_back_minutes,
)
from btc_pipeline.market.candles import Scale
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.market.validity import offences

CONFIRM_AFTER_SECONDS: Final = 5
TAIL_MINUTES: Final = 16
"""Asked for after each minute: it confirms the newest at +5 s, the one before at +65 s, and one at +15 min."""
OVERLAP_MINUTES: Final = TAIL_MINUTES
"""So far before the end of the last look the next one begins: what was new then is to be asked for again."""
AUDIT_MINUTES: Final = MINUTES_PER_DAY + 10
AUDIT_MINUTE_OF_DAY: Final = 10
SLICE_MINUTES: Final = 5_000
"""A longer look back is made in parts, the oldest first, each landed before the next is asked for."""
SILENT_AFTER_SECONDS: Final = 90.0
HELD_SECONDS: Final = 10.0
"""What closes during a catch-up waits for it, but no longer: many symbols share one budget of requests."""

FROM_STREAM: Final = "stream"
FROM_TRADES: Final = "its trades tell more"


class Sink(Protocol):
    """Where minutes go."""

    def provisional(self, symbol: str, minutes: Sequence[Minute]) -> None:
        """Closed minutes as the stream told them."""

    def confirmed(self, symbol: str, minutes: Sequence[Minute], reason: str) -> None:
        """Closed minutes as REST told them."""

    def refused(self, symbol: str, rows: Sequence[Unreadable]) -> None:
        """What could not be taken."""

    async def landed(self) -> None:
        """Returns once what was given is in the database or in the spool, or after a while if neither takes it."""

    async def widen(self, symbol: str, scale: Scale) -> Scale:
        """Declares an instrument with at least so many decimals; returns those that hold."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at REST found.

    Attributes:
        first, end: the epoch minutes [first, end) that were asked for.
        rows: how many of them the exchange has; of a look in parts, how many of the newest part.
    """

    first: int
    end: int
    rows: int


class SymbolCollector:
    """Collects one symbol."""

    def __init__(
        self,
        symbol: str,
        coin: str,
        scale: Scale,
        rest: VenueRest,
        clock: ExchangeClock,
        sink: Sink,
        trades: SymbolTrades | None = None,
    ) -> None:
        """
        Args:
            coin: the venue's own name of it.
            scale: the decimals that the venue declares for it.
            trades: completes its candles; None where trades are not taken.
        """
        self.symbol = symbol
        self.coin = coin
        self.progress = Progress()
        self._scale = scale
        self._rest = rest
        self._clock = clock
        self._sink = sink
        self._trades = trades
        self._book = MinuteBook()
        self._held: list[Minute] | None = None
        self._held_until = 0.0
        self._told: dict[int, Minute] = {}
        self._recheck_from: int | None = None
        self._checked_until: int | None = None
        self._audited_day: int | None = None
        self._traded_unheard = 0
        self._looking = asyncio.Lock()
        self._in_parts = False

    @property
    def looks_far_back(self) -> bool:
        """More is being fetched than one answer holds: what is missing meanwhile is on its way."""
        return self._in_parts

    @property
    def last_frame_at(self) -> float:
        """The exchange's time of the last frame; 0 before the first."""
        return self._book.last_frame_at

    @property
    def is_silent(self) -> bool:
        """The stream says nothing while REST shows trades."""
        return self._traded_unheard >= 2 and self._clock.now() - self._book.last_frame_at > SILENT_AFTER_SECONDS

    @property
    def takes_trades(self) -> bool:
        """Whether the stream is to be asked for its trades, too."""
        return self._trades is not None

    # What the stream brings.

    def stream_begins(self) -> None:
        """Subscribed: what closes now is held until the past has been fetched."""
        self._interrupt()
        self._traded_unheard = 0
        self._held_until = self._clock.now() + HELD_SECONDS
        if self._held is None:
            self._held = []

    def stream_ended(self) -> None:
        """The connection is gone."""
        self._interrupt()
        self.drain()

    def drain(self) -> None:
        """Passes on what was held."""
        held, self._held = self._held, None
        if held:
            self._sink.provisional(self.symbol, held)

    def frame(self, update: CandleUpdate) -> None:
        """A frame about one of its minutes."""
        minute = with_held_quote(update.minute, self._scale)
        wrong = self._faults(minute)
        if wrong:
            self._book.taint(minute.time)
            self._sink.refused(self.symbol, [refusal(minute, wrong, FROM_STREAM)])
            return
        self._traded_unheard = 0
        heard = self._book.frame(minute, self._clock.now(), update.closed)
        if heard.refused:
            self._sink.refused(self.symbol, [refusal(minute, [heard.refused], FROM_STREAM)])
        self._take(heard)

    def heard_trades(self, trades: Sequence[Trade]) -> None:
        """Some of its trades."""
        if self._trades is not None:
            self._trades.heard(trades)

    def lost_frame(self, row: Unreadable) -> None:
        """A frame that could not be read; it may have been about the running minute of this symbol."""
        running = int(self._clock.now() // 60)
        self._book.taint(running if row.time is None else min(row.time, running))
        if self._trades is not None:
            self._trades.lost_frame()

    def quarantine(self, row: Unreadable) -> None:
        """Keeps what could not be read."""
        self._sink.refused(self.symbol, [row])

    def tick(self) -> None:
        """Lets the clock close minutes; to be called every second or so."""
        if self._held and self._clock.now() > self._held_until:
            self.drain()
        self._take(self._book.tick(self._clock.now()))

    def _take(self, heard: Heard) -> None:
        for doubtful in heard.doubtful:
            self._look_back_to(doubtful)
        if not heard.closed:
            return
        closed = [self._completed(minute, of_rest=False) for minute in heard.closed]
        if self._held is not None:
            self._held.extend(closed)
        else:
            self._sink.provisional(self.symbol, closed)

    def _interrupt(self) -> None:
        self._book.interrupted()
        if self._trades is not None:
            self._trades.interrupted()

    def _completed(self, minute: Minute, *, of_rest: bool) -> Minute:
        return minute if self._trades is None else self._trades.completed(minute, self._scale, of_rest=of_rest)

    # What REST says.

    async def catch_up(self, last_confirmed: int | None) -> Checked:
        """Fetches everything since the last confirmed minute, or all that the exchange has; then drains.

        Raises:
            VenueError: the exchange did not answer; what was held is passed on nevertheless, and `confirm` fetches all
                that is missing once it answers.
        """
        self._look_back_to(0 if last_confirmed is None else last_confirmed - OVERLAP_MINUTES)
        try:
            return await self.confirm()
        finally:
            self.drain()

    async def confirm(self) -> Checked:
        """Compares the newest minutes with REST, as far back as is in doubt; at first and once a day the last 24 hours.

        Raises:
            VenueError: the exchange did not answer; the next look reaches back as far as is missing then.
        """
        async with self._looking:
            return await self._confirm()

    async def _confirm(self) -> Checked:
        end = await self._closed_end()
        start, reason = end - TAIL_MINUTES, "REST differs"
        if self._checked_until is not None:
            start = min(start, self._checked_until - OVERLAP_MINUTES)
        if self._recheck_from is not None:
            start = min(start, self._recheck_from)
        day, minute = divmod(end, MINUTES_PER_DAY)
        first, audit = self._audited_day is None, minute >= AUDIT_MINUTE_OF_DAY and self._audited_day != day
        if first or audit:
            # At first, too: who was not there at the usual time has missed an audit.
            start = min(start, end - AUDIT_MINUTES)
            reason = "REST differs" if first else "daily audit"
        start = max(start, end - look_back_minutes(self._rest))
        newest_part = await self._catch_up_in_parts(start, end, reason)
        checked = await self._check(start, newest_part, end, reason)
        if first or audit:
            self._audited_day = day
        return checked

    async def _catch_up_in_parts(self, start: int, end: int, reason: str) -> int:
        """Fetches and lands all but the newest part; returns where that begins.

        What breaks off goes on there, in this process and in the next one: older parts have landed.
        """
        at = start
        try:
            while end - at > SLICE_MINUTES:
                self._in_parts = True
                doubted = self._recheck_from
                await self._fetch(start, at, at + SLICE_MINUTES, reason)
                await self._sink.landed()
                at = self._checked_until = at + SLICE_MINUTES
                if self._recheck_from == doubted:
                    self._recheck_from = None
        finally:
            self._in_parts = False
        return at

    def _look_back_to(self, minute: int) -> None:
        self._recheck_from = minute if self._recheck_from is None else min(self._recheck_from, minute)

    async def _closed_end(self) -> int:
        """The first minute that is not over, by the exchange's own clock."""
        return int(await self._clock.ask(self._rest) // 60)

    async def _check(self, start: int, newest_part: int, end: int, reason: str) -> Checked:
        recheck = self._recheck_from
        told = await self._fetch(start, newest_part, end, reason)
        self._told = {time: row for time, row in (self._told | told).items() if time >= end - TAIL_MINUTES}
        self._checked_until = end
        if self._recheck_from == recheck:
            self._recheck_from = None
        newest = told.get(end - 1)
        if newest is not None and newest.volume > 0 and self._book.last_frame_at < newest.time * 60:
            self._traded_unheard += 1
        return Checked(start, end, len(told))

    async def _fetch(self, begin: int, start: int, end: int, reason: str) -> dict[int, Minute]:
        """Asks for the epoch minutes [start, end) of a look that began at `begin`, and passes on what is new.

        Returns:
            What may be stored, by minute, with what had been told of it before.
        """
        valid = await self._valid(await self._rest.history(self.coin, start, end))
        rows = [self._completed(row, of_rest=True) for row in valid]
        told, fresh, completed = {}, [], []
        for row in rows:
            known = self._told.get(row.time)
            told[row.time] = row if known is None else row.completed_from(known)
            if known is None or not known.completed_from(row).same_values(told[row.time]):
                fresh.append(row)
            elif not known.same_values(told[row.time]):
                completed.append(told[row.time])
        self._sink.confirmed(self.symbol, fresh, reason)
        if completed:
            self._sink.confirmed(self.symbol, completed, FROM_TRADES)
        self.progress.begin(begin)
        self.progress.is_absent([minute for minute in range(start, end) if minute not in told])
        return told

    async def _valid(self, history: History) -> list[Minute]:
        """The rows that may be stored; the others go to quarantine."""
        rows, refused, self._scale = await accept(
            history, self._scale, lambda wanted: self._sink.widen(self.symbol, wanted), self.symbol
        )
        if refused:
            self._sink.refused(self.symbol, refused)
        return rows

    def _faults(self, minute: Minute) -> list[str]:
        wrong = list(offences(minute))
        if minute.decimals.price > self._scale.price or minute.decimals.volume > self._scale.volume:
            wrong.append(
                f"{minute.decimals.price} price and {minute.decimals.volume} volume decimals are more than "
                f"{self._scale.price} and {self._scale.volume}"
            )
        return wrong
