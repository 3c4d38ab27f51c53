"""Requests of one venue: what faults make of them, whether they came during a pause, and what they cost."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Final

from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.http import CUT, Answer, HttpRequest, Reply
from btc_pipeline.exchanges.replay.venue import Venue

BAD_GATEWAY: Final = Reply(
    502,
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
    "text/html",
)
_IN_FLIGHT_SECONDS: Final = 0.25
"""A request that comes so soon after its peer was told to wait had been sent before."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A peer was told at a moment not to ask before another one (UTC seconds); `banned` by more than a 429."""

    told: float
    until: float
    banned: bool

    def ignored(self, now: float) -> bool:
        """Whether a request of now is one that its peer knew it must not make."""
        return now > self.told + _IN_FLIGHT_SECONDS


class RestDesk(ABC):
    """Answers requests, and notes them in the venue's counters."""

    server_error = Reply(500, b"null")

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._pauses: dict[str, Pause] = {}

    @abstractmethod
    def kind_of(self, request: HttpRequest) -> str:
        """What is asked for, as the counters call it."""

    @abstractmethod
    def charged(self, request: HttpRequest, kind: str) -> tuple[Answer, int]:
        """The answer where nothing is wrong, and its weight."""

    def rate_limited(self, seconds: float) -> Reply | None:  # noqa: ARG002
        """The venue's words for too many requests, to wait so long; None if it has none."""
        return None

    def banned(self, seconds: float) -> Reply | None:  # noqa: ARG002
        """The venue's words for a peer that is not served for so long; None if it has none."""
        return None

    def insisted(self, peer: str, pause: Pause, now: float) -> Reply | None:  # noqa: ARG002
        """What a request during a pause is answered; None if the venue does not mind."""
        return None

    def answer(self, request: HttpRequest) -> Answer:
        now = self._venue.true_now()
        kind = self.kind_of(request)
        pause = self._pauses.get(request.peer)
        if pause is not None and now >= pause.until:
            pause = None
        too_soon = pause is not None and pause.ignored(now)
        fault = self._fault(request.peer, pause, now)
        answer, weight = (fault, 0) if fault is not None else self.charged(request, kind)
        if isinstance(answer, Reply):
            return self._noted(request, kind, answer, weight, now, too_soon)
        return asyncio.get_running_loop().create_task(self._later(request, kind, answer, weight, now, too_soon))

    async def _later(
        self, request: HttpRequest, kind: str, answer: asyncio.Future[Reply], weight: int, now: float, too_soon: bool
    ) -> Reply:
        return self._noted(request, kind, await answer, weight, now, too_soon)

    def _noted(self, request: HttpRequest, kind: str, reply: Reply, weight: int, now: float, too_soon: bool) -> Reply:
        venue = self._venue
        venue.counters.note_request(now, kind, reply.status, weight)
        if too_soon:
            venue.counters.too_soon.append(venue.counters.requests[-1])
        delay = venue.amount(FaultKind.SLOW_REST)
        if reply.pause:
            told = now + delay
            self._pauses[request.peer] = Pause(told, told + reply.pause, reply.status != 429)
        return replace(reply, delay=delay, cut=reply.cut or venue.is_on(FaultKind.CUT_REST))

    def _fault(self, peer: str, pause: Pause | None, now: float) -> Reply | None:
        venue = self._venue
        answers = (
            (FaultKind.REFUSE, CUT),
            (FaultKind.BAD_GATEWAY, BAD_GATEWAY),
            (FaultKind.SERVER_ERROR, self.server_error),
        )
        for kind, reply in answers:
            if venue.is_on(kind):
                return reply
        if pause is not None and (words := self.insisted(peer, pause, now)) is not None:
            return words
        if venue.is_on(FaultKind.BANNED) and (words := self.banned(venue.amount(FaultKind.BANNED))) is not None:
            return words
        return self.rate_limited(venue.amount(FaultKind.RATE_LIMIT)) if venue.is_on(FaultKind.RATE_LIMIT) else None
