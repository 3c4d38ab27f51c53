"""A local Binance: its archive and its klines over real sockets, with faults that a test scripts.

It shares no code with the client, nor with the replay exchange.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

COIN = "BTCUSDT"
SYMBOL = "BTCUSDT.BINANCE"
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_FILE = re.compile(rf"/data/spot/(?:monthly|daily)/klines/{COIN}/1m/({COIN}-1m-(\d{{4}})-(\d\d)(?:-(\d\d))?\.zip)")


def minute_of(text: str) -> int:
    """The epoch minute of `2024-12-30 00:17`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 60


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of a request instead of an answer, or of the answer.

    Attributes:
        status: answered in place of what was asked for, with a Retry-After if there is one.
        cut: so many bytes of the body are sent, then the connection ends.
        body: sent in place of what was asked for.
    """

    status: int = 200
    retry_after: str | None = None
    cut: int | None = None
    body: bytes | None = None
    content_type: str = "text/html"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its path with the query, its Range header, the status that it was answered with."""

    path: str
    range: str | None
    status: int


@dataclass
class FakeBinance:
    """What it serves; tests change it while it runs.

    Attributes:
        first: the coin's first minute; `now` its clock, an epoch minute.
        absent: minutes that it does not have.
        files: bytes of files by name, in place of those that it would make; None: the file is not there.
        checksums: published in place of the true ones.
        fault: asked for each request, by its path: what becomes of it.
        volume: of a minute, in steps of 0.00001.
        quote: the text of a minute's quote volume, in place of the usual.
        split_time: from this minute on the archive's times are microseconds.
        header: whether files have one.
        tags: whether files have an ETag.
    """

    first: int = minute_of("2024-12-30 00:17")
    now: int = minute_of("2025-01-10 06:00")
    absent: set[int] = field(default_factory=set)
    files: dict[str, bytes | None] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    fault: Callable[[str], Fault | None] = lambda _: None
    volume: Callable[[int], int] = lambda minute: 100_000 + minute * 7919 % 1_000_003
    quote: Callable[[int], str | None] = lambda _: None
    split_time: int = minute_of("2025-01-01 00:00")
    header: bool = False
    tags: bool = True
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def there(self, minute: int) -> bool:
        return self.first <= minute < self.now and minute not in self.absent

    def row(self, minute: int) -> list[str]:
        """The texts of a kline's twelve columns, times in milliseconds."""
        base = 9_500_000 + minute * 104_729 % 20_011
        open_, close = base, base + minute * 31 % 901 - 450
        high, low = max(open_, close) + minute % 50, min(open_, close) - minute % 40
        volume = self.volume(minute)
        quote = self.quote(minute) or f"{volume * base / 1e7:.7f}0"
        prices = (f"{one // 100}.{one % 100:02d}000000" for one in (open_, high, low, close))
        taker = f"{volume // 2 / 100_000:.8f}"
        return [
            str(minute * 60_000),
            *prices,
            f"{volume / 100_000:.8f}",
            str(minute * 60_000 + 59_999),
            quote,
            str(10 + minute % 90),
            taker,
            "0.00000000",
            "0",
        ]

    def csv(self, start: int, end: int) -> bytes:
        """The text of a file."""
        lines = [HEADER] if self.header else []
        for minute in range(start, end):
            if self.there(minute):
                row = self.row(minute)
                if minute >= self.split_time:
                    row[0], row[6] = row[0] + "000", row[6] + "999"
                lines.append(",".join(row))
        return ("\n".join(lines) + "\n").encode()

    def file(self, name: str, start: int, end: int) -> bytes | None:
        """The bytes of a file; None where it is not there (yet)."""
        if name in self.files:
            return self.files[name]
        if not any(self.there(minute) for minute in range(max(start, self.first), min(end, self.now))):
            return None
        return zipped(name, self.csv(start, end))

    def requests(self, *parts: str) -> list[Asked]:
        """Those whose path has one of the parts."""
        return [one for one in self.asked if any(part in one.path for part in parts)]

    def answer(self, path: str) -> tuple[int, bytes, str]:
        """Status, body and content type."""
        parts = urlsplit(path)
        match = _FILE.fullmatch(parts.path.removesuffix(".CHECKSUM"))
        if match:
            return self._archive(match, parts.path.endswith(".CHECKSUM"))
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/api/v3/time":
            return _json({"serverTime": self.now * 60_000 + 30_000})
        if parts.path == "/api/v3/ticker/price":
            return _json([{"symbol": COIN, "price": "95000.00"}])
        if parts.path == "/api/v3/exchangeInfo":
            return self._instruments(query["symbol"])
        if parts.path == "/api/v3/klines":
            return self._klines(query)
        return 404, b"", "text/plain"

    def _archive(self, match: re.Match[str], is_checksum: bool) -> tuple[int, bytes, str]:
        name, year, month, day = match.groups()
        start = date(int(year), int(month), int(day or 1))
        end = start + timedelta(days=1) if day else (start + timedelta(days=31)).replace(day=1)
        data = self.file(name, minute_of(start.isoformat()), minute_of(end.isoformat()))
        if data is None:
            return 404, b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "application/xml"
        if is_checksum:
            digest = self.checksums.get(name) or hashlib.sha256(data).hexdigest()
            return 200, f"{digest}  {name}\n".encode(), "binary/octet-stream"
        return 200, data, "application/zip"

    def _instruments(self, name: str) -> tuple[int, bytes, str]:
        if name != COIN:
            return 400, b'{"code":-1121,"msg":"Invalid symbol."}', "application/json"
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
        ]
        return _json({"symbols": [{"symbol": COIN, "status": "TRADING", "filters": filters}]})

    def _klines(self, query: dict[str, str]) -> tuple[int, bytes, str]:
        start, end = -(-int(query["startTime"]) // 60_000), int(query["endTime"]) // 60_000
        # The minute that is forming is told, too.
        told = [m for m in range(max(start, self.first), min(end, self.now) + 1) if self.there(m) or m == self.now]
        rows: list[list[object]] = []
        for minute in told[: int(query["limit"])]:
            row: list[object] = list(self.row(minute))
            row[0], row[6], row[8] = minute * 60_000, minute * 60_000 + 59_999, int(str(row[8]))
            rows.append(row)
        return _json(rows)


def zipped(name: str, text: bytes) -> bytes:
    """A zip with one .csv, always the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name.replace(".zip", ".csv"), (2025, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, text)
    return buffer.getvalue()


@contextmanager
def serving(binance: FakeBinance) -> Iterator[FakeBinance]:
    """Listens on a port of its own until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fault = binance.fault(self.path) or Fault()
            status, body, content_type = binance.answer(self.path)
            headers: dict[str, str] = {}
            if fault.status != 200:
                status, body, content_type = fault.status, b"refused", "text/plain"
            elif fault.body is not None:
                body, content_type = fault.body, fault.content_type
            elif content_type == "application/zip":
                status, body, headers = self._ranged(body)
            if fault.retry_after is not None:
                headers["Retry-After"] = fault.retry_after
            binance.asked.append(Asked(self.path, self.headers.get("Range"), status))
            self.send_response(status)
            for key, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body[: fault.cut])
            if fault.cut is not None:
                self.wfile.flush()
                self.close_connection = True

        def _ranged(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
            tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            headers = {"ETag": tag} if binance.tags else {}
            wanted = self.headers.get("Range")
            if wanted is None or self.headers.get("If-Range", tag) != tag:
                return 200, body, headers
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return 416, b"", {"Content-Range": f"bytes */{len(body)}"}
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return 206, body[start:], headers

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    binance.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield binance
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _json(value: object) -> tuple[int, bytes, str]:
    return 200, json.dumps(value).encode(), "application/json"
