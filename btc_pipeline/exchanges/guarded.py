"""A user's own clients, held to what they promise: what they raise or answer amiss is the venue's fault, in words.

Otherwise one mistake in a venue's file would end the collector, and the minutes of every other venue with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import structlog

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.addresses import Addresses
from btc_pipeline.exchanges.base import (
    Coin,
    History,
    StreamEvent,
    Unreadable,
    VenueError,
    VenueRest,
    VenueStream,
    VenueUnavailableError,
)
from btc_pipeline.exchanges.provider import Provider
from btc_pipeline.plugins import line_of
from btc_pipeline.timing.clock import Clock

T = TypeVar("T")

log = structlog.get_logger(__name__)

REST: Final = ("venue", "retention_minutes", "coins", "history", "time", "close")
STREAM: Final = ("venue", "url", "ping_seconds", "subscribe", "subscribe_trades", "ping", "read")


def guarded(provider: Provider, file: Path) -> Provider:
    """A user's venue, whose clients are guarded.

    Raises (when a client is made):
        UserError: that fails, or makes something else.
    """

    def rest(at: Addresses, clock: Clock) -> VenueRest:
        call = f"venue {provider.name!r} of {file}: rest(addresses, clock)"
        return GuardedRest(_made(lambda: provider.rest(at, clock), call, "VenueRest", REST, file), file)

    def stream(at: Addresses) -> VenueStream:
        call = f"venue {provider.name!r} of {file}: stream(addresses)"
        return GuardedStream(_made(lambda: provider.stream(at), call, "VenueStream", STREAM, file), file)

    return replace(provider, rest=rest, stream=stream)


def _made(make: Callable[[], T], call: str, wanted: str, members: Sequence[str], file: Path) -> T:
    try:
        client = make()
    except Exception as error:
        raise UserError(f"{call} fails{line_of(error, file)}: {type(error).__name__}: {error}") from error
    lacking = [name for name in members if not hasattr(client, name)]
    if lacking:
        given = "None" if client is None else type(client).__name__
        client_of = f"btc_pipeline.exchanges.base.{wanted}"
        raise UserError(f"{call} gives {given}; wanted is a client, a {client_of}, and it lacks {', '.join(lacking)}.")
    return client


class GuardedRest:
    """A user's REST client. Whatever is wrong with it is a `VenueError` that names its file and line."""

    def __init__(self, rest: VenueRest, file: Path) -> None:
        self.venue = rest.venue
        self._rest = rest
        self._file = file

    @property
    def retention_minutes(self) -> int | None:
        return self._rest.retention_minutes

    async def coins(self, wanted: Collection[str]) -> dict[str, Coin]:
        with _faults_in(self._file):
            found = _a(await self._rest.coins(wanted), Mapping, "coins")
            return {
                _a(name, str, "a name of coins"): _a(coin, Coin, "a value of coins") for name, coin in found.items()
            }

    async def history(self, coin: str, start: int, end: int) -> History:
        with _faults_in(self._file):
            return _a(await self._rest.history(coin, start, end), History, "history")

    async def time(self) -> float:
        with _faults_in(self._file):
            return float(await self._rest.time())

    async def close(self) -> None:
        try:
            with _faults_in(self._file):
                await self._rest.close()
        except VenueError as error:
            log.warning("not closed", venue=self.venue, reason=str(error))


class GuardedStream:
    """A user's WebSocket client. A frame that it fails on is a row that could not be taken; the rest as of REST."""

    def __init__(self, stream: VenueStream, file: Path) -> None:
        self.venue = stream.venue
        self.url = stream.url
        self.ping_seconds = stream.ping_seconds
        self._stream = stream
        self._file = file

    def subscribe(self, coin: str) -> str:
        with _faults_in(self._file):
            return self._stream.subscribe(coin)

    def subscribe_trades(self, coin: str) -> str | None:
        with _faults_in(self._file):
            return self._stream.subscribe_trades(coin)

    def ping(self) -> str:
        with _faults_in(self._file):
            return self._stream.ping()

    def read(self, frame: str | bytes) -> Sequence[StreamEvent]:
        try:
            with _faults_in(self._file):
                return [_a(event, StreamEvent, "an event of read") for event in self._stream.read(frame)]
        except VenueError as error:
            text = frame if isinstance(frame, str) else frame.decode(errors="replace")
            return [Unreadable(str(error), text)]


@contextmanager
def _faults_in(file: Path) -> Iterator[None]:
    try:
        yield
    except (VenueError, MemoryError):
        raise
    except Exception as error:
        raise VenueUnavailableError(f"{file.name}{line_of(error, file)}: {type(error).__name__}: {error}") from error


def _a(answer: T, wanted: type | object, what: str) -> T:
    """An answer of the wanted kind."""
    if not isinstance(answer, wanted):  # type: ignore[arg-type]
        raise TypeError(f"{what} is a {type(answer).__name__}; wanted is {getattr(wanted, '__name__', wanted)}")
    return answer
