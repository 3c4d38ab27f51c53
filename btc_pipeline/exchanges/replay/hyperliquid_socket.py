"""One client's socket as Hyperliquid keeps it: its methods, its errors in words, its silence rule."""

from __future__ import annotations

import json

from btc_pipeline.exchanges.replay.behaviour import PongFrames
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.hyperliquid_text import (
    GREETING,
    PONG,
    compact,
    echo,
    error_frame,
    response_frame,
)
from btc_pipeline.exchanges.replay.intervals import MINUTES_OF
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.socket import Subscribers, WireSocket
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk, text_frame


class HyperliquidSocket(WireSocket):
    """A socket that is cut when it was sent nothing for a minute."""

    def __init__(self, talk: WebSocketTalk, venue: Venue, subscribers: Subscribers, messages: SlidingWindow) -> None:
        """
        Args:
            messages: what its client sends, over all of its sockets.
        """
        super().__init__(talk, venue, subscribers)
        self._messages = messages

    def opened(self) -> None:
        self._watch_silence()
        if self._venue.behaviour.greeting:
            self.send("greeting", text_frame(GREETING))

    def pinged(self, payload: bytes) -> None:
        answer = self._venue.behaviour.pong_frames
        if answer is PongFrames.IGNORED or self._venue.is_on(FaultKind.NO_PONG):
            return
        if answer is PongFrames.COUNTED:
            self._last_sent = self._loop.time()
        self.talk.send_pong(payload)

    def received(self, text: str) -> None:
        if not self._messages.take(self._venue.true_now()):
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
        most = self._venue.behaviour.max_subscriptions
        if subscription in self.subscriptions:
            self._say(f"Already subscribed: {compact(echo(subscription)).decode()}")
        elif self._subscribers.subscriptions_of(self.peer) >= most:
            self._say(f"Cannot subscribe to more than {most} channels.")
        elif subscription.coin not in self._venue.tape.listings:
            if "poison" not in self._timers:
                seconds = self._venue.behaviour.poison_seconds
                self._timers["poison"] = self._loop.call_later(seconds, self.cut, "poison coin")
        else:
            self.send("subscriptionResponse", text_frame(response_frame("subscribe", subscription)))
            self._subscribers.add(self, subscription)

    def _unsubscribe(self, subscription: Subscription) -> None:
        if subscription not in self.subscriptions:
            self._say(f"Already unsubscribed: {compact(echo(subscription)).decode()}")
            return
        self._subscribers.remove(self, subscription)
        self.send("subscriptionResponse", text_frame(response_frame("unsubscribe", subscription)))

    def _say(self, text: str) -> None:
        self.send("error", text_frame(error_frame(text)))

    def _watch_silence(self) -> None:
        """Cuts the socket at the silence rule's end; wakes once in that time, not at every frame."""
        end = self._last_sent + self._venue.behaviour.silence_seconds
        if self._loop.time() < end:
            self._timers["silence"] = self._loop.call_at(end, self._watch_silence)
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
