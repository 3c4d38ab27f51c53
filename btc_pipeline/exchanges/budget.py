"""What a venue allows in a time: weights of requests, new connections."""

from __future__ import annotations

from collections import deque

from btc_pipeline.timing.clock import Clock


class Budget:
    """At most `limit` units in any window of `seconds`; whoever asks for more waits."""

    def __init__(self, limit: float, seconds: float, clock: Clock) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._spent: deque[tuple[float, float]] = deque()
        self._closed_until = 0.0

    @property
    def spent(self) -> float:
        """Units in the window that ends now."""
        self._forget()
        return sum(units for _, units in self._spent)

    @property
    def closed_for(self) -> float:
        """For how many seconds nothing is given; 0 while it is open."""
        return max(0.0, self._closed_until - self._clock.monotonic())

    def close(self, seconds: float) -> None:
        """Nothing is given for so long: the venue said that it was too much."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)

    async def spend(self, units: float) -> None:
        """Returns once so many units may be spent, which then are.

        Raises:
            ValueError: more than the limit.
        """
        if units > self._limit:
            raise ValueError(f"{units} units are more than the {self._limit} of a window")
        while (wait := self._wait(units)) > 0:
            await self._clock.sleep(wait)
        self._spent.append((self._clock.monotonic(), units))

    def _wait(self, units: float) -> float:
        now = self._clock.monotonic()
        if now < self._closed_until:
            return self._closed_until - now
        self._forget()
        over = sum(spent for _, spent in self._spent) + units - self._limit
        for at, spent in self._spent:
            if over <= 0:
                break
            over -= spent
            wait = at + self._seconds - now
            if over <= 0:
                # A hair more: at the very moment the window still holds it.
                return max(wait, 0.0) + 1e-3
        return 0.0

    def _forget(self) -> None:
        oldest = self._clock.monotonic() - self._seconds
        while self._spent and self._spent[0][0] <= oldest:
            self._spent.popleft()
