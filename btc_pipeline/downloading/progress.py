"""How far a download is: what it did, how fast, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Counts of a download at work. Whoever shows it is called after every change.

    Attributes:
        item: the file or the span that is being stored.
        planned: minutes of all that is looked at; grows as more is known.
        done: of those, minutes that are stored, known already, or known not to be.
        added, replaced, known: minutes by what became of them.
        fetched_bytes: of files, in this download.
    """

    show: Callable[[Progress], None] = lambda _: None
    monotonic: Callable[[], float] = time.monotonic
    item: str = ""
    planned: int = 0
    done: int = 0
    added: int = 0
    replaced: int = 0
    known: int = 0
    fetched_bytes: int = 0
    _began: float = field(default=0.0, init=False)
    _worked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._began = self.monotonic()

    @property
    def stored(self) -> int:
        """Minutes that were read and stored, or compared with what is."""
        return self.added + self.replaced + self.known

    @property
    def rate(self) -> float:
        """Minutes that were stored, a second."""
        return self.stored / max(self.monotonic() - self._began, 1e-3)

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None while nothing was done."""
        if not self._worked:
            return None
        return (self.planned - self.done) * (self.monotonic() - self._began) / self._worked

    def plan(self, minutes: int) -> None:
        """So many more, or fewer, are looked at."""
        self.planned += minutes
        self.show(self)

    def begin(self, item: str) -> None:
        """This is being stored now."""
        self.item = item
        self.show(self)

    def fetch(self, count: int) -> None:
        """So many more bytes are here."""
        self.fetched_bytes += count
        self.show(self)

    def pass_over(self, minutes: int) -> None:
        """Nothing had to be done for so many."""
        self.done += minutes
        self.show(self)

    def store(self, minutes: int, *, added: int, replaced: int, known: int) -> None:
        """A span of so many minutes is stored, with these rows."""
        self.done += minutes
        self._worked += minutes
        self.added += added
        self.replaced += replaced
        self.known += known
        self.show(self)
