"""What many computations over the same bars share: remembered within `sharing()`, computed anew outside of it.

A sweep asks for the same ticks, windows and averages hundreds of times. Results are the same bits either way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from btc_pipeline.market.candles import Candles

T = TypeVar("T")

MOST_BYTES: Final = 1 << 26
"""What a memo keeps of results that come by the hundred (`remembered_lately`)."""


@dataclass(slots=True)
class Memo:
    """What was computed; one thread at a time may use it."""

    kept: dict[Hashable, tuple[Candles, Any]] = field(default_factory=dict)
    latest: OrderedDict[Hashable, tuple[Candles, Any, int]] = field(default_factory=OrderedDict)
    bytes: int = 0
    scratch: dict[Hashable, NDArray[Any]] = field(default_factory=dict)


_memo: Final[ContextVar[Memo | None]] = ContextVar("memo", default=None)


@contextmanager
def sharing(memo: Memo) -> Iterator[None]:
    """Within it, in this thread, `remembered` computes only what the memo has not. Nobody may change what it gives."""
    token = _memo.set(memo)
    try:
        yield
    finally:
        _memo.reset(token)


def remembered(bars: Candles, name: Hashable, compute: Callable[[], T]) -> T:
    """What `compute` gives for those bars; `name` says which of the few things that are computed of them."""
    memo = _memo.get()
    if memo is None:
        return compute()
    key = (id(bars), name)
    if key not in memo.kept:
        # The bars are kept with it: as long as they live nobody else has their id.
        memo.kept[key] = (bars, compute())
    found: T = memo.kept[key][1]
    return found


def remembered_lately(bars: Candles, name: Hashable, compute: Callable[[], T], size: Callable[[T], int]) -> T:
    """As `remembered`, for things of which there are many: those used last are kept, as far as MOST_BYTES allows.

    Args:
        size: bytes of what was computed.
    """
    memo = _memo.get()
    if memo is None:
        return compute()
    key = (id(bars), name)
    if key in memo.latest:
        memo.latest.move_to_end(key)
    else:
        made = compute()
        memo.latest[key] = (bars, made, size(made))
        memo.bytes += memo.latest[key][2]
        while memo.bytes > MOST_BYTES and len(memo.latest) > 1:
            memo.bytes -= memo.latest.popitem(last=False)[1][2]
    found: T = memo.latest[key][1]
    return found


def scratch(name: str, n: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array of n to compute in, whatever is in it; within `sharing()` the same one for a name and a dtype.

    Fresh pages from the system cost more than what is computed in them.
    """
    memo = _memo.get()
    if memo is None:
        return np.empty(n, dtype)
    key = (name, dtype)
    if key not in memo.scratch or len(memo.scratch[key]) < n:
        memo.scratch[key] = np.empty(n, dtype)
    return memo.scratch[key][:n]
