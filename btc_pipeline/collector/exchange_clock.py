"""The exchange's clock, as far as it can be known from here."""

from __future__ import annotations

from typing import Final

from btc_pipeline.exchanges.base import VenueRest
from btc_pipeline.timing.clock import Clock

ALARM_SECONDS: Final = 1.0


class ExchangeClock:
    """This machine's clock, set right by what the exchange said last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset: float | None = None
        """The exchange's clock minus this machine's, in seconds; None until it was asked."""

    def now(self) -> float:
        """The exchange's time: UTC, seconds since 1970-01-01."""
        return self._clock.now() + (self.offset or 0.0)

    @property
    def is_skewed(self) -> bool:
        """Whether one of the two is wrong by more than a second."""
        return self.offset is not None and abs(self.offset) > ALARM_SECONDS

    async def ask(self, rest: VenueRest) -> float:
        """Asks the exchange; returns its time when it answered: what was over by then is over.

        Raises:
            VenueError: it did not answer.
        """
        asked = self._clock.monotonic()
        told = await rest.time()
        # The answer was half of the time on its way, for all that is known.
        self.offset = told + (self._clock.monotonic() - asked) / 2 - self._clock.now()
        return told
