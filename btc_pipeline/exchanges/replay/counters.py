"""What was asked of the exchange and what it did, for assertions and for a look at a running one."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

_REMEMBERED: Final = 200_000


class Request(NamedTuple):
    """A REST request: when it came (UTC seconds), what it asked for, and what became of it.

    `status` is 0 for one that was cut without an answer.
    """

    time: float
    kind: str
    status: int
    weight: int


@dataclass(slots=True)
class Counters:
    """Since the start.

    Attributes:
        dials: UTC seconds of every attempt at a socket, refused ones among them.
        requests: every REST request.
        too_soon: those of them that came although their peer had been told to wait longer.
        sockets: accepted ones.
        dials_refused: over a limit or by a fault.
        frames_sent: by channel; `withheld` are those that a fault swallowed.
        received: client messages by method.
        subscriptions: acknowledged, by type and coin.
        cuts: sockets ended by the exchange, by reason.
    """

    dials: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    too_soon: deque[Request] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    requests_by_kind: Counter[str] = field(default_factory=Counter)
    sockets: int = 0
    dials_refused: int = 0
    frames_sent: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    subscriptions: Counter[str] = field(default_factory=Counter)
    cuts: Counter[str] = field(default_factory=Counter)
    weight_used: int = 0
    rate_limited: int = 0

    def note_request(self, time: float, kind: str, status: int, weight: int) -> None:
        self.requests.append(Request(time, kind, status, weight))
        self.requests_by_kind[kind] += 1
        self.weight_used += weight
        self.rate_limited += status == 429

    def as_json(self) -> dict[str, Any]:
        """Totals."""
        return {
            "dials": len(self.dials),
            "dials_refused": self.dials_refused,
            "sockets": self.sockets,
            "cuts": dict(self.cuts),
            "received": dict(self.received),
            "subscriptions": dict(self.subscriptions),
            "frames_sent": dict(self.frames_sent),
            "requests": dict(self.requests_by_kind),
            "weight_used": self.weight_used,
            "rate_limited": self.rate_limited,
            "too_soon": len(self.too_soon),
            "most_dials_in_a_minute": most_within(self.dials, 60.0),
        }


def most_within(times: Iterable[float], seconds: float) -> int:
    """The largest number of those ascending times that lie within any `seconds`."""
    window: deque[float] = deque()
    most = 0
    for time in times:
        window.append(time)
        while window[0] <= time - seconds:
            window.popleft()
        most = max(most, len(window))
    return most
