"""Pauses that venues want, known to every process of a data folder: they share an address, and whoever asks is meant.

Belongs here: until when a venue is not to be asked, on disk. Does not belong here: what a venue's answer means
(`asking`), and what is done meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import structlog

from btc_pipeline.exchanges.base import Coin, History, RateLimitedError, VenueRest
from btc_pipeline.timing.clock import Clock

T = TypeVar("T")

log = structlog.get_logger(__name__)

FOLDER: Final = "pauses"
SAME_SECONDS: Final = 1.0


class PausedRest:
    """A venue's REST that is not asked while this process, another one or one before it was told to wait."""

    def __init__(self, rest: VenueRest, data_dir: Path, clock: Clock) -> None:
        self.venue = rest.venue
        self._rest = rest
        self._file = data_dir / FOLDER / rest.venue
        self._clock = clock

    @property
    def retention_minutes(self) -> int | None:
        return self._rest.retention_minutes

    async def coins(self, wanted: Collection[str]) -> dict[str, Coin]:
        return await self._ask(lambda: self._rest.coins(wanted))

    async def history(self, coin: str, start: int, end: int) -> History:
        return await self._ask(lambda: self._rest.history(coin, start, end))

    async def time(self) -> float:
        return await self._ask(self._rest.time)

    async def close(self) -> None:
        await self._rest.close()

    async def _ask(self, request: Callable[[], Awaitable[T]]) -> T:
        if (left := self._left()) > 0:
            raise RateLimitedError(f"it asked for a pause, {left:.0f} s of which are left", left)
        try:
            return await request()
        except RateLimitedError as error:
            self._keep(error.retry_after or 0.0)
            raise

    def _left(self) -> float:
        """Seconds of the pause that are left. One that begins later is of a replay at another time."""
        try:
            told, until = (float(part) for part in self._file.read_text().split())
        except (OSError, ValueError):
            return 0.0
        now = self._clock.now()
        return until - now if told <= now else 0.0

    def _keep(self, seconds: float) -> None:
        if seconds <= self._left() + SAME_SECONDS:
            return
        now = self._clock.now()
        written = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(f"{now!r} {now + seconds!r}\n")
            written.replace(self._file)
        except OSError as error:
            log.warning("a pause cannot be kept for other processes", venue=self.venue, reason=str(error))
            with suppress(OSError):
                written.unlink(missing_ok=True)
