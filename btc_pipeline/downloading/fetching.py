"""Files over HTTP: verified against their published checksum, kept once, resumed where a kill left them.

Belongs here: requests, ranges, checksums, and what a wrong answer is told as. Does not belong here: which files
(`archive`), what is in them (`importing`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from btc_pipeline.downloading.errors import GO_ON, DownloadError
from btc_pipeline.downloading.pace import (
    LONGEST_PAUSE_SECONDS,
    SAID_FROM_SECONDS,
    TRIES,
    Pace,
    StoppedError,
    TryAgainError,
    next_try,
    saying,
    seconds_to_wait,
)
from btc_pipeline.exchanges.addresses import is_local
from btc_pipeline.exchanges.asking import PAUSE_SLACK_SECONDS, retry_after
from btc_pipeline.exchanges.provider import ArchiveFile
from btc_pipeline.storage.times import to_datetime

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 20.0
PAUSE_AFTER_429_SECONDS: Final = 10.0
PAUSE_AFTER_403_SECONDS: Final = 60.0
FREE_BYTES: Final = 200_000_000
"""Left free on the disk: what is downloaded is stored in a database, too, which may lie on the same."""

PART: Final = ".part"
_LONGEST_CHECKSUM: Final = 4096
_CHECKSUM: Final = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S+)\s*")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_ZIP: Final = b"PK"
_PAUSES: Final = {403: PAUSE_AFTER_403_SECONDS, 418: PAUSE_AFTER_429_SECONDS, 429: PAUSE_AFTER_429_SECONDS}

T = TypeVar("T")


class WrongChecksumError(Exception):
    """A file is not what its checksum says: it is `sha256`."""

    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.sha256 = sha256


class Fetcher:
    """The files of one archive, kept in a folder."""

    def __init__(
        self,
        folder: Path,
        base_url: str,
        pace: Pace,
        *,
        on_bytes: Callable[[str, int], None] = lambda _name, _bytes: None,
        say: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.time,
        remedy: str = "",
    ) -> None:
        """
        Args:
            base_url: where the archive is; one on this machine is asked without the environment's proxy.
            on_bytes: told of a file's name and of how many more of its bytes are here.
            say: told what is waited for.
            now: UTC, seconds since 1970-01-01.
            remedy: what the user could do if nobody is there.
        """
        self._folder = folder
        self._server = httpx.URL(base_url).host
        self._remedy = remedy
        self._pace = pace
        self._on_bytes = on_bytes
        self._say = say
        self._now = now
        self._client = httpx.Client(
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            trust_env=not is_local(base_url),
            follow_redirects=True,
            headers={"accept-encoding": "identity"},
        )

    def close(self) -> None:
        """Ends its connections."""
        self._client.close()

    def checksum(self, file: ArchiveFile) -> str | None:
        """The SHA-256 that is published for a file, hexadecimal; None where there is no such file.

        Raises:
            DownloadError: it cannot be had.
        """
        return self._patiently(file.checksum_url, lambda: self._checksum(file))

    def fetch(self, file: ArchiveFile, sha256: str) -> tuple[Path, str]:
        """A file that has its checksum, from the disk if it is there; its path and that checksum.

        A wrong one is fetched once more, with its checksum, for it may have been issued anew in between.

        Raises:
            DownloadError: it cannot be had, or its checksum is wrong again, or the folder cannot be written.
        """
        try:
            return self._fetch(file, sha256)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise DownloadError(
                f"{self._folder} cannot be written ({reason}): make it a folder that you may write to and that has "
                f"room, or give another data_dir in the settings. {GO_ON}"
            ) from error

    def _fetch(self, file: ArchiveFile, sha256: str) -> tuple[Path, str]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / file.name
        if path.is_file() and _sha256_of(path) == sha256:
            return path, sha256
        for _ in range(2):
            try:
                self._patiently(file.url, partial(self._download, file, sha256))
            except WrongChecksumError as error:
                found = error.sha256
            else:
                return path, sha256
            sha256 = self.checksum(file) or sha256
        raise DownloadError(
            f"{file.name}: its SHA-256 is {found}, and {sha256} is published at {file.checksum_url}: it was fetched "
            "twice and not taken. Try again later; if it stays so, the venue has published a wrong file. What is "
            "stored stays"
        )

    def _patiently(self, what: str, ask: Callable[[], T]) -> T:
        """Asks until there is an answer, or it failed too often in a row without a byte of progress.

        Raises:
            DownloadError: it did.
            StoppedError: the download was ended.
        """
        tries = Retrying(
            retry=retry_if_exception_type(TryAgainError),
            stop=_Patience(TRIES),
            wait=seconds_to_wait,
            sleep=self._pace.sleep,
            before_sleep=saying(self._say, what.rpartition("/")[2], server=self._server, remedy=self._remedy),
            reraise=True,
        )
        try:
            return tries(ask)
        except TryAgainError as error:
            raise DownloadError(f"{what}: {error} ({TRIES} times). {GO_ON}") from error

    def _checksum(self, file: ArchiveFile) -> str | None:
        with self._asked(file.checksum_url, {}) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            text = response.read()[:_LONGEST_CHECKSUM].decode(errors="replace").strip()
        match = _CHECKSUM.fullmatch(text)
        if match is None:
            found = "a web page" if text.startswith("<") else repr(text[:60])
            raise TryAgainError(f"answered {found} instead of a checksum")
        if match[2] != file.name:
            raise DownloadError(f"{file.checksum_url}: it is the checksum of {match[2]!r:.80}, not of {file.name}")
        return match[1].lower()

    def _download(self, file: ArchiveFile, sha256: str) -> None:
        part = _Part(self._folder / (file.name + PART), sha256)
        with self._asked(file.url, part.range_headers()) as response:
            status = response.status_code
            if status == httpx.codes.NOT_FOUND:
                raise TryAgainError("is not there (404), though its checksum is")
            if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE or not part.begin(response):
                part.discard()
                raise TryAgainError("changed while it was fetched", pause=0.0)
            self._check_space(file.name, (part.total or 0) - part.size)
            before = part.size
            try:
                self._write(file.name, part, response)
            except httpx.HTTPError as error:
                raise TryAgainError(f"broke off ({_reason(error)})", progress=part.size > before) from error
        if part.total is not None and part.size != part.total:
            raise TryAgainError(f"ended after {part.size:,} of {part.total:,} bytes", progress=part.size > before)
        found = _sha256_of(part.path)
        if found != sha256:
            part.discard()
            raise WrongChecksumError(found)
        part.finish(self._folder / file.name)

    def _write(self, name: str, part: _Part, response: httpx.Response) -> None:
        with part.path.open("ab") as output:
            for chunk in response.iter_raw():
                if not part.size and not chunk.startswith(_ZIP):
                    part.discard()
                    found = "a web page" if chunk.lstrip().startswith(b"<") else "something that is no zip"
                    raise TryAgainError(f"answered {found}; is there a proxy or a login page in between?")
                output.write(chunk)
                part.size += len(chunk)
                self._on_bytes(name, len(chunk))
                if self._pace.stopped:
                    raise StoppedError
            output.flush()
            os.fsync(output.fileno())

    @contextlib.contextmanager
    def _asked(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """An answer that is the file, a part of it, or that there is none; its body is still to be read."""
        self._pace.turn()
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                self._judge(url, response)
                yield response
        except httpx.HTTPError as error:
            raise TryAgainError(_reason(error)) from error

    def _judge(self, url: str, response: httpx.Response) -> None:
        status = response.status_code
        if status < 400 or status in (httpx.codes.NOT_FOUND, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE):
            return
        if status in _PAUSES:
            seconds = retry_after(response, _PAUSES[status], self._now()) + PAUSE_SLACK_SECONDS
            if seconds > LONGEST_PAUSE_SECONDS:
                until = to_datetime(int(self._now() + seconds) // 60 + 1)
                raise DownloadError(
                    f"{url}: the server wants no more requests ({status}) until {until:%Y-%m-%d %H:%M} UTC: run the "
                    "same command after that. What is stored stays"
                )
            self._pace.close(seconds)
            if seconds >= SAID_FROM_SECONDS:
                self._say(f"{url}: refused ({status}): {next_try(seconds)}")
            raise TryAgainError(f"refused ({status})", pause=0.0)
        if status < 500:
            raise DownloadError(f"{url}: refused ({status}). {GO_ON}")
        wanted = retry_after(response, 0.0, self._now())
        raise TryAgainError(f"the server failed ({status})", pause=min(wanted, LONGEST_PAUSE_SECONDS) or None)

    def _check_space(self, name: str, wanted: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < wanted + FREE_BYTES:
            raise DownloadError(
                f"{name} has {wanted / 1e6:,.0f} MB to come, and {self._folder} has {free / 1e6:,.0f} MB free, of "
                f"which {FREE_BYTES / 1e6:,.0f} are left free: make room. {GO_ON}"
            )


class _Part:
    """What there is of a file that is on its way, and a note on which one that is."""

    def __init__(self, path: Path, sha256: str) -> None:
        self.path = path
        self.total: int | None = None
        self._note = path.with_name(path.name + ".json")
        self._sha256 = sha256
        self._known = self._read_note()
        if self._known.get("sha256") != sha256:
            self.discard()
        self.size = path.stat().st_size if path.exists() else 0

    def range_headers(self) -> dict[str, str]:
        """Asks for what is missing, if the file is still the same."""
        if not self.size:
            return {}
        headers = {"range": f"bytes={self.size}-"}
        if self._known.get("etag"):
            headers["if-range"] = str(self._known["etag"])
        return headers

    def begin(self, response: httpx.Response) -> bool:
        """Prepares for an answer's bytes; whether they go on from what is here, or are the whole file."""
        length = response.headers.get("content-length", "")
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            if match is None or int(match[1]) != self.size or not match[2].isdigit():
                return False
            self.total = int(match[2])
            return self._known.get("bytes") in (None, self.total)
        self.path.write_bytes(b"")
        self.size = 0
        self.total = int(length) if length.isdigit() else None
        self._known = {"sha256": self._sha256, "etag": response.headers.get("etag"), "bytes": self.total}
        self._note.write_text(json.dumps(self._known))
        return True

    def discard(self) -> None:
        """Nothing is here any more."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.size = 0
        self._known = {}

    def finish(self, path: Path) -> None:
        """It is whole: from now on it has its name."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> dict[str, object]:
        try:
            known = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


class _Patience:
    """For tenacity: enough is so many failures in a row, none of which brought anything."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._failed = 0

    def __call__(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        self._failed = 1 if getattr(error, "progress", False) else self._failed + 1
        return self._failed >= self._most


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error).strip().rstrip(".") or type(error).__name__
