"""A venue to collect from, how the connection to it is, and what a user is told of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from btc_pipeline.exchanges.base import RateLimitedError, VenueError, VenueRefusedError, VenueRest, VenueStream
from btc_pipeline.timing.clock import Clock

ANSWERED_WITHIN_SECONDS: Final = 120.0
LONG_PAUSE_SECONDS: Final = 60.0
NO_INTERNET: Final = "Without the internet: btc-pipeline up --feed replay"


@dataclass(frozen=True, slots=True)
class Venue:
    """One venue's two clients, and the symbols to collect there."""

    name: str
    rest: VenueRest
    stream: VenueStream
    symbols: tuple[str, ...]


class VenueState:
    """How the connection to a venue is; a user is told once of what he wants to know."""

    def __init__(self, venue: Venue, clock: Clock, feed: str, announce: Callable[[str], None]) -> None:
        self.connection = "connecting"
        self.message = "starting"
        self.connected_at: float | None = None
        self._venue = venue
        self._clock = clock
        self._announce = announce
        self._title = f"{venue.name} (REPLAY)" if feed == "replay" else venue.name
        self._hint = "" if feed == "replay" else f" {NO_INTERNET}"
        self._answered_at: float | None = None
        self._paused_until = 0.0
        self._said = ""

    def answered(self) -> None:
        """Its REST answered just now."""
        self._answered_at = self._clock.monotonic()

    def rest_answers(self) -> bool:
        """Whether its REST answered lately."""
        return self._answered_at is not None and self._clock.monotonic() - self._answered_at < ANSWERED_WITHIN_SECONDS

    def turn(self, connection: str, message: str) -> None:
        """A new state of the connection."""
        if connection == "streaming":
            self.connected_at = self._clock.now()
        self.connection, self.message = connection, message
        lines = {
            "streaming": f"collector: collecting {', '.join(self._venue.symbols)} from {self._title}",
            "rest_only": f"collector: {self._title}: {message}",
            "unreachable": f"collector: {self._title} cannot be reached ({message}); trying again.{self._hint}",
        }
        if connection in lines and connection != self._said:
            self._said = connection
            self._announce(lines[connection])

    def say_pause(self, error: VenueError) -> None:
        """Tells, once for each, of a pause that a user would notice."""
        seconds, now = pause_of(error), self._clock.now()
        if seconds >= LONG_PAUSE_SECONDS and now >= self._paused_until:
            self._paused_until = now + seconds
            self._announce(
                f"collector: {self._venue.name} wants fewer requests ({error}): its REST is asked again in "
                f"{seconds:.0f} s"
            )


def pause_of(error: VenueError) -> float:
    """For how many seconds the venue wants no request."""
    return error.retry_after or 0.0 if isinstance(error, RateLimitedError) else 0.0


def is_answer(error: VenueError) -> bool:
    """Whether the exchange said something, though not what was hoped for."""
    return isinstance(error, RateLimitedError | VenueRefusedError)
