"""One client's socket as Binance keeps it: its methods, its pings, and the end after a day."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from btc_pipeline.exchanges.replay.binance_flavour import Flavour
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.instruments import instruments
from btc_pipeline.exchanges.replay.limits import SlidingWindow
from btc_pipeline.exchanges.replay.market import epoch_ms
from btc_pipeline.exchanges.replay.socket import Subscribers, WireSocket
from btc_pipeline.exchanges.replay.subscription import Subscription
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.exchanges.replay.websocket import WebSocketTalk, text_frame

_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS")
_KLINES: Final = "@kline_1m"
_MESSAGES_A_SECOND: Final = 5
_POLICY_VIOLATION: Final = 1008


class BinanceSocket(WireSocket):
    """A socket that is pinged, and lives for a day at most."""

    def __init__(
        self,
        talk: WebSocketTalk,
        venue: Venue,
        subscribers: Subscribers,
        flavour: Flavour,
        streams: Sequence[str],
        *,
        silent: bool,
    ) -> None:
        """
        Args:
            streams: from the path.
            silent: whether it acknowledges everything and sends nothing.
        """
        super().__init__(talk, venue, subscribers)
        self._flavour = flavour
        self._silent = silent
        self._begun_with = streams
        self._streams: dict[str, None] = {}
        self._messages = SlidingWindow(_MESSAGES_A_SECOND, 1.0)
        self._coins = {name.lower(): listing.name for name, listing in instruments(venue.tape.listings).items()}

    def opened(self) -> None:
        behaviour = self._venue.behaviour
        end = behaviour.lifetime_seconds
        self._timers["warning"] = self._loop.call_later(max(0.0, end - behaviour.warning_seconds), self.warn)
        self._timers["lifetime"] = self._loop.call_later(end, self.cut, "lifetime")
        self._timers["ping"] = self._loop.call_later(self._flavour.ping_seconds, self._ping)
        for stream in self._begun_with:
            self._subscribe(stream)

    def warn(self) -> None:
        self.warned = True
        text = f'{{"e":"serverShutdown","E":{epoch_ms(self._venue.now())}}}'
        self.send("serverShutdown", text_frame(text.encode()))

    def pinged(self, payload: bytes) -> None:
        if self._may_send() and not self._venue.is_on(FaultKind.NO_PONG):
            self.talk.send_pong(payload)

    def ponged(self) -> None:
        if self._may_send() and (waiting := self._timers.pop("pong", None)) is not None:
            waiting.cancel()

    def received(self, text: str) -> None:
        if not self._may_send():
            return
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            self._venue.counters.received["unreadable"] += 1
            self._say({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}})
            return
        fields = message if isinstance(message, dict) else {}
        method, params, number = fields.get("method"), fields.get("params", []), fields.get("id")
        if method not in _METHODS:
            self._venue.counters.received["unreadable"] += 1
            words = f"Invalid request: unknown variant `{method}`, expected one of {', '.join(_METHODS)}"
            self._say({"error": {"code": 2, "msg": words}, "id": number})
            return
        self._venue.counters.received[method] += 1
        if method == "LIST_SUBSCRIPTIONS":
            self._say({"result": list(self._streams), "id": number})
            return
        if not isinstance(params, list) or not all(isinstance(stream, str) for stream in params):
            self._say({"error": {"code": 2, "msg": "Invalid request: request ID or params malformed"}, "id": number})
            return
        self._say({"result": None, "id": number})
        for stream in params:
            if method == "SUBSCRIBE":
                self._subscribe(stream)
            else:
                self._unsubscribe(stream)

    def _subscribe(self, stream: str) -> None:
        """What does not exist is taken, too, and stays silent."""
        if stream in self._streams:
            return
        self._streams[stream] = None
        subscription = self._subscription(stream)
        if subscription is not None and not self._silent:
            self._subscribers.add(self, subscription)

    def _unsubscribe(self, stream: str) -> None:
        self._streams.pop(stream, None)
        subscription = self._subscription(stream)
        if subscription in self.subscriptions:
            self._subscribers.remove(self, subscription)

    def _subscription(self, stream: str) -> Subscription | None:
        coin = self._coins.get(stream.removesuffix(_KLINES)) if stream.endswith(_KLINES) else None
        return None if coin is None else Subscription("candle", coin, "1m")

    def _say(self, message: Any) -> None:
        self.send("response", text_frame(json.dumps(message, separators=(",", ":")).encode()))

    def _may_send(self) -> bool:
        """Notes a frame of the client; one too many within a second ends the socket."""
        if self._messages.take(self._venue.true_now()):
            return True
        self._venue.counters.cuts["messages"] += 1
        self.talk.close(_POLICY_VIOLATION)
        return False

    def _ping(self) -> None:
        self._timers["ping"] = self._loop.call_later(self._flavour.ping_seconds, self._ping)
        if self.frozen:
            return
        self.talk.send_ping(str(epoch_ms(self._venue.now())).encode())
        if "pong" not in self._timers:
            self._timers["pong"] = self._loop.call_later(self._flavour.pong_seconds, self._unanswered)

    def _unanswered(self) -> None:
        if not self.frozen:
            self.cut("no pong")
