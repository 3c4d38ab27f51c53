"""The one clock that live code asks and waits on, so that tests and replays can bring another."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Timers that are made by the event loop (`asyncio.timeout`, `call_later`) run on the same time as `monotonic`."""

    def now(self) -> float:
        """UTC, in seconds since 1970-01-01."""

    def monotonic(self) -> float:
        """Seconds since some moment; never set back."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LoopClock:
    """The time of an event loop that has its own (`VirtualLoop`, `ScaledLoop`), which began at `epoch`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: float) -> None:
        """
        Args:
            epoch: UTC in seconds since 1970-01-01 when the loop's time is 0.
        """
        self._loop = loop
        self._epoch = epoch

    def now(self) -> float:
        return self._epoch + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
