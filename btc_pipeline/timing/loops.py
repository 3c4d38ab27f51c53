"""Event loops whose time is not the machine's: virtual (it jumps to the next timer) and scaled (it runs faster)."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

OUTSIDE_POLL_SECONDS: Final = 0.05
_SHORTEST_STEP: Final = 1e-6


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that never waits for time: when nothing is ready, its time jumps to the next timer.

    Sockets are real. Those whose both ends are in this loop are ready as soon as something was sent; whoever waits
    for another process says so with `outside`, and time stands still meanwhile. Threads are waited for likewise.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._outside = 0
        super().__init__(_SteeredSelector(self._wait))

    def time(self) -> float:
        return self._now

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Time stands still inside: something that needs real time is waited for."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._outside += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._executor_done)
        return future

    def _executor_done(self, _: object) -> None:
        self._outside -= 1

    def _wait(self, select: _Select, timeout: float | None) -> _Ready:
        ready = select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._outside or timeout is None:
            return select(OUTSIDE_POLL_SECONDS)
        self._now += max(timeout, _SHORTEST_STEP)
        return ready


class ScaledLoop(asyncio.SelectorEventLoop):
    """A loop whose time runs `speed` times as fast as the machine's."""

    def __init__(self, speed: float, started: float | None = None) -> None:
        """
        Args:
            started: `time.time()` at which the loop's time was 0; now by default. Processes that share it agree.
        """
        self._speed = speed
        self._started = time.monotonic() - (0.0 if started is None else time.time() - started)
        super().__init__(_SteeredSelector(self._wait))

    def time(self) -> float:
        return (time.monotonic() - self._started) * self._speed

    def _wait(self, select: _Select, timeout: float | None) -> _Ready:
        return select(None if timeout is None else timeout / self._speed)


_Ready = list[tuple[selectors.SelectorKey, int]]
_Select = Callable[[float | None], _Ready]


class _SteeredSelector(selectors.DefaultSelector):
    """The platform's selector, whose waiting somebody else decides."""

    def __init__(self, wait: Callable[[_Select, float | None], _Ready]) -> None:
        super().__init__()
        self._steer = wait

    def select(self, timeout: float | None = None) -> _Ready:
        return self._steer(super().select, timeout)
