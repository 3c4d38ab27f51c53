"""ETags and compression of every answer, in one place, because a strong ETag names the bytes that are sent.

An answer in one piece is digested; a streamed one may bring an ETag of its own (`tagged`). A compressed body has the
tag of the plain one with `-gzip` behind it, as two different bodies must not share a strong tag.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Final

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST_COMPRESSED: Final = 1_024
LARGE_PIECE: Final = 64 * 1024
"""A piece of this size is compressed in a thread."""

LEVEL: Final = 1
_GZIP: Final = 16 + zlib.MAX_WBITS
_COMPRESSIBLE: Final = ("application/json", "text/")
_SUFFIX: Final = "-gzip"


def tagged(request: Request, response: Response, digest: str) -> Response:
    """The response with its ETag, or 304 where the client has it already."""
    if _known(Headers(scope=request.scope), digest):
        return Response(status_code=304, headers={"ETag": f'"{digest}"'})
    response.headers["ETag"] = f'"{digest}"'
    return response


class CachingMiddleware:
    """ETag, 304 and gzip for GET, and the same headers for HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, _Answer(scope, send).send)
        else:
            await self.app(scope, receive, send)


class _Answer:
    """One answer on its way: its start is held back until the first piece of its body is known."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._asked = Headers(scope=scope)
        self._send = send
        self._start: Message | None = None
        self._compressor: zlib._Compress | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            await self._body(message.get("body", b""), last=not message.get("more_body", False))
        else:
            await self._send(message)

    async def _body(self, piece: bytes, *, last: bool) -> None:
        if self._start is not None:
            start, self._start = self._start, None
            headers = MutableHeaders(raw=start["headers"])
            headers.add_vary_header("Accept-Encoding")
            if last and start["status"] == 200 and "etag" not in headers:
                headers["ETag"] = f'"{hashlib.blake2b(piece, digest_size=16).hexdigest()}"'
            tag = headers.get("etag", "").strip('"')
            if start["status"] == 200:
                headers.setdefault("Cache-Control", "no-cache")
                if last and _known(self._asked, tag):
                    start["status"], piece = 304, b""
                    for name in ("content-length", "content-type"):
                        if name in headers:
                            del headers[name]
                elif self._compresses(headers, piece, last=last):
                    self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
                    headers["Content-Encoding"] = "gzip"
                    if tag:
                        headers["ETag"] = f'"{tag}{_SUFFIX}"'
                    if "content-length" in headers:
                        del headers["content-length"]
            if self._compressor is not None:
                piece = await self._compressed(piece, last=last)
                if last:
                    headers["Content-Length"] = str(len(piece))
            await self._send(start)
        elif self._compressor is not None:
            piece = await self._compressed(piece, last=last)
        await self._send({"type": "http.response.body", "body": piece, "more_body": not last})

    def _compresses(self, headers: MutableHeaders, piece: bytes, *, last: bool) -> bool:
        return (
            _accepts_gzip(self._asked.get("accept-encoding", ""))
            and headers.get("content-type", "").startswith(_COMPRESSIBLE)
            and "content-encoding" not in headers
            and not (last and len(piece) < SMALLEST_COMPRESSED)
        )

    async def _compressed(self, piece: bytes, *, last: bool) -> bytes:
        compressor = self._compressor
        assert compressor is not None  # noqa: S101 the caller has looked

        def run() -> bytes:
            return compressor.compress(piece) + (compressor.flush() if last else b"")

        return await anyio.to_thread.run_sync(run) if len(piece) > LARGE_PIECE else run()


def _known(headers: Headers, tag: str) -> bool:
    """Whether If-None-Match names the tag, plain or compressed."""
    asked = headers.get("if-none-match", "")
    known = {entry.strip().removeprefix("W/").strip('"').removesuffix(_SUFFIX) for entry in asked.split(",")}
    return bool(tag) and (tag in known or "*" in known)


def _accepts_gzip(accepted: str) -> bool:
    for entry in accepted.lower().split(","):
        name, _, parameters = entry.partition(";")
        if name.strip() == "gzip":
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
