"""The minute book: what the stream says about one symbol's minutes, and when a minute can be believed closed.

Some venues say in a frame that its minute is over; then nothing else closes it. Where no frame says so, and none has a
number, a minute is closed by a frame of a later one, or by the exchange's clock. A minute during which the stream was
not heard without a break is tainted: only REST may fill it. A pure state machine: times come in, minutes come out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from btc_pipeline.exchanges.base import Minute

CLOCK_CLOSE_SECONDS: Final = 3.0
"""So long after its end a minute without successor is closed by the clock."""
LONGEST_SILENCE_SECONDS: Final = 20.0
"""A minute that was last heard of so long before its successor came, or before its end, may have said more."""
PAST_THE_END_SECONDS: Final = 1.0
"""A minute that is still told of so long after its end is not over by the exchange's own clock."""
FUTURE_SECONDS: Final = 90.0
"""A frame of a later minute would close the running one; so far ahead no clock of an exchange is."""


@dataclass
class Heard:
    """What a frame or the clock brought.

    Attributes:
        closed: minutes that can be believed as they were last told; provisional until REST agrees.
        doubtful: epoch minutes about which the stream contradicts itself, or did not say that they are over; REST is to
            be asked.
        refused: why the frame was not taken.
    """

    closed: list[Minute] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)
    refused: str | None = None


class MinuteBook:
    """One symbol's book. Times are the exchange's, in seconds since 1970-01-01."""

    def __init__(self) -> None:
        self._forming: Minute | None = None
        self._flagged = False
        self._told_at = 0.0
        self._first: int | None = None
        self._clean_from = 0
        self._closed_before = 0
        self._emitted: dict[int, Minute] = {}

    @property
    def last_frame_at(self) -> float:
        """When a frame about a minute was last taken; 0 before the first."""
        return self._told_at

    def interrupted(self) -> None:
        """The stream broke, or is about to begin: what is forming is tainted, and so is the first minute to come."""
        self._forming = None
        self._first = None

    def taint(self, minute: int) -> None:
        """A frame about this minute was lost or unreadable."""
        self._clean_from = max(self._clean_from, minute + 1)

    def frame(self, minute: Minute, now: float, closed: bool | None = None) -> Heard:
        """Takes a frame; `closed` is what the venue says of its minute, None where it never says."""
        if minute.time * 60 > now + FUTURE_SECONDS:
            return Heard(refused="t is in the future")
        if minute.time < self._closed_before or (self._forming is not None and minute.time < self._forming.time):
            return self._late(minute, closed)
        if self._first is None:
            self._first = minute.time
            self.taint(minute.time)
        heard = Heard()
        if self._forming is not None and minute.time > self._forming.time:
            self._succeeded(self._forming, now, closed, heard)
            self._closed_before = minute.time
            self._forming = None
        before = self._forming
        if before is None or _continues(before, minute):
            self._forming, self._flagged, self._told_at = minute, closed is not None, now
        elif closed:
            # What it said before was more: one of the two is wrong.
            heard.doubtful.append(minute.time)
            self._end(minute.time)
            return heard
        elif minute.open != before.open or _grown(before, minute):
            self.taint(minute.time)
        if closed:
            self._emit(minute, heard)
            self._end(minute.time)
        return heard

    def tick(self, now: float) -> Heard:
        """Closes by the clock what has no successor."""
        forming = self._forming
        if forming is None:
            return Heard()
        end = (forming.time + 1) * 60
        heard = Heard()
        if self._flagged:
            if now - end <= LONGEST_SILENCE_SECONDS:
                return heard
            heard.doubtful.append(forming.time)
        elif self._told_at > end + PAST_THE_END_SECONDS:
            if now - self._told_at <= LONGEST_SILENCE_SECONDS:
                return heard
        elif now < end + CLOCK_CLOSE_SECONDS:
            return heard
        elif end - self._told_at <= LONGEST_SILENCE_SECONDS:
            self._emit(forming, heard)
        self._end(forming.time)
        return heard

    def _succeeded(self, forming: Minute, now: float, closed: bool | None, heard: Heard) -> None:
        """A frame of a later minute came."""
        if closed is not None:
            # The frame that closed it was lost, and may have said more.
            heard.doubtful.append(forming.time)
        elif now - self._told_at <= LONGEST_SILENCE_SECONDS:
            self._emit(forming, heard)

    def _end(self, minute: int) -> None:
        self._closed_before, self._forming = minute + 1, None

    def _emit(self, minute: Minute, heard: Heard) -> None:
        if minute.time >= self._clean_from:
            heard.closed.append(minute)
            self._emitted = {minute.time: minute}

    def _late(self, minute: Minute, closed: bool | None) -> Heard:
        """A word about a minute that is over: the same again is nothing, another one is for REST to decide."""
        told = self._emitted.get(minute.time)
        if told is not None and (told.same_values(minute) or (closed is False and _continues(minute, told))):
            return Heard()
        return Heard(doubtful=[minute.time])


def _continues(before: Minute, after: Minute) -> bool:
    """Whether a frame can follow another one of its minute: nothing that was traded is taken back."""
    return (
        after.open == before.open
        and after.high >= before.high
        and after.low <= before.low
        and after.trades >= before.trades
        and after.volume >= before.volume
    )


def _grown(before: Minute, after: Minute) -> bool:
    """Whether a frame claims more trades than the one before: then it is no older one that came late."""
    return after.trades > before.trades or after.volume > before.volume
