"""One client's socket as Bybit keeps it: its operations, its errors in words, its rule about silent clients."""

from __future__ import annotations

import json
from typing import Any, Final

from btc_pipeline.exchanges.replay.bybit_text import KLINE_TOPIC, TRADE_TOPIC, compact, uuid_text
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.instruments import instruments
from btc_pipeline.exchanges.replay.noise import mixed
from btc_pipeline.exchanges.replay.socket import Subscribers, WireSocket
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk, text_frame

_LONGEST_ARGS: Final = 21_000


class BybitSocket(WireSocket):
    """A socket that is never pinged, and is cut when its client says nothing for a minute."""

    def __init__(self, talk: WebSocketTalk, venue: Venue, subscribers: Subscribers, number: int) -> None:
        """
        Args:
            number: makes its `conn_id`.
        """
        super().__init__(talk, venue, subscribers)
        self._id = uuid_text(mixed(0, number), mixed(1, number))
        self._coins = {name: listing.name for name, listing in instruments(venue.tape.listings).items()}
        self._last_heard = self._loop.time()

    def opened(self) -> None:
        self._watch_silence()

    def pinged(self, payload: bytes) -> None:
        self._last_heard = self._loop.time()
        if not self._venue.is_on(FaultKind.NO_PONG):
            self.talk.send_pong(payload)

    def received(self, text: str) -> None:
        self._last_heard = self._loop.time()
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        fields = message if isinstance(message, dict) else {}
        op, args, number = fields.get("op"), _topics(fields.get("args")), fields.get("req_id", "")
        if op == "ping":
            self._venue.counters.received[op] += 1
            if not self._venue.is_on(FaultKind.NO_PONG):
                self._say("pong", number, op, channel="pong")
            return
        if op not in ("subscribe", "unsubscribe") or not args:
            self._venue.counters.received["unreadable"] += 1
            self._say("error:request invalid", number, op if isinstance(op, str) else "", success=False)
            return
        self._venue.counters.received[op] += 1
        if sum(len(topic) for topic in args) > _LONGEST_ARGS:
            self._say(f"error:args longer than {_LONGEST_ARGS} characters", number, op, success=False)
            return
        self._enter(op, args, number)

    def _enter(self, op: str, topics: list[str], number: Any) -> None:
        """All topics of a request, or none."""
        found = {topic: self._subscription(topic) for topic in topics}
        for topic, subscription in found.items():
            words = None
            if subscription is None:
                words = f"error:handler not found,topic:{topic}"
            elif op == "subscribe" and subscription in self.subscriptions:
                words = f"error:already subscribed,topic:{topic}"
            if words is not None:
                self._say(words, number, op, success=False)
                return
        self._say("", number, op)
        for subscription in found.values():
            if subscription is None:
                continue
            if op == "subscribe":
                self._subscribers.add(self, subscription)
            else:
                self._subscribers.remove(self, subscription)

    def _subscription(self, topic: str) -> Subscription | None:
        for prefix, kind, interval in ((KLINE_TOPIC, "candle", "1m"), (TRADE_TOPIC, "trades", "")):
            coin = self._coins.get(topic.removeprefix(prefix)) if topic.startswith(prefix) else None
            if coin is not None:
                return Subscription(kind, coin, interval)
        return None

    def _say(self, words: str, number: Any, op: str, *, success: bool = True, channel: str = "response") -> None:
        answer = {"success": success, "ret_msg": words, "conn_id": self._id, "req_id": number, "op": op}
        self.send(channel, text_frame(compact(answer)))

    def _watch_silence(self) -> None:
        end = self._last_heard + self._venue.behaviour.client_silence_seconds
        if self._loop.time() < end:
            self._timers["silence"] = self._loop.call_at(end, self._watch_silence)
        elif not self.frozen:
            self.cut("silence")


def _topics(args: Any) -> list[str]:
    """The topics of a request; none if it is no list of texts."""
    return args if isinstance(args, list) and all(isinstance(topic, str) for topic in args) else []
