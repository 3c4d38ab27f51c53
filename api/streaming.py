"""A streamed answer whose source ends when its reader does."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import anyio
import anyio.to_thread
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)


class ClosingResponse(StreamingResponse):
    """Closes the generator it reads from, also when the client goes in the middle.

    Starlette leaves that to the garbage collector, and until then a database connection and a large COPY stay open.
    """

    def __init__(self, source: Generator[bytes, None, None], **options: Any) -> None:
        super().__init__(source, **options)
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # noqa: BLE001 the reader is gone; nobody is left to be told
            log.info("an answer was not read to its end: %s", error)
