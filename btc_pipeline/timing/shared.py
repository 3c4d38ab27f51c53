"""A time that several processes share: faster than the machine's, or from another moment on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from btc_pipeline.errors import UserError
from btc_pipeline.timing.clock import Clock, LoopClock, SystemClock
from btc_pipeline.timing.loops import ScaledLoop

CLOCK_VARIABLE: Final = "BTC_PIPELINE_CLOCK"

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
ClockFactory = Callable[[asyncio.AbstractEventLoop], Clock]


@dataclass(frozen=True, slots=True)
class SharedTime:
    """At `started` of the machine's clock it was `epoch`, and since then it runs `speed` times as fast.

    Attributes:
        speed: above 0.
        started, epoch: UTC seconds since 1970.
    """

    speed: float
    started: float
    epoch: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `text` wrote.

        Raises:
            UserError: anything else; one sentence that names the variable, its value and what would be right.
        """
        try:
            speed, started, epoch = (float(part) for part in text.split("@"))
        except ValueError:
            speed = started = epoch = -1.0
        if not (0 < speed < 1e6 and 0 <= started < 1e11 and 0 <= epoch < 1e11):
            raise UserError(f"{CLOCK_VARIABLE} {text!r} is not SPEED@STARTED@EPOCH, such as 10@1790232180@1679270400.")
        return cls(speed, started, epoch)

    @property
    def text(self) -> str:
        """As the environment variable has it."""
        return "@".join(repr(part).removesuffix(".0") for part in (self.speed, self.started, self.epoch))

    def make_loop(self) -> ScaledLoop:
        return ScaledLoop(self.speed, self.started)

    def make_clock(self, loop: asyncio.AbstractEventLoop) -> LoopClock:
        return LoopClock(loop, self.epoch)


def shared_time(environment: Mapping[str, str] = os.environ) -> SharedTime | None:
    """The time that this process shares with others; None where it has the machine's.

    Raises:
        UserError: the variable is not readable.
    """
    text = environment.get(CLOCK_VARIABLE)
    return SharedTime.parse(text) if text else None


def loop_and_clock_from_environment(environment: Mapping[str, str] = os.environ) -> tuple[LoopFactory, ClockFactory]:
    """What to make the event loop of this process with, and the clock that goes with it.

    Raises:
        UserError: the variable is not readable.

    Example:
        >>> make_loop, make_clock = loop_and_clock_from_environment({})
        >>> with asyncio.Runner(loop_factory=make_loop) as runner:
        ...     clock = make_clock(runner.get_loop())
    """
    time = shared_time(environment)
    if time is None:
        return asyncio.new_event_loop, lambda _: SystemClock()
    return time.make_loop, time.make_clock
