"""Calling a strategy as if for the first time, and at another time of day: what it keeps, and what it reads of clocks.

Belongs here: what surrounds a call in a proof. Does not belong here: what is compared (`lookahead`).
"""

from __future__ import annotations

import datetime as datetime_module
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import date, datetime
from types import ModuleType
from typing import Any, Final

import numpy as np

from btc_pipeline.plugins import modules_beside
from btc_pipeline.strategies.base import Strategy

_UNCHANGING: Final = (bool, int, float, str, bytes, tuple, frozenset, type(None))
_CHANGING: Final = (dict, list, set, deque, bytearray, np.ndarray)


class Isolated:
    """A strategy that forgets: what it keeps on itself, its classes, its folder's modules, and caches of functions.

    A strategy that remembers its answers would otherwise give them again when the data that it must not see is gone.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = deepcopy(strategy)
        classes = [cls for cls in type(strategy).__mro__ if issubclass(cls, Strategy) and cls is not Strategy]
        modules = {module.__name__: module for cls in classes for module in modules_beside(cls.__module__)}
        self._homes: list[tuple[Any, dict[str, Any]]] = [
            (home, deepcopy(_data_of(home))) for home in (*classes, *modules.values())
        ]

    def fresh(self) -> Strategy:
        """The strategy as it was before any call."""
        for home, known in self._homes:
            for name in _data_of(home).keys() - known.keys():
                delattr(home, name)
            for name, value in known.items():
                if isinstance(value, _CHANGING):
                    setattr(home, name, deepcopy(value))
                elif vars(home).get(name) is not value:
                    setattr(home, name, value)
            for value in list(vars(home).values()):
                clear = getattr(value, "cache_clear", None)
                if callable(clear):
                    clear()
        return deepcopy(self._strategy)

    @property
    def modules(self) -> list[ModuleType]:
        """Those of its classes, and what lies beside them."""
        return [home for home, _ in self._homes if isinstance(home, ModuleType)]


def _data_of(home: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(home).items()
        if not name.startswith("__") and isinstance(value, (*_UNCHANGING, *_CHANGING))
    }


@contextmanager
def moved_clock(modules: list[ModuleType], seconds: int) -> Iterator[None]:
    """Clocks of `time` and `datetime` are ahead by so many seconds, under the names that the modules know them by, too.

    What compiled code reads of the clock by itself, such as `numpy.datetime64("now")`, is not moved.
    """
    ahead = _ahead(seconds)
    patched: list[tuple[ModuleType, str, Any]] = []
    try:
        for module in (time, datetime_module, *modules):
            for name, value in list(vars(module).items()):
                for clock, moved in ahead:
                    if value is clock:
                        patched.append((module, name, value))
                        setattr(module, name, moved)
        yield
    finally:
        for module, name, value in reversed(patched):
            setattr(module, name, value)


def _ahead(seconds: int) -> list[tuple[Any, Any]]:
    """Every clock, and the same one so far ahead."""
    delta = datetime_module.timedelta(seconds=seconds)
    real_time, gmtime, localtime = time.time, time.gmtime, time.localtime

    class SameClass(type):
        """Instances of what it stands for are its instances."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, cls.__mro__[1])

    class Moment(datetime, metaclass=SameClass):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + delta

        @classmethod
        def utcnow(cls) -> Any:
            return datetime.now(datetime_module.UTC).replace(tzinfo=None) + delta

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    class Day(date, metaclass=SameClass):
        @classmethod
        def today(cls) -> Any:
            return Moment.now().date()

    def plus(clock: Callable[[], Any], by: int) -> Callable[[], Any]:
        return lambda: clock() + by

    seconds_of = [(clock, plus(clock, seconds)) for clock in (time.time, time.monotonic, time.perf_counter)]
    nanoseconds_of = [
        (clock, plus(clock, seconds * 10**9)) for clock in (time.time_ns, time.monotonic_ns, time.perf_counter_ns)
    ]
    return [
        *seconds_of,
        *nanoseconds_of,
        (gmtime, lambda at=None: gmtime(real_time() + seconds if at is None else at)),
        (localtime, lambda at=None: localtime(real_time() + seconds if at is None else at)),
        (datetime, Moment),
        (date, Day),
    ]
