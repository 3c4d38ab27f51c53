"""How much of something was done within the last minute."""

from __future__ import annotations

from collections import deque


class SlidingWindow:
    """At most `limit` within any `seconds`: stricter than a bucket that refills, and so a bound for both."""

    def __init__(self, limit: int, seconds: float = 60.0) -> None:
        self._limit = limit
        self._seconds = seconds
        self._done: deque[tuple[float, int]] = deque()
        self._used = 0

    def copy(self) -> SlidingWindow:
        """An unused one with the same limit."""
        return SlidingWindow(self._limit, self._seconds)

    def take(self, now: float, amount: int = 1) -> bool:
        """Notes it and says yes, or says no where it would be too much."""
        if self.used(now) + amount > self._limit:
            return False
        self._done.append((now, amount))
        self._used += amount
        return True

    def used(self, now: float) -> int:
        """How much was done within the window that ends now."""
        while self._done and self._done[0][0] <= now - self._seconds:
            self._used -= self._done.popleft()[1]
        return self._used

    def seconds_until(self, now: float, amount: int) -> float:
        """How long until so much would be taken, if nothing else comes."""
        excess = self.used(now) + amount - self._limit
        for time, done in self._done:
            if excess <= 0:
                break
            excess -= done
            if excess <= 0:
                return time + self._seconds - now
        return 0.0
