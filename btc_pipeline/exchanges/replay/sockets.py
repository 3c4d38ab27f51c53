"""All sockets of a wire: who may have one, who is subscribed to what, and what faults do to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection

from btc_pipeline.exchanges.replay.faults import Fault, FaultKind
from btc_pipeline.exchanges.replay.feed import Feed
from btc_pipeline.exchanges.replay.http import Answer, HttpRequest
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.market import Listing
from btc_pipeline.exchanges.replay.rest import BAD_GATEWAY
from btc_pipeline.exchanges.replay.socket import WireSocket
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import Refusal, WebSocketTalk, text_frame


class Wire(ABC):
    """One venue's wire; a server asks it what to say."""

    def __init__(self, venue: Venue, max_connections: int, dials: SlidingWindow) -> None:
        """
        Args:
            max_connections: sockets that a peer may have at once.
            dials: how often a peer may ask for one; a pattern, each peer gets its own.
        """
        self.venue = venue
        self._max_connections = max_connections
        self._sockets: set[WireSocket] = set()
        self._subscribers: dict[Subscription, list[WireSocket]] = {}
        self._wanted: dict[str, list[Subscription]] = defaultdict(list)
        self._feeds: dict[str, Feed] = {}
        self._late: list[tuple[Subscription, bytes]] = []
        self._dials: dict[str, SlidingWindow] = defaultdict(dials.copy)

    @property
    def open_sockets(self) -> int:
        return len(self._sockets)

    @abstractmethod
    def takes(self, path: str) -> bool:
        """Whether a path is one for sockets."""

    @abstractmethod
    def serves(self, path: str) -> bool:
        """Whether a request to a path is one to this venue."""

    @abstractmethod
    def rest(self, request: HttpRequest) -> Answer:
        """Answers a request."""

    @abstractmethod
    def make_socket(self, talk: WebSocketTalk, path: str) -> WireSocket:
        """A socket that was asked for at a path."""

    @abstractmethod
    def make_feed(self, listing: Listing, wanted: Collection[Subscription]) -> Feed:
        """The stream of a coin, for its subscriptions."""

    def admit(self, peer: str) -> Refusal:
        """Counts a dial; says what it is answered instead of a socket."""
        refusal = self._refusal(peer)
        self.venue.counters.dials.append(self.venue.true_now())
        if refusal is None:
            self.venue.counters.sockets += 1
        else:
            self.venue.counters.dials_refused += 1
        return refusal

    def socket(self, talk: WebSocketTalk, path: str) -> WireSocket:
        socket = self.make_socket(talk, path)
        self._sockets.add(socket)
        return socket

    def fault_began(self, fault: Fault) -> None:
        sockets = list(self._sockets)
        if fault.kind is FaultKind.DISCONNECT:
            for socket in sockets:
                if fault.value:
                    self.venue.counters.cuts["fault"] += 1
                    socket.talk.close(int(fault.value))
                else:
                    socket.cut("fault")
        elif fault.kind is FaultKind.HALF_OPEN:
            for socket in sockets:
                socket.talk.line.freeze()
        elif fault.kind is FaultKind.SILENT_DEATH:
            for socket in sockets:
                socket.dead |= socket.subscriptions
        elif fault.kind is FaultKind.SERVER_SHUTDOWN:
            for socket in sockets:
                socket.warn()
        elif fault.kind is FaultKind.SKEW:
            self._retime()

    def fault_ended(self, fault: Fault) -> None:
        if fault.kind is FaultKind.HALF_OPEN:
            for socket in list(self._sockets):
                if socket.frozen:
                    socket.cut("fault")
        elif fault.kind is FaultKind.SERVER_SHUTDOWN:
            for socket in list(self._sockets):
                if socket.warned:
                    socket.cut("shutdown")
        elif fault.kind is FaultKind.SKEW:
            self._retime()
        elif fault.kind is FaultKind.LAG:
            late, self._late = self._late, []
            for subscription, payload in late:
                self.deliver(subscription, payload)

    def stop(self) -> None:
        for feed in self._feeds.values():
            feed.stop()

    def deliver(self, subscription: Subscription, payload: bytes) -> None:
        """Sends a message to all subscribers, as far as faults let it through."""
        if self.venue.is_on(FaultKind.STALL):
            self.venue.counters.frames_sent["withheld"] += 1
            return
        if self.venue.is_on(FaultKind.LAG):
            self._late.append((subscription, payload))
            return
        frame = text_frame(payload)
        for socket in self._subscribers.get(subscription, ()):
            if subscription not in socket.dead:
                socket.send(subscription.type, frame)

    # What a socket asks.

    def subscriptions_of(self, peer: str) -> int:
        return sum(len(socket.subscriptions) for socket in self._sockets if socket.peer == peer)

    def add(self, socket: WireSocket, subscription: Subscription) -> None:
        """Enters a subscription, and tells it what it begins with."""
        self.venue.counters.subscriptions[f"{subscription.type} {subscription.coin}"] += 1
        socket.subscriptions.add(subscription)
        first = self._enter(socket, subscription)
        if self.venue.is_on(FaultKind.SILENT_DEATH):
            socket.dead.add(subscription)
        elif first is not None and not self.venue.is_on(FaultKind.STALL):
            socket.send(subscription.type, text_frame(first))

    def remove(self, socket: WireSocket, subscription: Subscription) -> None:
        socket.subscriptions.discard(subscription)
        socket.dead.discard(subscription)
        subscribers = self._subscribers.get(subscription, [])
        if socket not in subscribers:
            return
        subscribers.remove(socket)
        if not subscribers:
            del self._subscribers[subscription]
            self._wanted[subscription.coin].remove(subscription)
            if not self._wanted[subscription.coin]:
                self._feeds[subscription.coin].stop()

    def gone(self, socket: WireSocket) -> None:
        self._sockets.discard(socket)
        for subscription in list(socket.subscriptions):
            self.remove(socket, subscription)

    def _enter(self, socket: WireSocket, subscription: Subscription) -> bytes | None:
        listing = self.venue.tape.listings[subscription.coin]
        if listing.delisted:
            return None
        if subscription not in self._subscribers:
            self._subscribers[subscription] = []
            self._wanted[subscription.coin].append(subscription)
        self._subscribers[subscription].append(socket)
        feed = self._feeds.get(subscription.coin)
        if feed is None:
            feed = self._feeds[subscription.coin] = self.make_feed(listing, self._wanted[subscription.coin])
        if not feed.running:
            feed.start()
        return feed.first_frame(subscription)

    def _refusal(self, peer: str) -> Refusal:
        if self.venue.is_on(FaultKind.REFUSE) or self.venue.is_on(FaultKind.DISCONNECT):
            return (0, "")
        if self.venue.is_on(FaultKind.BAD_GATEWAY):
            return (502, BAD_GATEWAY.body.decode())
        # Sockets that hang half-open are gone for the exchange.
        open_ = sum(socket.peer == peer and not socket.frozen for socket in self._sockets)
        if open_ >= self._max_connections or not self._dials[peer].take(self.venue.true_now()):
            return (self.venue.behaviour.refusal_status or 0, "null")
        return None

    def _retime(self) -> None:
        for feed in self._feeds.values():
            feed.retime()
