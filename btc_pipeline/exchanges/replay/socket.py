"""One client's socket, whatever is spoken on it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Protocol

from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk


class Subscribers(Protocol):
    """Who keeps all sockets."""

    def subscriptions_of(self, peer: str) -> int:
        """How many subscriptions a client has."""

    def add(self, socket: WireSocket, subscription: Subscription) -> None:
        """Enters a subscription, and tells it what it begins with."""

    def remove(self, socket: WireSocket, subscription: Subscription) -> None: ...
    def gone(self, socket: WireSocket) -> None: ...


class WireSocket(ABC):
    """A socket from its handshake to its end."""

    def __init__(self, talk: WebSocketTalk, venue: Venue, subscribers: Subscribers) -> None:
        self.talk = talk
        self.subscriptions: set[Subscription] = set()
        self.dead: set[Subscription] = set()
        self.warned = False
        self._venue = venue
        self._subscribers = subscribers
        self._loop = asyncio.get_running_loop()
        self._last_sent = self._loop.time()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def peer(self) -> str:
        return self.talk.line.peer

    @property
    def frozen(self) -> bool:
        return self.talk.line.frozen

    @abstractmethod
    def opened(self) -> None:
        """The handshake is done."""

    @abstractmethod
    def received(self, text: str) -> None:
        """A message of the client."""

    @abstractmethod
    def pinged(self, payload: bytes) -> None:
        """A ping frame of the client."""

    def ponged(self) -> None:  # noqa: B027 most need none
        """A pong frame of the client."""

    def warn(self) -> None:  # noqa: B027 most have none
        """Tells that the server will shut down, if the venue has words for it."""

    def ended(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._subscribers.gone(self)

    def send(self, channel: str, frame: bytes) -> None:
        """Sends bytes that `text_frame` made."""
        if self.frozen:
            return
        self._last_sent = self._loop.time()
        self._venue.counters.frames_sent[channel] += 1
        self.talk.send_bytes(frame)

    def cut(self, reason: str) -> None:
        """Ends the connection without a close frame."""
        self._venue.counters.cuts[reason] += 1
        self.talk.abort()
