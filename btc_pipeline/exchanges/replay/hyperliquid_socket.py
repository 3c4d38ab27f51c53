"""One client's socket as Hyperliquid keeps it: its methods, its errors in words, its silence rule."""

from __future__ import annotations

import asyncio
import json
from typing import Protocol

from btc_pipeline.exchanges.replay.behaviour import PongFrames
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.hyperliquid_text import (
    GREETING,
    PONG,
    Subscription,
    compact,
    error_frame,
    response_frame,
)
from btc_pipeline.exchanges.replay.intervals import MINUTES_OF
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk, text_frame


class Subscribers(Protocol):
    """Who keeps all sockets."""

    def may_send(self, peer: str) -> bool:
        """Notes a message of a client; whether it is within the limit."""

    def may_subscribe(self, peer: str) -> bool:
        """Whether a client may have one more subscription."""

    def add(self, socket: HyperliquidSocket, subscription: Subscription) -> bytes | None:
        """Enters a subscription; gives what it begins with."""

    def remove(self, socket: HyperliquidSocket, subscription: Subscription) -> None: ...
    def gone(self, socket: HyperliquidSocket) -> None: ...


class HyperliquidSocket:
    """A socket from its handshake to its end."""

    def __init__(self, talk: WebSocketTalk, venue: Venue, all_of_them: Subscribers) -> None:
        self.talk = talk
        self.subscriptions: set[Subscription] = set()
        self.dead: set[Subscription] = set()
        self._venue = venue
        self._all = all_of_them
        self._loop = asyncio.get_running_loop()
        self._last_sent = self._loop.time()
        self._silence: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None

    @property
    def peer(self) -> str:
        return self.talk.line.peer

    @property
    def frozen(self) -> bool:
        return self.talk.line.frozen

    def opened(self) -> None:
        self._watch_silence()
        if self._venue.behaviour.greeting:
            self.send("greeting", text_frame(GREETING))

    def ended(self) -> None:
        for timer in (self._silence, self._end):
            if timer is not None:
                timer.cancel()
        self._all.gone(self)

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

    def pinged(self, payload: bytes) -> None:
        answer = self._venue.behaviour.pong_frames
        if answer is PongFrames.IGNORED or self._venue.is_on(FaultKind.NO_PONG):
            return
        if answer is PongFrames.COUNTED:
            self._last_sent = self._loop.time()
        self.talk.send_pong(payload)

    def received(self, text: str) -> None:
        if not self._all.may_send(self.peer):
            limit = self._venue.behaviour.max_messages_per_minute
            self._say(f"Cannot send more than {limit} messages per minute.")
            return
        try:
            method, subscription = _parse(text)
        except (ValueError, RecursionError):
            self._venue.counters.received["unreadable"] += 1
            self._say(f"Error parsing JSON into valid websocket request: {text}")
            return
        self._venue.counters.received[method] += 1
        if subscription is None:
            if not self._venue.is_on(FaultKind.NO_PONG):
                self.send("pong", text_frame(PONG))
        elif method == "subscribe":
            self._subscribe(subscription)
        else:
            self._unsubscribe(subscription)

    def _subscribe(self, subscription: Subscription) -> None:
        if subscription in self.subscriptions:
            self._say(f"Already subscribed: {compact(subscription.as_json()).decode()}")
        elif not self._all.may_subscribe(self.peer):
            self._say(f"Cannot subscribe to more than {self._venue.behaviour.max_subscriptions} channels.")
        elif subscription.coin not in self._venue.tape.listings:
            if self._end is None:
                self._end = self._loop.call_later(self._venue.behaviour.poison_seconds, self.cut, "poison coin")
        else:
            self._venue.counters.subscriptions[f"{subscription.type} {subscription.coin}"] += 1
            self.send("subscriptionResponse", text_frame(response_frame("subscribe", subscription)))
            self.subscriptions.add(subscription)
            first = self._all.add(self, subscription)
            if self._venue.is_on(FaultKind.SILENT_DEATH):
                self.dead.add(subscription)
            elif first is not None and not self._venue.is_on(FaultKind.STALL):
                self.send(subscription.type, text_frame(first))

    def _unsubscribe(self, subscription: Subscription) -> None:
        if subscription not in self.subscriptions:
            self._say(f"Already unsubscribed: {compact(subscription.as_json()).decode()}")
            return
        self.subscriptions.remove(subscription)
        self.dead.discard(subscription)
        self._all.remove(self, subscription)
        self.send("subscriptionResponse", text_frame(response_frame("unsubscribe", subscription)))

    def _say(self, text: str) -> None:
        self.send("error", text_frame(error_frame(text)))

    def _watch_silence(self) -> None:
        """Cuts the socket at the silence rule's end; wakes once in that time, not at every frame."""
        end = self._last_sent + self._venue.behaviour.silence_seconds
        if self._loop.time() < end:
            self._silence = self._loop.call_at(end, self._watch_silence)
        elif not self.frozen:
            self.cut("silence")


def _parse(text: str) -> tuple[str, Subscription | None]:
    """A client's message: its method, and the subscription unless it is a ping.

    Raises:
        ValueError: it is none.
    """
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("no object")
    method, wanted = message.get("method"), message.get("subscription")
    if method == "ping":
        return method, None
    if method not in ("subscribe", "unsubscribe") or not isinstance(wanted, dict):
        raise ValueError("no method")
    kind, coin, interval = wanted.get("type"), wanted.get("coin"), wanted.get("interval")
    if not isinstance(coin, str):
        raise ValueError("no coin")
    if kind == "trades":
        return method, Subscription("trades", coin)
    if kind != "candle" or not isinstance(interval, str) or interval not in MINUTES_OF:
        raise ValueError("no such stream")
    return method, Subscription("candle", coin, interval)
