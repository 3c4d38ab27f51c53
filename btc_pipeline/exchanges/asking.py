"""How a venue's REST is asked: within its budget, never while it wants a pause, and in one tongue of errors.

Belongs here: what every venue's REST has in common. Does not belong here: paths, weights and rows, which are each
venue's own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import httpx

from btc_pipeline.exchanges.addresses import is_local
from btc_pipeline.exchanges.base import RateLimitedError, VenueRefusedError, VenueUnavailableError
from btc_pipeline.exchanges.budget import Budget

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0
PAUSE_SLACK_SECONDS: Final = 0.25
"""A pause is counted from when the answer came here: the venue's own count may begin a little later."""


class Pause(NamedTuple):
    """The venue wants fewer requests: its words, and for how many seconds it wants none."""

    words: str
    seconds: float


class Asking:
    """Requests to the REST API at `url`."""

    def __init__(
        self, url: str, budget: Budget, pause_of: Callable[[httpx.Response], Pause | None], *, at_once: int = 1
    ) -> None:
        """
        Args:
            budget: of the weights that requests have.
            pause_of: what an answer says of too many requests; None for any other answer.
            at_once: how many requests may be under way. With one, none overtakes the answer that wants a pause.
        """
        self._url = url.rstrip("/")
        self._budget = budget
        self._pause_of = pause_of
        self._turn = asyncio.Semaphore(at_once)
        # A proxy of the environment is for the world outside, not for a replay on this machine.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS), trust_env=not is_local(url)
        )

    async def get(self, path: str, weight: float, **parameters: str | int) -> Any:
        """The JSON at a path; numbers with a point stay text.

        Raises:
            RateLimitedError: too many requests, now or a while ago: nothing is sent before the pause is over.
            VenueRefusedError: the venue does not take the request; `body` is its answer.
            VenueUnavailableError: no answer, or none that can be read.
        """
        request = self._client.build_request("GET", self._url + path, params=parameters)
        return await self._send(path.rpartition("/")[2], weight, request)

    async def post(self, path: str, weight: float, body: dict[str, Any]) -> Any:
        """The JSON that answers a JSON body with a `type`; errors as `get`."""
        request = self._client.build_request("POST", self._url + path, json=body)
        return await self._send(str(body.get("type", path)), weight, request)

    def wants_pause(self, pause: Pause) -> RateLimitedError:
        """The error of a pause that begins now; nothing is sent until it is over."""
        seconds = pause.seconds + PAUSE_SLACK_SECONDS
        self._budget.close(seconds)
        return RateLimitedError(pause.words, seconds)

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.aclose()

    async def _send(self, what: str, weight: float, request: httpx.Request) -> Any:
        async with self._turn:
            if (left := self._budget.closed_for) > 0:
                raise RateLimitedError(f"it asked for a pause, {left:.0f} s of which are left", left)
            await self._budget.spend(weight)
            try:
                response = await self._client.send(request, stream=True)
            except httpx.HTTPError as error:
                raise VenueUnavailableError(_reason(error)) from error
            try:
                # Before the body: it may never come, and the pause holds all the same.
                pause = self._pause_of(response)
                if pause is not None:
                    raise self.wants_pause(pause)
                await response.aread()
            except httpx.HTTPError as error:
                raise VenueUnavailableError(_reason(error)) from error
            finally:
                await response.aclose()
        return _read(response, what)


def retry_after(response: httpx.Response, default: float, now: float) -> float:
    """The seconds of a Retry-After header, which may be a number or a date; the default without one.

    Args:
        now: UTC, seconds since 1970-01-01.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return default


def _read(response: httpx.Response, what: str) -> Any:
    status = response.status_code
    if 400 <= status < 500:
        said = "a web page" if _is_page(response) else response.text[:200]
        raise VenueRefusedError(f"{what} refused ({status}): {said}", response.content)
    if status != httpx.codes.OK:
        raise VenueUnavailableError(f"{what} answered {status}")
    try:
        return json.loads(response.content, parse_float=str)
    except (ValueError, RecursionError) as error:
        found = "a web page instead of JSON" if _is_page(response) else "something that is no JSON"
        raise VenueUnavailableError(f"{what} answered with {found}") from error


def _is_page(response: httpx.Response) -> bool:
    return response.content.lstrip()[:1] == b"<"


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error).strip().rstrip(".") or type(error).__name__
