"""The REST part of a download: what is in no file and not stored, a few days at a time.

Belongs here: which spans are asked for, how failures are waited out. Does not belong here: requests and budgets
(`exchanges`), what becomes of an answer (`slices`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from btc_pipeline.downloading.errors import GO_ON, DownloadError
from btc_pipeline.downloading.pace import LONGEST_PAUSE_SECONDS, TRIES, is_away, saying, seconds_to_wait
from btc_pipeline.downloading.progress import Progress
from btc_pipeline.downloading.slices import Answer, SliceStore
from btc_pipeline.exchanges.base import History, RateLimitedError, VenueError, VenueRefusedError, VenueRest
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.times import to_datetime
from btc_pipeline.timing.clock import Clock

SLICE_MINUTES: Final = 3 * MINUTES_PER_DAY
FEW_SLICES: Final = 4

T = TypeVar("T")


@dataclass
class RestReport:
    """What REST gave.

    Attributes:
        asked: minutes that were asked for; `rejected` those whose rows may not be stored.
    """

    asked: int = 0
    rejected: int = 0


@dataclass
class Patient:
    """Asks a venue again after a failure that may pass, as late as it wants; `say` is told what it waits for.

    Attributes:
        remedy: what the user could do if nobody is there.
    """

    rest: VenueRest
    clock: Clock
    say: Callable[[str], None] = lambda _: None
    remedy: str = ""

    async def ask(self, what: str, question: Callable[[], Awaitable[T]]) -> T:
        """The answer.

        Raises:
            DownloadError: there is none, after several tries.
        """

        async def once() -> T:
            try:
                return await question()
            except RateLimitedError as error:
                self._check_pause(error)
                raise

        tries = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(TRIES),
            wait=_wait,
            sleep=self.clock.sleep,
            before_sleep=saying(self.say, self.rest.venue, remedy=self.remedy),
            reraise=True,
        )
        try:
            return await tries(once)
        except VenueRefusedError as error:
            raise DownloadError(f"{self.rest.venue}: {what}: {error}. {GO_ON}") from error
        except VenueError as error:
            todo = f": {self.remedy}" if self.remedy and is_away(error) else ""
            raise DownloadError(f"{self.rest.venue}: {what}: {error} ({TRIES} times){todo}. {GO_ON}") from error

    def _check_pause(self, error: RateLimitedError) -> None:
        if (error.retry_after or 0.0) > LONGEST_PAUSE_SECONDS:
            until = to_datetime(int(self.clock.now() + (error.retry_after or 0.0)) // 60 + 1)
            raise DownloadError(
                f"{self.rest.venue}: {error}: it wants no request until {until:%Y-%m-%d %H:%M} UTC: run the "
                "same command after that. What is stored stays"
            ) from error


async def download_rest(patient: Patient, store: SliceStore, coin: str, spans: Spans, progress: Progress) -> RestReport:
    """Stores what is missing of spans, slice after slice; the next is asked for while one is stored.

    Args:
        coin: the venue's own name.
        spans: epoch minutes that have closed.

    Raises:
        DownloadError: the venue does not answer. What was stored before stays.
    """
    report = RestReport()
    missing = await asyncio.to_thread(store.missing, spans)
    slices = cut(missing)
    if not store.has_older(missing):
        slices = await _from_first(patient, coin, slices)
    wanted = sum(one.total for one in slices)
    progress.plan(wanted)
    coming: asyncio.Task[History] | None = None
    try:
        for at, one in enumerate(slices):
            history = await (coming or asyncio.create_task(_ask(patient, coin, one)))
            coming = asyncio.create_task(_ask(patient, coin, slices[at + 1])) if at + 1 < len(slices) else None
            progress.begin(f"{to_datetime(int(one.start[0])):%Y-%m-%d %H:%M} by REST")
            done = await asyncio.to_thread(store.land, Answer(one, history))
            report.asked += one.total
            report.rejected += done.rejected
            progress.store(one.total, added=done.added, replaced=done.replaced, known=0)
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
    await asyncio.to_thread(store.finish)
    return report


def cut(missing: Spans) -> list[Spans]:
    """Missing minutes by the slices of a grid that no download moves: each is asked for, and stored, at once."""
    if not len(missing):
        return []
    first, last = int(missing.start[0]) // SLICE_MINUTES, (int(missing.end[-1]) - 1) // SLICE_MINUTES
    parts = (missing.clip(at * SLICE_MINUTES, (at + 1) * SLICE_MINUTES) for at in range(first, last + 1))
    return [part for part in parts if len(part)]


async def _ask(patient: Patient, coin: str, one: Spans) -> History:
    """What REST tells of a slice and of the minutes around it: a hole shows only between rows."""
    start, end = max(0, int(one.start[0]) - 1), int(one.end[-1]) + 1
    what = f"the minutes from {to_datetime(start):%Y-%m-%d %H:%M} UTC on"
    return await patient.ask(what, lambda: patient.rest.history(coin, start, end))


async def _from_first(patient: Patient, coin: str, slices: Sequence[Spans]) -> list[Spans]:
    """The slices without those from before the venue's first minute, which is looked for by halves."""

    async def tells(at: int) -> bool:
        return bool((await _ask(patient, coin, slices[at])).minutes)

    if len(slices) <= FEW_SLICES or await tells(0):
        return list(slices)
    low, high = 0, len(slices) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if await tells(middle):
            high = middle
        else:
            low = middle
    return list(slices[low:])


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, VenueError) and not isinstance(error, VenueRefusedError)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimitedError) and error.retry_after is not None:
        return error.retry_after
    return seconds_to_wait(state)
