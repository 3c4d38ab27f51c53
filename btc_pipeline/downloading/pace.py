"""When the next request may be made: never while a server wants a pause, and later after each failure.

Belongs here: waiting. Does not belong here: what an answer means (`fetching`, `rest_tail`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import httpx
from tenacity import RetryCallState
from tenacity.wait import wait_random_exponential

from btc_pipeline.downloading.errors import SAFE

TRIES: Final = 8
LONGEST_BACKOFF_SECONDS: Final = 60.0
SAID_FROM_SECONDS: Final = 5.0
"""A shorter wait is not worth a line."""
LONG_SECONDS: Final = 60.0
"""Before a wait so long it is said that nobody need sit through it."""
LONGEST_PAUSE_SECONDS: Final = 900.0
"""A server that wants a longer pause is left alone: the user is told until when."""

_BACKOFF: Final = wait_random_exponential(multiplier=1.0, max=LONGEST_BACKOFF_SECONDS)


class StoppedError(Exception):
    """Somebody ended the download while this part of it waited."""


class TryAgainError(Exception):
    """A request failed in a way that may pass.

    Attributes:
        pause: so many seconds must go by before the next, if the server said so.
        progress: it brought something all the same.
    """

    def __init__(self, reason: str, *, pause: float | None = None, progress: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        self.progress = progress


def seconds_to_wait(state: RetryCallState) -> float:
    """For tenacity: the pause that the server wants, else a random one that grows."""
    error = state.outcome.exception() if state.outcome else None
    pause = getattr(error, "pause", None)
    return _BACKOFF(state) if pause is None else float(pause)


def saying(
    say: Callable[[str], None], whom: str, *, server: str = "", remedy: str = ""
) -> Callable[[RetryCallState], None]:
    """For tenacity: says before a wait of some length how long it is, and why; before any, that nobody is there.

    Args:
        server: who cannot be reached then; `whom` by default.
        remedy: what the user could do about that.
    """

    def before(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        seconds = state.upcoming_sleep
        if state.attempt_number == 1 and is_away(error):
            todo = f": {remedy}" if remedy else ""
            again = f"trying again in {max(1.0, seconds):.0f} s"
            say(f"{server or whom} cannot be reached ({error}){todo}; {again}; {SAFE}")
        elif seconds >= SAID_FROM_SECONDS:
            say(f"{whom}: {error}: {next_try(seconds)}")

    return before


def next_try(seconds: float) -> str:
    """When the next try is, in words."""
    words = f"the next try is in {seconds:.0f} s"
    return f"{words}; {SAFE}" if seconds >= LONG_SECONDS else words


def is_away(error: BaseException | None) -> bool:
    """Whether there was no connection, or no answer on it."""
    gone = httpx.ConnectError | httpx.ProxyError | httpx.TimeoutException
    return error is not None and isinstance(error.__cause__, gone)


class Pace:
    """The pauses of one server, kept by every thread that asks it."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """
        Args:
            wait: waits so many seconds, or until somebody stops it: then it answers True.
        """
        self._stopped = threading.Event()
        self._monotonic = monotonic
        self._wait = wait or self._stopped.wait
        self._closed_until = 0.0

    def stop(self) -> None:
        """Every wait ends, and no other begins."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def close(self, seconds: float) -> None:
        """No request for so long."""
        self._closed_until = max(self._closed_until, self._monotonic() + seconds)

    def turn(self) -> None:
        """Returns once a request may be made.

        Raises:
            StoppedError: the download was ended.
        """
        while (left := self._closed_until - self._monotonic()) > 0:
            self.sleep(left)
        self._check()

    def sleep(self, seconds: float) -> None:
        """Waits.

        Raises:
            StoppedError: the download was ended.
        """
        self._check()
        if self._wait(seconds):
            raise StoppedError
        self._check()

    def _check(self) -> None:
        if self.stopped:
            raise StoppedError
