"""How long to wait before the next try: exponential, with full jitter."""

from __future__ import annotations

from random import Random
from typing import Final

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 30.0
LONGEST_WITHOUT_ANSWER_SECONDS: Final = 900.0
HEALTHY_AFTER_SECONDS: Final = 60.0


class Backoff:
    """Waits of random length below a bound that doubles: 1 s at first; at most 30 s, or 15 min without any answer.

    The random part keeps those whom one fault cut off from coming back at one moment.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._tries = 0

    def next(self, *, answers: bool) -> float:
        """Seconds to wait now.

        Args:
            answers: whether the other side answers at all.
        """
        longest = LONGEST_SECONDS if answers else LONGEST_WITHOUT_ANSWER_SECONDS
        bound = min(longest, FIRST_SECONDS * 2.0 ** min(self._tries, 20))
        self._tries += 1
        return self._random.uniform(0.0, bound)

    def healthy(self, seconds: float) -> None:
        """It went well for so long: after a minute of data the next fault begins at the first wait."""
        if seconds >= HEALTHY_AFTER_SECONDS:
            self._tries = 0
