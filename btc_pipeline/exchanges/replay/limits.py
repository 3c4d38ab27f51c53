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

    def take(self, now: float, amount: int = 1) -> bool:
        """Notes it and says yes, or says no where it would be too much."""
        while self._done and self._done[0][0] <= now - self._seconds:
            self._used -= self._done.popleft()[1]
        if self._used + amount > self._limit:
            return False
        self._done.append((now, amount))
        self._used += amount
        return True
