"""A store for virtual time: PostgreSQL is another process, so time stands still while it is waited for."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from btc_pipeline.timing.loops import VirtualLoop


class OutsideStore:
    """Every async method of a store inside `VirtualLoop.outside`; everything else as it is."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def call(*arguments: Any, **named: Any) -> Any:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            with loop.outside():
                return await attribute(*arguments, **named)

        return call
