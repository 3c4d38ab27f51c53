"""The stream of one coin: its moments, and what faults make of them; what is said then is the wire's."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from typing import Final

from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.history import broken
from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, MinuteRow, epoch_ms
from btc_pipeline.exchanges.replay.paths import Step
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.tape import Trade
from btc_pipeline.exchanges.replay.venue import Venue

_FURTHEST_BEHIND_SECONDS: Final = 60.0
"""A process that was suspended for longer does not tell what it missed: the exchange went on without its stream."""
_GARBAGE_EVERY: Final = 3

Deliver = Callable[[Subscription, bytes], None]


class Feed(ABC):
    """Runs while somebody is subscribed to its coin.

    Attributes:
        tells_closes: whether a minute's end has a frame of its own, and a minute without trades frames at all.
        replays_trades: whether a subscription to trades begins with the newest ones.
        cadence: seconds from one frame of a minute to the next one at least.
    """

    tells_closes = False
    replays_trades = False
    cadence = 0.0

    def __init__(self, venue: Venue, listing: Listing, wanted: Collection[Subscription], deliver: Deliver) -> None:
        """
        Args:
            wanted: the coin's subscriptions, kept up to date by their owner.
        """
        self._venue = venue
        self._listing = listing
        self._wanted = wanted
        self._deliver = deliver
        self._timer: asyncio.TimerHandle | None = None
        self._minute = 0
        self._index = 0
        self._due = 0.0
        self._last_due = 0.0
        self._begins_flat = False
        self._held: MinuteRow | None = None
        self._told = 0

    @abstractmethod
    def candle(self, row: MinuteRow, interval: str, *, closed: bool) -> bytes:
        """The frame about a bar of an interval whose newest minute is `row`."""

    def trades(self, trades: Sequence[Trade]) -> bytes | None:  # noqa: ARG002
        """The frame about trades; None where the venue has none."""
        return None

    @abstractmethod
    def garbage(self, number: int, row: MinuteRow) -> bytes:
        """The number-th piece of garbage about a forming row."""

    @property
    def running(self) -> bool:
        return self._timer is not None

    def start(self) -> None:
        """From the next frame on."""
        self._jump_to_now()
        self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._held = None

    def retime(self) -> None:
        """The exchange's clock went another way: the next frame's moment is another one."""
        if self._timer is not None:
            self._timer.cancel()
            self._arm()

    def first_frame(self, subscription: Subscription) -> bytes | None:
        """What a new subscriber is told at once: the forming bar, or the newest trades."""
        venue = self._venue
        published = venue.now() - venue.behaviour.publish_delay
        coin = self._listing.name
        if subscription.type == "trades":
            count = venue.behaviour.replayed_trades if self.replays_trades else 0
            trades = venue.tape.newest_trades(coin, published, count)
            return self.trades(trades) if trades else None
        step = venue.tape.now_forming(coin, published)
        row = step.row if step else self._untraded(epoch_ms(published) // MINUTE_MS)
        return self.candle(row, subscription.interval, closed=False) if row else None

    def _jump_to_now(self) -> None:
        published = self._venue.now() - self._venue.behaviour.publish_delay
        self._minute, offset = divmod(epoch_ms(published), MINUTE_MS)
        self._index = bisect_right(self._steps(), offset, key=lambda step: step.offset_ms)

    def _steps(self) -> Sequence[Step]:
        return self._venue.tape.steps(self._listing.name, self._minute)

    def _arm(self) -> None:
        """Sets the timer to the next frame, or to the next minute if this one has no more."""
        steps = self._steps()
        if self._index < len(steps):
            self._due = self._minute * 60 + steps[self._index].offset_ms / 1000
        elif self.tells_closes and self._index == len(steps):
            self._due = (self._minute + 1) * 60
        else:
            self._minute, self._index = self._minute + 1, 0
            following = self._steps()
            self._due = self._minute * 60 + (following[0].offset_ms / 1000 if following else 0.0)
            self._begins_flat = self.tells_closes and not following
        delay = self._venue.until(self._due + self._venue.behaviour.publish_delay)
        self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        behind = self._venue.now() - self._due - self._venue.behaviour.publish_delay
        if behind > _FURTHEST_BEHIND_SECONDS:
            self._begins_flat = False
            self._jump_to_now()
        elif self._begins_flat:
            self._begins_flat = False
            row = self._untraded(self._minute)
            if row is not None:
                self._tell_state(row, closed=False, first=True, last=False)
        elif self._index <= len(self._steps()) - (not self.tells_closes):
            self._publish()
            self._index += 1
        self._arm()

    def _publish(self) -> None:
        """Tells all subscribers of one step, or of the minute's end."""
        steps = self._steps()
        if self._index == len(steps):
            row = steps[-1].row if steps else self._untraded(self._minute)
            if row is not None:
                self._tell_state(row, closed=True, first=False, last=True)
            return
        subscription = Subscription("trades", self._listing.name)
        if subscription in self._wanted:
            made = self._venue.tape.trades_of(self._listing.name, self._minute, self._index)
            payload = self.trades(made)
            if payload is not None:
                self._deliver(subscription, payload)
        if self._due - self._last_due >= self.cadence or self._index == 0:
            self._last_due = self._due
            last = self._index == len(steps) - 1 and not self.tells_closes
            self._tell_state(steps[self._index].row, closed=False, first=self._index == 0, last=last)

    def _tell_state(self, state: MinuteRow, *, closed: bool, first: bool, last: bool) -> None:
        """Tells of a minute, as far as faults let it be told.

        Args:
            first, last: whether it is the minute's first or last frame.
        """
        row: MinuteRow | None = state
        is_on = self._venue.is_on
        if last:
            if is_on(FaultKind.LOSE_LAST):
                row = None
            elif is_on(FaultKind.REORDER):
                self._held, row = row, None
            elif is_on(FaultKind.WRONG_ROW):
                row = broken(state)
        if row is None:
            return
        self._told += 1
        if is_on(FaultKind.GARBAGE) and self._told % _GARBAGE_EVERY == 0:
            self._tell_as_is(self.garbage(self._told // _GARBAGE_EVERY, row))
        self._tell_one(row, closed)
        if self._held is not None and self._held.minute < row.minute:
            self._tell_one(self._held, self.tells_closes)
            self._held = None
        if is_on(FaultKind.DUPLICATE):
            if first:
                self._tell_closed_again()
            self._tell_one(row, closed)

    def _tell_one(self, row: MinuteRow, closed: bool) -> None:
        if closed:
            self._tell_closed(row)
        else:
            self._tell(row)

    def _untraded(self, minute: int) -> MinuteRow | None:
        """The row of a minute without trades so far, where the venue tells of such."""
        return self._venue.tape.untraded(self._listing.name, minute) if self.tells_closes else None

    def _tell(self, row: MinuteRow) -> None:
        for subscription in self._wanted:
            if subscription.type == "candle":
                self._deliver(subscription, self.candle(row, subscription.interval, closed=False))

    def _tell_closed(self, row: MinuteRow) -> None:
        for subscription in self._wanted:
            if subscription.type == "candle":
                self._deliver(subscription, self.candle(row, subscription.interval, closed=True))

    def _tell_as_is(self, payload: bytes) -> None:
        for subscription in self._wanted:
            if subscription.type == "candle":
                self._deliver(subscription, payload)

    def _tell_closed_again(self) -> None:
        for minute in (self._minute - 2, self._minute - 1):
            steps = self._venue.tape.steps(self._listing.name, minute)
            if steps:
                self._tell_one(steps[-1].row, self.tells_closes)
