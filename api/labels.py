"""The REPLAY label: numbers of the local exchange are never taken for a market's.

Belongs here: where every answer says it. The envelopes of answers say `feed` themselves.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from btc_pipeline.settings import Settings

REPLAY: Final = "REPLAY"
REPLAY_HEADERS: Final = {"X-Feed": REPLAY}


def title(settings: Settings) -> str:
    """The product's name, as pages show it."""
    return f"btc_pipeline ({REPLAY})" if settings.feed == "replay" else "btc_pipeline"


def file_name(settings: Settings, name: str) -> str:
    """The name of an exported file."""
    return f"{REPLAY}_{name}" if settings.feed == "replay" else name


class ReplayLabel:
    """Puts `X-Feed: REPLAY` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"]).update(REPLAY_HEADERS)
            await send(message)

        await self.app(scope, receive, labelled if scope["type"] == "http" else send)
