"""How far a symbol's minutes are accounted for: landed, or asked for and not there."""

from __future__ import annotations


class Progress:
    """Moves forward over minutes without a break; loops that turn do not move it."""

    def __init__(self) -> None:
        self.accounted_until: int | None = None
        """All minutes before this epoch minute are accounted for; None until the exchange was asked."""
        self.last_minute: int | None = None
        """The newest minute that landed."""
        self.landed = 0
        self._ahead: set[int] = set()

    def begin(self, minute: int) -> None:
        """What is before this minute is accounted for, or not this process's affair."""
        if self.accounted_until is None or minute > self.accounted_until:
            self.accounted_until = minute
            self._advance()

    def has_landed(self, minutes: list[int]) -> None:
        """The database or the spool has them."""
        if not minutes:
            return
        self.landed += len(minutes)
        newest = max(minutes)
        self.last_minute = newest if self.last_minute is None else max(self.last_minute, newest)
        self._account(minutes)

    def is_absent(self, minutes: list[int]) -> None:
        """The exchange was asked after their close, and has none."""
        self._account(minutes)

    def _account(self, minutes: list[int]) -> None:
        start = self.accounted_until
        self._ahead.update(minutes if start is None else (minute for minute in minutes if minute >= start))
        self._advance()

    def _advance(self) -> None:
        if self.accounted_until is None:
            return
        while self.accounted_until in self._ahead:
            self.accounted_until += 1
        self._ahead = {minute for minute in self._ahead if minute > self.accounted_until}
