"""A WebSocket on a connection, without I/O of its own: handshake, whole messages, pings, and ends of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from btc_pipeline.exchanges.replay.http import Line


class Socket(Protocol):
    """What becomes of a socket's events."""

    def opened(self) -> None: ...
    def received(self, text: str) -> None: ...
    def pinged(self, payload: bytes) -> None: ...
    def ponged(self) -> None: ...
    def ended(self) -> None: ...


Refusal = tuple[int, str] | None
"""A status and a body in place of a socket; status 0 cuts the connection; None takes the socket."""

_WHOLE_PONG: Final = 0x80 | Opcode.PONG


def text_frame(payload: bytes) -> bytes:
    """A message as it goes over the wire; the same bytes go to every socket."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


class WebSocketTalk:
    """The server's end of one socket."""

    def __init__(self, line: Line, socket: Callable[[WebSocketTalk], Socket], admit: Callable[[], Refusal]) -> None:
        """
        Args:
            admit: asked once, when the handshake is there.
        """
        self.line = line
        self._protocol = ServerProtocol(max_size=1 << 20)
        self._make = socket
        self._admit = admit
        self._socket: Socket | None = None
        self._parts: list[bytes] = []

    def receive(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()

    def lost(self) -> None:
        if self._socket is not None:
            self._socket.ended()
            self._socket = None

    def send_bytes(self, frame: bytes) -> None:
        """Sends what `text_frame` made, or anything else."""
        if self._protocol.state is State.OPEN:
            self.line.write(frame)

    def send_pong(self, payload: bytes) -> None:
        self.send_bytes(Frame(Opcode.PONG, payload).serialize(mask=False))

    def send_ping(self, payload: bytes) -> None:
        self.send_bytes(Frame(Opcode.PING, payload).serialize(mask=False))

    def close(self, code: int) -> None:
        """Ends the socket with a close frame."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code)
            self._flush()

    def abort(self) -> None:
        """Ends the connection without a word."""
        self.line.abort()

    def _shake_hands(self, request: Request) -> None:
        refusal = self._admit()
        if refusal is None:
            response = self._protocol.accept(request)
        elif refusal[0]:
            response = self._protocol.reject(refusal[0], refusal[1])
        else:
            self.line.abort()
            return
        self._protocol.send_response(response)
        self._flush()
        if self._protocol.state is State.OPEN:
            self._socket = self._make(self)
            self._socket.opened()

    def _take(self, frame: Frame) -> None:
        if self._socket is None:
            return
        if frame.opcode in (Opcode.TEXT, Opcode.CONT, Opcode.BINARY):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                message, self._parts = b"".join(self._parts), []
                self._socket.received(message.decode("utf-8", "replace"))
        elif frame.opcode is Opcode.PING:
            self._socket.pinged(bytes(frame.data))
        elif frame.opcode is Opcode.PONG:
            self._socket.ponged()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            # The protocol answers pings by itself; here the socket decides whether it does.
            if not data:
                self.line.close()
            elif data[0] != _WHOLE_PONG:
                self.line.write(data)
