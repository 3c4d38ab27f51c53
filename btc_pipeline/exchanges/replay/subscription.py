"""What a client wants to be told."""

from __future__ import annotations

from typing import NamedTuple


class Subscription(NamedTuple):
    """`candle` with an interval, or `trades` without one; the coin by the market's name."""

    type: str
    coin: str
    interval: str = ""
