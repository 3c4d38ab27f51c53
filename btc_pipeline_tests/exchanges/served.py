"""A venue's REST that a function of the test answers, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from btc_pipeline.timing.clock import LoopClock
from btc_pipeline.timing.loops import VirtualLoop

T = TypeVar("T")

NOW = 1_790_232_000.0

Answer = Callable[[httpx.Request], httpx.Response]


def run(work: Callable[[LoopClock], Awaitable[T]]) -> T:
    """Runs work on a clock that shows NOW and never waits."""

    async def main() -> T:
        return await work(LoopClock(asyncio.get_running_loop(), NOW))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def serve(rest: Any, answer: Answer) -> list[httpx.Request]:
    """Puts a function in the venue's place; returns the requests as they come."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer(request)

    rest._asking._client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return asked


def in_turn(*answers: httpx.Response) -> Answer:
    """Each answer once, in order."""
    left = list(answers)
    return lambda _: left.pop(0)
