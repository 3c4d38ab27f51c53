"""The replay exchange's Hyperliquid: all its sockets, and the streams that feed them."""

from __future__ import annotations

from collections import defaultdict

from btc_pipeline.exchanges.replay.faults import Fault, FaultKind
from btc_pipeline.exchanges.replay.http import HttpRequest, Reply
from btc_pipeline.exchanges.replay.hyperliquid_feed import CoinFeed
from btc_pipeline.exchanges.replay.hyperliquid_info import BAD_GATEWAY, HyperliquidInfo
from btc_pipeline.exchanges.replay.hyperliquid_socket import HyperliquidSocket
from btc_pipeline.exchanges.replay.hyperliquid_text import Subscription
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import Refusal, WebSocketTalk, text_frame


class HyperliquidWire:
    """One wire over a venue; a server asks it what to say."""

    socket_path = "/ws"

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._info = HyperliquidInfo(venue)
        self._sockets: set[HyperliquidSocket] = set()
        self._subscribers: dict[Subscription, list[HyperliquidSocket]] = {}
        self._wanted: dict[str, list[Subscription]] = defaultdict(list)
        self._feeds: dict[str, CoinFeed] = {}
        self._late: list[tuple[Subscription, bytes]] = []
        limits = venue.behaviour
        self._dials: dict[str, SlidingWindow] = defaultdict(lambda: SlidingWindow(limits.max_dials_per_minute))
        self._messages: dict[str, SlidingWindow] = defaultdict(lambda: SlidingWindow(limits.max_messages_per_minute))

    @property
    def open_sockets(self) -> int:
        return len(self._sockets)

    def rest(self, request: HttpRequest) -> Reply:
        return self._info.answer(request)

    def admit(self, peer: str) -> Refusal:
        """Counts a dial; says what it is answered instead of a socket."""
        refusal = self._refusal(peer)
        self._venue.counters.dials.append(self._venue.true_now())
        if refusal is None:
            self._venue.counters.sockets += 1
        else:
            self._venue.counters.dials_refused += 1
        return refusal

    def socket(self, talk: WebSocketTalk) -> HyperliquidSocket:
        socket = HyperliquidSocket(talk, self._venue, self)
        self._sockets.add(socket)
        return socket

    def fault_began(self, fault: Fault) -> None:
        sockets = list(self._sockets)
        if fault.kind is FaultKind.DISCONNECT:
            for socket in sockets:
                if fault.value:
                    self._venue.counters.cuts["fault"] += 1
                    socket.talk.close(int(fault.value))
                else:
                    socket.cut("fault")
        elif fault.kind is FaultKind.HALF_OPEN:
            for socket in sockets:
                socket.talk.line.freeze()
        elif fault.kind is FaultKind.SILENT_DEATH:
            for socket in sockets:
                socket.dead |= socket.subscriptions
        elif fault.kind is FaultKind.SKEW:
            self._retime()

    def fault_ended(self, fault: Fault) -> None:
        if fault.kind is FaultKind.HALF_OPEN:
            for socket in list(self._sockets):
                if socket.frozen:
                    socket.cut("fault")
        elif fault.kind is FaultKind.SKEW:
            self._retime()
        elif fault.kind is FaultKind.LAG:
            late, self._late = self._late, []
            for subscription, payload in late:
                self._deliver(subscription, payload)

    def stop(self) -> None:
        for feed in self._feeds.values():
            feed.stop()

    # What a socket asks.

    def may_send(self, peer: str) -> bool:
        return self._messages[peer].take(self._venue.true_now())

    def may_subscribe(self, peer: str) -> bool:
        taken = sum(len(socket.subscriptions) for socket in self._sockets if socket.peer == peer)
        return taken < self._venue.behaviour.max_subscriptions

    def add(self, socket: HyperliquidSocket, subscription: Subscription) -> bytes | None:
        listing = self._venue.tape.listings[subscription.coin]
        if listing.delisted:
            return None
        if subscription not in self._subscribers:
            self._subscribers[subscription] = []
            self._wanted[subscription.coin].append(subscription)
        self._subscribers[subscription].append(socket)
        feed = self._feeds.get(subscription.coin)
        if feed is None:
            wanted = self._wanted[subscription.coin]
            feed = self._feeds[subscription.coin] = CoinFeed(self._venue, listing, wanted, self._deliver)
        if not feed.running:
            feed.start()
        return feed.first_frame(subscription)

    def remove(self, socket: HyperliquidSocket, subscription: Subscription) -> None:
        subscribers = self._subscribers.get(subscription, [])
        if socket not in subscribers:
            return
        subscribers.remove(socket)
        if not subscribers:
            del self._subscribers[subscription]
            self._wanted[subscription.coin].remove(subscription)
            if not self._wanted[subscription.coin]:
                self._feeds[subscription.coin].stop()

    def gone(self, socket: HyperliquidSocket) -> None:
        self._sockets.discard(socket)
        for subscription in socket.subscriptions:
            self.remove(socket, subscription)

    def _refusal(self, peer: str) -> Refusal:
        limits = self._venue.behaviour
        if self._venue.is_on(FaultKind.REFUSE) or self._venue.is_on(FaultKind.DISCONNECT):
            return (0, "")
        if self._venue.is_on(FaultKind.BAD_GATEWAY):
            return (502, BAD_GATEWAY.body.decode())
        # Sockets that hang half-open are gone for the exchange.
        open_ = sum(socket.peer == peer and not socket.frozen for socket in self._sockets)
        if open_ >= limits.max_connections or not self._dials[peer].take(self._venue.true_now()):
            return (limits.refusal_status or 0, "null")
        return None

    def _retime(self) -> None:
        for feed in self._feeds.values():
            feed.retime()

    def _deliver(self, subscription: Subscription, payload: bytes) -> None:
        if self._venue.is_on(FaultKind.STALL):
            self._venue.counters.frames_sent["withheld"] += 1
            return
        if self._venue.is_on(FaultKind.LAG):
            self._late.append((subscription, payload))
            return
        frame = text_frame(payload)
        for socket in self._subscribers.get(subscription, ()):
            if subscription not in socket.dead:
                socket.send(subscription.type, frame)
