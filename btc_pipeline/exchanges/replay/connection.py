"""One TCP connection: told apart by its first line, and ended, frozen or cut at will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

_LARGEST_BACKLOG: Final = 4 << 20
_LONGEST_FIRST_LINE: Final = 16_384


class Talk(Protocol):
    """What is spoken on a connection."""

    def receive(self, data: bytes) -> None: ...
    def lost(self) -> None: ...


class Connection(asyncio.Protocol):
    """The server's end of one connection."""

    def __init__(self, begin: Callable[[Connection, str], Talk], everyone: set[Connection]) -> None:
        """
        Args:
            begin: starts the talk, given the first line of the request.
            everyone: it is in there from its beginning to its end.
        """
        self._begin = begin
        self._everyone = everyone
        self._transport: asyncio.Transport | None = None
        self._talk: Talk | None = None
        self._head = b""
        self.peer = ""
        self.frozen = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 a stream's protocol
        self._transport = transport
        self._everyone.add(self)
        transport.set_write_buffer_limits(high=_LARGEST_BACKLOG)
        self.peer = str(transport.get_extra_info("peername", ("",))[0])

    def data_received(self, data: bytes) -> None:
        if self.frozen:
            return
        if self._talk is None:
            self._head += data
            line, found, _ = self._head.partition(b"\r\n")
            if not found:
                if len(line) > _LONGEST_FIRST_LINE:
                    self.abort()
                return
            self._talk = self._begin(self, line.decode("latin-1"))
            data, self._head = self._head, b""
        self._talk.receive(data)

    def pause_writing(self) -> None:
        """A client that does not read: a real exchange does not keep frames for it without end, either."""
        self.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._talk is not None:
            self._talk.lost()
        self._everyone.discard(self)

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self.frozen and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Ends it once everything is sent."""
        if self._transport is not None and not self.frozen:
            self._transport.close()

    def abort(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()

    def freeze(self) -> None:
        """Neither reads nor writes any more, and stays."""
        if self._transport is not None and not self._transport.is_closing():
            self.frozen = True
            self._transport.pause_reading()
