"""Binance's public archive over HTTP: files and their checksums, made when they are asked for."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from btc_pipeline.exchanges.replay.archive_files import ArchiveFile, Content, Quirks, build_file, find_file
from btc_pipeline.exchanges.replay.binance_flavour import Flavour
from btc_pipeline.exchanges.replay.faults import FaultKind
from btc_pipeline.exchanges.replay.http import Answer, HttpRequest, Reply
from btc_pipeline.exchanges.replay.instruments import instruments
from btc_pipeline.exchanges.replay.rest import RestDesk
from btc_pipeline.exchanges.replay.venue import Venue

_KEPT_FILES: Final = 12
_CHECKSUM: Final = ".CHECKSUM"
_RANGE: Final = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_NOT_FOUND: Final = Reply(
    404,
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>'
    b"<Message>The specified key does not exist.</Message></Error>",
    "application/xml",
)
_PAGE: Final = Reply(
    200, b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body>Back soon</body></html>\n", "text/html"
)


class BinanceArchive(RestDesk):
    """Answers `GET {prefix}/data/...`; files are built in a thread, so that streams go on meanwhile."""

    def __init__(self, venue: Venue, flavour: Flavour) -> None:
        super().__init__(venue)
        self._flavour = flavour
        self._folder = f"{flavour.archive_prefix}/data/{flavour.archive_folder}/"
        self._listings = instruments(venue.tape.listings)
        self._built: OrderedDict[tuple[str, Quirks], asyncio.Future[Content | None]] = OrderedDict()
        self._stopped = threading.Event()

    def kind_of(self, request: HttpRequest) -> str:
        return "checksum" if request.path.endswith(_CHECKSUM) else "archive"

    def stop(self) -> None:
        """Ends what is being built."""
        self._stopped.set()
        self._stopped = threading.Event()

    def charged(self, request: HttpRequest, kind: str) -> tuple[Answer, int]:
        if request.method != "GET":
            return Reply(405, b"", "application/xml"), 0
        path = request.path.removeprefix(self._folder).removesuffix(_CHECKSUM)
        file = find_file(path, self._listings) if request.path.startswith(self._folder) else None
        if file is None or not self._is_there(file):
            return _NOT_FOUND, 0
        if kind == "archive" and self._venue.is_on(FaultKind.HTML_ARCHIVE):
            return _PAGE, 0
        content = self._content(file)
        if content.done() and content.exception() is None:
            return self._reply(request, file, kind, content.result()), 0
        return asyncio.get_running_loop().create_task(self._when_built(request, file, kind, content)), 0

    def _is_there(self, file: ArchiveFile) -> bool:
        behaviour = self._venue.behaviour
        first = max(behaviour.archive_from, self._venue.tape.market.begins(file.listing.name))
        published = file.published(behaviour) + self._venue.amount(FaultKind.LATE_ARCHIVE)
        return file.end > first and self._venue.now() >= published and not file.listing.delisted

    def _content(self, file: ArchiveFile) -> asyncio.Future[Content | None]:
        is_on = self._venue.is_on
        quirks = Quirks(
            reissued=is_on(FaultKind.REISSUED),
            mixed_units=is_on(FaultKind.MIXED_UNITS),
            other_header=is_on(FaultKind.OTHER_HEADER),
            short=is_on(FaultKind.SHORT_ARCHIVE),
        )
        key = (file.name, quirks)
        content = self._built.get(key)
        if content is None or (content.done() and content.exception() is not None):
            loop, stopped = asyncio.get_running_loop(), self._stopped.is_set
            content = loop.run_in_executor(None, build_file, file, self._venue.tape, self._flavour, quirks, stopped)
            self._built[key] = content
        self._built.move_to_end(key)
        while len(self._built) > _KEPT_FILES:
            self._built.popitem(last=False)
        return content

    async def _when_built(
        self, request: HttpRequest, file: ArchiveFile, kind: str, content: asyncio.Future[Content | None]
    ) -> Reply:
        return self._reply(request, file, kind, await asyncio.shield(content))

    def _reply(self, request: HttpRequest, file: ArchiveFile, kind: str, content: Content | None) -> Reply:
        if content is None:
            return _NOT_FOUND
        if kind == "checksum":
            digest = content.digest
            if self._venue.is_on(FaultKind.WRONG_CHECKSUM):
                digest = digest[::-1]
            return Reply(200, f"{digest}  {file.name}.zip\n".encode(), "binary/octet-stream")
        reply = _part(request, content)
        return replace(reply, cut=self._venue.is_on(FaultKind.CUT_ARCHIVE))


def _part(request: HttpRequest, content: Content) -> Reply:
    """The bytes that are asked for: all, or a range of them unless the file is another one than the peer believes."""
    tag = f'"{content.digest[:32]}"'
    headers = (("etag", tag), ("accept-ranges", "bytes"))
    size = len(content.data)
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or match[0] == "bytes=-" or request.headers.get("if-range", tag) != tag:
        return Reply(200, content.data, "application/zip", headers=headers)
    if match[1]:
        start, end = int(match[1]), min(int(match[2] or size), size - 1)
    else:
        start, end = max(0, size - int(match[2])), size - 1
    if start > end:
        return Reply(416, b"", "application/xml", headers=(("content-range", f"bytes */{size}"),))
    span = ("content-range", f"bytes {start}-{end}/{size}")
    return Reply(206, content.data[start : end + 1], "application/zip", headers=(*headers, span))
