"""Who wants to hear how far a run is: the command line shows it, Dagster's own processes do not listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_listeners: Final[list[Callable[[str], None]]] = []


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Calls the listener with a line for each step of runs in this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def announce(line: str) -> None:
    """Tells whoever listens."""
    for listener in _listeners:
        listener(line)
