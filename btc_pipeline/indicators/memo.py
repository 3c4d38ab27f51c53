"""What many computations over the same bars share: remembered within `sharing()`, computed anew outside of it.

A sweep asks for the same ticks and windows hundreds of times. Results are the same bits either way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from btc_pipeline.market.candles import Candles

T = TypeVar("T")

_memo: Final[ContextVar[dict[Hashable, tuple[Candles, Any]] | None]] = ContextVar("memo", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Within it, in this thread, `remembered` computes everything once. Arrays that it gives must not be changed."""
    token = _memo.set({})
    try:
        yield
    finally:
        _memo.reset(token)


def remembered(bars: Candles, name: Hashable, compute: Callable[[], T]) -> T:
    """What `compute` gives for those bars; `name` says which of the things that are computed of them."""
    memo = _memo.get()
    if memo is None:
        return compute()
    key = (id(bars), name)
    if key not in memo:
        # The bars are kept with it: as long as they live nobody else has their id.
        memo[key] = (bars, compute())
    found: T = memo[key][1]
    return found
