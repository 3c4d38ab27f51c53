"""The stream of one coin: its frames at their moments, with what faults make of them."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Collection
from typing import Final

from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.history import broken
from btc_pipeline.exchanges.replay.hyperliquid_garbage import garbage
from btc_pipeline.exchanges.replay.hyperliquid_text import Subscription, candle_frame, trades_frame
from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, MinuteRow, epoch_ms
from btc_pipeline.exchanges.replay.venue import Venue

_FURTHEST_BEHIND_SECONDS: Final = 60.0
"""A process that was suspended for longer does not tell what it missed: the exchange went on without its stream."""
_GARBAGE_EVERY: Final = 3

Deliver = Callable[[Subscription, bytes], None]


class CoinFeed:
    """Runs while somebody is subscribed to its coin."""

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
        self._held: MinuteRow | None = None
        self._told = 0

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
            trades = venue.tape.newest_trades(coin, published, venue.behaviour.replayed_trades)
            return trades_frame(trades, self._listing) if trades else None
        step = venue.tape.now_forming(coin, published)
        if step is None:
            return None
        bar = venue.history.forming_bar(coin, subscription.interval, step.row)
        return candle_frame(bar, self._listing, subscription.interval)

    def _jump_to_now(self) -> None:
        published = self._venue.now() - self._venue.behaviour.publish_delay
        self._minute, offset = divmod(epoch_ms(published), MINUTE_MS)
        steps = self._venue.tape.steps(self._listing.name, self._minute)
        self._index = bisect_right(steps, offset, key=lambda step: step.offset_ms)

    def _arm(self) -> None:
        """Sets the timer to the next frame, or to the next minute if this one has no more."""
        steps = self._venue.tape.steps(self._listing.name, self._minute)
        if self._index < len(steps):
            self._due = self._minute * 60 + steps[self._index].offset_ms / 1000
        else:
            self._minute, self._index = self._minute + 1, 0
            following = self._venue.tape.steps(self._listing.name, self._minute)
            self._due = self._minute * 60 + (following[0].offset_ms / 1000 if following else 0.0)
        delay = self._venue.until(self._due + self._venue.behaviour.publish_delay)
        self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        behind = self._venue.now() - self._due - self._venue.behaviour.publish_delay
        if behind > _FURTHEST_BEHIND_SECONDS:
            self._jump_to_now()
        elif self._index < len(self._venue.tape.steps(self._listing.name, self._minute)):
            self._publish()
            self._index += 1
        self._arm()

    def _publish(self) -> None:
        """Tells all subscribers of one step."""
        steps = self._venue.tape.steps(self._listing.name, self._minute)
        step = steps[self._index]
        trades = Subscription("trades", self._listing.name)
        if trades in self._wanted:
            made = self._venue.tape.trades_of(self._listing.name, self._minute, self._index)
            self._deliver(trades, trades_frame(made, self._listing))
        row: MinuteRow | None = step.row
        is_on = self._venue.is_on
        if self._index == len(steps) - 1:
            if is_on(FaultKind.LOSE_LAST):
                row = None
            elif is_on(FaultKind.REORDER):
                self._held, row = row, None
            elif is_on(FaultKind.WRONG_ROW):
                row = broken(step.row)
        if row is None:
            return
        self._told += 1
        if is_on(FaultKind.GARBAGE) and self._told % _GARBAGE_EVERY == 0:
            self._tell_as_is(garbage(self._told // _GARBAGE_EVERY, row, self._listing))
        self._tell(row)
        if self._held is not None and self._held.minute < row.minute:
            self._tell(self._held)
            self._held = None
        if is_on(FaultKind.DUPLICATE):
            if self._index == 0:
                self._tell_closed_again()
            self._tell(row)

    def _tell(self, row: MinuteRow) -> None:
        for subscription in self._wanted:
            if subscription.type == "candle":
                bar = self._venue.history.forming_bar(self._listing.name, subscription.interval, row)
                self._deliver(subscription, candle_frame(bar, self._listing, subscription.interval))

    def _tell_as_is(self, payload: bytes) -> None:
        for subscription in self._wanted:
            if subscription.type == "candle":
                self._deliver(subscription, payload)

    def _tell_closed_again(self) -> None:
        for minute in (self._minute - 2, self._minute - 1):
            steps = self._venue.tape.steps(self._listing.name, minute)
            if steps:
                self._tell(steps[-1].row)
