"""Made-up minutes as csv rows, where real ones would be more than a test needs."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator

HEADER = "time,open,high,low,close,volume"
FIRST = 24_192_000
"""2015-12-31 00:00 in epoch minutes."""


def walk(days: int, *, seed: int = 1, first: int = FIRST, without: Collection[int] = ()) -> Iterator[str]:
    """Rows of a random walk, one a minute but those left out; times in ms, two decimals of price, three of volume."""
    rng = random.Random(seed)
    price = 40_000
    for minute in range(first, first + days * 1440):
        open_ = price
        price = max(1_000, price + rng.randint(-25, 25))
        high, low = max(open_, price) + rng.randint(0, 9), min(open_, price) - rng.randint(0, 9)
        volume = rng.randint(1, 9_999)
        if minute not in without:
            prices = ",".join(f"{ticks / 100:.2f}" for ticks in (open_, high, low, price))
            yield f"{minute * 60_000},{prices},{volume / 1000:.3f}"
