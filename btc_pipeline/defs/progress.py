"""Who wants to hear how far a run is: the command line shows it, Dagster's own processes do not listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from btc_pipeline.pipeline.refresh import Report

_listeners: Final[list[Callable[[Report], None]]] = []


@contextmanager
def listening(listener: Callable[[Report], None]) -> Iterator[None]:
    """Calls the listener with the report of each asset and symbol that a run in this process has done."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def announce(report: Report) -> None:
    """Tells whoever listens."""
    for listener in _listeners:
        listener(report)
