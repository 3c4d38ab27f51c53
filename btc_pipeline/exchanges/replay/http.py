"""HTTP/1.1 on a connection: one request after the other, each answered at once, late, in part or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import h11

_LARGEST_BODY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request.

    Attributes:
        path: without query.
        query: the part after the question mark, as sent.
        headers: by name in small letters.
        peer: the address of who asks.
    """

    method: str
    path: str
    body: bytes
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        delay: seconds before it is sent.
        cut: it ends in the middle of the body, without a word; with status 0 there is no answer at all.
        headers: beside content type and length.
        pause: seconds for which it tells its peer not to ask again.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    delay: float = 0.0
    cut: bool = False
    headers: Sequence[tuple[str, str]] = ()
    pause: float = 0.0


Answer = Reply | asyncio.Future[Reply]
"""A future for what takes long; the connection reads no further request before it is there."""

CUT: Final = Reply(0, b"", cut=True)


class Line(Protocol):
    """A connection as those see it who talk on it."""

    peer: str
    frozen: bool

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def freeze(self) -> None: ...


class HttpTalk:
    """Requests of one connection."""

    def __init__(self, line: Line, answer: Callable[[HttpRequest], Answer]) -> None:
        self._line = line
        self._answer = answer
        self._http = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = b""
        self._later: asyncio.TimerHandle | None = None
        self._made: asyncio.Future[Reply] | None = None
        self._lost = False

    def receive(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            if self._http.our_state is h11.IDLE:
                self._send(Reply(error.error_status_hint, b"bad request", "text/plain"))
            else:
                self._line.abort()

    def lost(self) -> None:
        self._lost = True
        if self._later:
            self._later.cancel()

    def _read(self) -> None:
        while self._later is None and self._made is None:
            event = self._http.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > _LARGEST_BODY:
                    self._line.abort()
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._finish()
            else:
                self._line.close()
                return

    def _finish(self) -> None:
        assert self._request is not None  # noqa: S101 h11 gives a request before its end
        path, _, query = self._request.target.decode("ascii", "replace").partition("?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._request.headers}
        method = self._request.method.decode("ascii")
        answer = self._answer(HttpRequest(method, path, self._body, query, headers, self._line.peer))
        if isinstance(answer, Reply):
            self._give(answer)
        else:
            self._made = answer
            answer.add_done_callback(self._give_made)

    def _give(self, reply: Reply) -> None:
        if reply.delay > 0:
            self._later = asyncio.get_running_loop().call_later(reply.delay, self._send_late, reply)
        else:
            self._send(reply)

    def _give_made(self, made: asyncio.Future[Reply]) -> None:
        self._made = None
        if made.cancelled():
            return
        if made.exception() is not None:
            self._line.abort()
        if not self._lost:
            self._give(made.result())
            self._read()

    def _send_late(self, reply: Reply) -> None:
        self._later = None
        self._send(reply)
        self._read()

    def _send(self, reply: Reply) -> None:
        if reply.cut and not reply.status:
            self._line.abort()
            return
        headers = [("content-type", reply.content_type), ("content-length", str(len(reply.body))), *reply.headers]
        body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
        head = self._http.send(h11.Response(status_code=reply.status, headers=headers)) or b""
        self._line.write(head + (self._http.send(h11.Data(data=body)) or b""))
        if reply.cut:
            self._line.close()
            return
        self._line.write(self._http.send(h11.EndOfMessage()) or b"")
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self._line.close()
