"""Faults on command: what may go wrong, when, and for how long."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replayed import PATHS


class FaultKind(StrEnum):
    """What goes wrong while a fault lasts; `explanation` says it in a line."""

    explanation: str

    def __new__(cls, value: str, explanation: str = "") -> Self:
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.explanation = explanation
        return kind

    STALL = "stall", "No data frames; acknowledgements and pongs go on. What was not sent is lost."
    LAG = "lag", "Data frames are held back, and all of them sent when it ends."
    SILENT_DEATH = (
        "silent_death",
        "Subscriptions that exist or are made meanwhile get no data for as long as their socket lives.",
    )
    HALF_OPEN = "half_open", "Sockets that exist are neither read nor written, and cut when it ends; new ones work."
    NO_PONG = "no_pong", "Pings are not answered; data goes on."
    REORDER = "reorder", "The last frame of a minute comes after the first one of the next."
    DUPLICATE = "duplicate", "Every frame comes twice, and closed minutes are told again."
    LOSE_LAST = "lose_last", "The last frame of a minute is never sent."
    GARBAGE = "garbage", "Frames in between that are no JSON, have the wrong shape, or say what cannot be."
    WRONG_ROW = "wrong_row", "The last frame of a minute has a high below its close."
    DISCONNECT = (
        "disconnect",
        "Every socket is cut without a close frame (with the close code `value`, if given); new ones are cut, too.",
    )
    REFUSE = "refuse", "New sockets and every REST request are cut without an answer."
    SKEW = (
        "skew",
        "The exchange's clock is `value` seconds ahead; it is never set back, but waits for the time to catch up.",
    )
    BAD_GATEWAY = "bad_gateway", "REST and new sockets are answered 502 with HTML."
    SERVER_ERROR = "server_error", "REST is answered 500."
    RATE_LIMIT = (
        "rate_limit",
        "REST is answered that there were too many requests, in the venue's words; Binance: to wait `value` seconds.",
    )
    SLOW_REST = "slow_rest", "REST answers after `value` seconds."
    CUT_REST = "cut_rest", "REST answers are cut in the middle."
    STALE_REST = "stale_rest", "REST shows candles as they were `value` seconds ago."
    LATE_REVISION = (
        "late_revision",
        "Minutes that close meanwhile lack their last trades in REST until `value` seconds after their close.",
    )
    WRONG_REST_ROW = "wrong_rest_row", "The newest closed row in REST has a high below its close."
    BANNED = "banned", "REST is answered that its peer is banned: Binance 418 with Retry-After `value`, Bybit 403."
    WRONG_CHECKSUM = "wrong_checksum", "Checksums of archive files are another file's."
    REISSUED = (
        "reissued",
        "Archive files have other content, with its own right checksum: the volume of one minute is a tick larger.",
    )
    CUT_ARCHIVE = "cut_archive", "Archive files end in the middle, though the headers told their whole length."
    SHORT_ARCHIVE = "short_archive", "Archive files are truncated, and the checksum is that of what is left."
    MIXED_UNITS = (
        "mixed_units",
        "The second half of an archive file tells times in the other unit: micro- or milliseconds.",
    )
    OTHER_HEADER = "other_header", "Archive files begin with a header where none is usual, and without one where it is."
    LATE_ARCHIVE = "late_archive", "Archive files are published `value` seconds later."
    HTML_ARCHIVE = "html_archive", "Archive files are HTML pages, with status 200."
    SERVER_SHUTDOWN = "server_shutdown", "Sockets are warned that the server shuts down, and cut when it ends."


ARCHIVE_KINDS: Final = (
    FaultKind.WRONG_CHECKSUM, FaultKind.REISSUED, FaultKind.CUT_ARCHIVE, FaultKind.SHORT_ARCHIVE,
    FaultKind.MIXED_UNITS, FaultKind.OTHER_HEADER, FaultKind.LATE_ARCHIVE, FaultKind.HTML_ARCHIVE,
)  # fmt: skip
"""Kinds of a venue with an archive."""
COMMON_KINDS: Final = tuple(
    kind for kind in FaultKind if kind not in (FaultKind.BANNED, FaultKind.SERVER_SHUTDOWN, *ARCHIVE_KINDS)
)
"""Kinds that every venue has."""

_USUAL_VALUE: Final[Mapping[FaultKind, float]] = {
    FaultKind.RATE_LIMIT: 10.0,
    FaultKind.BANNED: 120.0,
    FaultKind.LATE_ARCHIVE: 259_200.0,
    FaultKind.SKEW: 5.0,
    FaultKind.SLOW_REST: 5.0,
    FaultKind.STALE_REST: 10.0,
    FaultKind.LATE_REVISION: 120.0,
}
_AT_A_BOUNDARY: Final = (
    FaultKind.REORDER, FaultKind.LOSE_LAST, FaultKind.WRONG_ROW, FaultKind.LATE_REVISION, FaultKind.WRONG_REST_ROW,
)  # fmt: skip
"""Kinds that do something only where a minute ends."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        at: UTC seconds since 1970 by the exchange's clock (without skew); None is now.
        seconds: how long it lasts.
        value: what the kind says it is; None is the kind's usual value.
        venue: the only one it happens to; None is all.

    Example:
        >>> Fault(FaultKind.SKEW, at=1_790_232_180.0, seconds=600, value=-3)  # doctest: +SKIP
    """

    kind: FaultKind
    at: float | None = None
    seconds: float = 60.0
    value: float | None = None
    venue: str | None = None

    @property
    def amount(self) -> float:
        return _USUAL_VALUE.get(self.kind, 0.0) if self.value is None else self.value

    @classmethod
    def parse(cls, fields: Any) -> Fault:
        """A fault as the control surface is sent it.

        Raises:
            UserError: an unknown field or kind, or a number that is none.
        """
        if not isinstance(fields, dict) or not set(fields) <= {"kind", "at", "seconds", "value", "venue"}:
            raise UserError('a fault is an object such as {"kind": "stall", "seconds": 90}; also at, value, venue.')
        kind = fields.get("kind")
        if kind not in list(FaultKind):
            raise UserError(f"kind {kind!r} is none of {', '.join(FaultKind)}.", field="kind")
        venue = fields.get("venue")
        if venue is not None and venue not in list(PATHS):
            raise UserError(f"venue {venue!r} is none of {', '.join(PATHS)}.", field="venue")
        numbers: dict[str, float] = {}
        for name in ("at", "seconds", "value"):
            number = fields.get(name)
            if number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 1e12:
                raise UserError(f"{name} {number!r} is not a number of seconds.", field=name)
            numbers[name] = float(number)
        if numbers.get("seconds", 0.0) < 0:
            raise UserError(f"seconds {numbers['seconds']:g} is negative.", field="seconds")
        return cls(FaultKind(kind), **numbers, venue=venue)


class FaultPlan:
    """Faults that were, are and will be."""

    def __init__(self) -> None:
        self._of_kind: dict[FaultKind, list[Fault]] = defaultdict(list)

    def add(self, fault: Fault) -> None:
        """
        Args:
            fault: with its `at`.
        """
        self._of_kind[fault.kind].append(fault)

    def clear(self) -> None:
        self._of_kind.clear()

    def knows(self, kind: FaultKind) -> bool:
        """Whether there was, is or will be one of that kind."""
        return kind in self._of_kind

    def active(self, kind: FaultKind, moment: float) -> Fault | None:
        """The newest fault of that kind that lasts at a moment."""
        if kind not in self._of_kind:
            return None
        for fault in reversed(self._of_kind[kind]):
            if fault.at is not None and fault.at <= moment < fault.at + fault.seconds:
                return fault
        return None

    def of_kind(self, kind: FaultKind) -> Sequence[Fault]:
        """Every fault of that kind, in the order in which they were planned."""
        return self._of_kind.get(kind, ())

    def all(self) -> list[Fault]:
        """Every fault, by time."""
        return sorted((one for found in self._of_kind.values() for one in found), key=lambda fault: fault.at or 0.0)


def random_faults(
    seed: int, start: float, end: float, count: int, kinds: Collection[FaultKind] = COMMON_KINDS
) -> list[Fault]:
    """Faults at random moments in [start, end), by time; the same arguments give the same ones.

    Args:
        start, end: UTC seconds since 1970.
        kinds: of which to choose. As long as `count` allows, every kind comes once before one comes twice.
    """
    source = random.Random(seed)  # noqa: S311 no secret
    faults: list[Fault] = []
    bag: list[FaultKind] = []
    for _ in range(count):
        if not bag:
            bag = list(kinds)
            source.shuffle(bag)
        faults.append(_random_fault(source, bag.pop(), start, end))
    return sorted(faults, key=lambda fault: fault.at or 0.0)


def _random_fault(source: random.Random, kind: FaultKind, start: float, end: float) -> Fault:
    seconds = round(source.choice((source.uniform(1, 30), source.uniform(30, 150), source.uniform(150, 600))), 3)
    at = source.uniform(start, max(start, end - seconds))
    if kind in _AT_A_BOUNDARY or source.random() < 0.3:
        # Over a boundary, which is where candles are lost.
        at = max(start, at // 60 * 60 + 60 - source.uniform(0, min(30.0, seconds)))
    value: float | None = None
    if kind is FaultKind.SKEW:
        value = round(source.uniform(-20, 20), 3)
    elif kind is FaultKind.SLOW_REST:
        value = round(source.uniform(0.5, 30), 3)
    elif kind is FaultKind.STALE_REST:
        value = round(source.uniform(1, 60), 3)
    elif kind is FaultKind.LATE_REVISION:
        value = round(source.uniform(2, 600), 3)
    return Fault(kind, at=round(at, 3), seconds=seconds, value=value)
