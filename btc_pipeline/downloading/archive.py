"""The archive's part of a download: the next file is fetched and read while one is stored.

Belongs here: the order of files, and what it means that one is not there. Does not belong here: HTTP (`fetching`), and
how a file's minutes are stored (`pipeline.archive_files`).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from btc_pipeline.downloading.errors import DownloadError
from btc_pipeline.downloading.fetching import Fetcher
from btc_pipeline.downloading.pace import Pace, StoppedError
from btc_pipeline.downloading.progress import Progress
from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.provider import ArchiveFile
from btc_pipeline.importing.layouts import AUTO
from btc_pipeline.importing.reader import CandleFile, read_candle_file
from btc_pipeline.importing.row_errors import UnreadableFileError
from btc_pipeline.importing.times import ONE_UNIT
from btc_pipeline.market.spans import Spans
from btc_pipeline.pipeline.archive_files import store_archive_file
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.downloads import Download, read_downloads, read_held
from btc_pipeline.storage.times import to_datetime

JOIN_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.1


@dataclass
class ArchiveReport:
    """What the archive gave; times are epoch minutes.

    Attributes:
        stored: names of the files that were stored now; `known` are those that were before.
        reissued: of those stored now, the ones that had been stored with another checksum.
        restored: of those stored now, the ones of which rows were gone.
        absent: what files that are not there would be of.
        covered: what files are of.
        begins: the first row of the first file; None where there is no file.
        trailing: what the files at the ends of `covered` lack behind their last row.
    """

    stored: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    reissued: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    absent: list[tuple[int, int]] = field(default_factory=list)
    covered: list[tuple[int, int]] = field(default_factory=list)
    trailing: list[tuple[int, int]] = field(default_factory=list)
    begins: int | None = None
    rejected: int = 0
    unheld: int = 0

    def rest(self, start: int, end: int) -> Spans:
        """What of [start, end) only REST can tell: nothing from before the first file."""
        first = start if self.begins is None else max(start, self.covered[0][0])
        return Spans.of(self.covered).complement(first, max(first, end))

    def add(self, download: Download) -> None:
        """A file whose minutes are stored."""
        if self.begins is None:
            self.begins = download.first
        self.covered.append((download.start, download.end))
        self.trailing.append((download.last + 1, download.end))


@dataclass(frozen=True, slots=True)
class _Found:
    """A file of the plan: `known` if it is stored as published, `read` if it is to be stored; else it is not there.

    Attributes:
        gone: it had been stored as published, and rows of it are there no more.
    """

    file: ArchiveFile
    known: Download | None = None
    read: CandleFile | None = None
    gone: bool = False
    bytes: int = 0


def download_files(
    database: Database,
    symbol: str,
    files: Sequence[ArchiveFile],
    fetcher: Fetcher,
    pace: Pace,
    progress: Progress,
    *,
    now: int,
    skip_invalid: bool = False,
) -> ArchiveReport:
    """Stores every file that is not stored as it is published now, in order, each in a transaction of its own.

    Args:
        files: ascending and disjoint.
        now: the epoch minute that the venue's clock shows.

    Raises:
        DownloadError: a file cannot be had, or not with its checksum, or what is in it cannot be taken. What was
            stored before stays.
        UserError: its values do not fit the symbol's decimals; likewise.
    """
    report = ArchiveReport()
    with database.arrow() as cursor:
        recorded = read_downloads(cursor, symbol)
        held = read_held(cursor, symbol, files[0].start, files[-1].end) if files else {}
    whole = {name for name, one in recorded.items() if held.get(name, 0) >= one.rows}
    progress.plan(sum(_minutes(file, now) for file in files))
    with (
        database.kept() as kept,
        _ahead(files, recorded, whole, fetcher, pace, now=now, skip_invalid=skip_invalid) as found,
    ):
        for one in found:
            file = one.file
            if one.known is not None:
                report.known.append(file.name)
                report.add(one.known)
                progress.pass_over(_minutes(file, now))
            elif one.read is None:
                report.absent.append((file.start, file.end))
                progress.plan(-_minutes(file, now))
            else:
                progress.begin(file.name)
                _store(kept, symbol, one, one.read, report, progress, _minutes(file, now))
                if one.gone:
                    report.restored.append(file.name)
                elif file.name in recorded:
                    report.reissued.append(file.name)
    return report


def _store(
    database: Database,
    symbol: str,
    found: _Found,
    read: CandleFile,
    report: ArchiveReport,
    progress: Progress,
    minutes: int,
) -> None:
    file = found.file
    download = Download(
        file.name,
        file.url,
        read.sha256,
        found.bytes,
        file.start,
        file.end,
        len(read.minutes),
        int(read.minutes.time[0]),
        int(read.minutes.time[-1]),
    )
    done = store_archive_file(database, symbol, read, download)
    report.stored.append(file.name)
    report.rejected += done.rejected
    report.unheld += len(read.unheld)
    report.add(download)
    progress.store(minutes, added=done.added, replaced=done.replaced, known=done.unchanged)


def _minutes(file: ArchiveFile, now: int) -> int:
    return min(file.end, now) - file.start


@contextmanager
def _ahead(
    files: Sequence[ArchiveFile],
    recorded: Mapping[str, Download],
    whole: Set[str],
    fetcher: Fetcher,
    pace: Pace,
    *,
    now: int,
    skip_invalid: bool,
) -> Iterator[Iterator[_Found]]:
    """The files as they are found, in order, by a thread that is one file ahead; it ends with the block."""
    ready: queue.Queue[_Found | BaseException | None] = queue.Queue(maxsize=1)

    def hand_over(one: _Found | BaseException | None) -> None:
        while not pace.stopped:
            try:
                ready.put(one, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for file in files:
                known = recorded.get(file.name)
                is_whole = file.name in whole
                hand_over(_find(file, known, fetcher, is_whole=is_whole, now=now, skip_invalid=skip_invalid))
            hand_over(None)
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 raised again where the files are wanted
            hand_over(error)

    def found() -> Iterator[_Found]:
        while (one := ready.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            yield one

    thread = threading.Thread(target=work, name="fetching", daemon=True)
    thread.start()
    try:
        yield found()
    except BaseException:
        pace.stop()
        raise
    finally:
        thread.join(JOIN_SECONDS)


def _find(
    file: ArchiveFile, recorded: Download | None, fetcher: Fetcher, *, is_whole: bool, now: int, skip_invalid: bool
) -> _Found:
    published = fetcher.checksum(file)
    if published is None:
        return _Found(file)
    same = recorded is not None and recorded.sha256 == published
    if same and is_whole:
        return _Found(file, known=recorded)
    path, _ = fetcher.fetch(file, published)
    size = path.stat().st_size
    try:
        read = _read(file, path, now=now, skip_invalid=skip_invalid)
    except UserError as error:
        # Kept, it would never be fetched again while its checksum is the same.
        with suppress(OSError):
            path.unlink()
        raise DownloadError(_refusal(error)) from error
    return _Found(file, read=read, gone=same, bytes=size)


def _read(file: ArchiveFile, path: Path, *, now: int, skip_invalid: bool) -> CandleFile:
    read = read_candle_file(path, layout=AUTO, skip_invalid=skip_invalid, without_fine_quotes=True, now=now)
    first, last = int(read.minutes.time[0]), int(read.minutes.time[-1])
    if not file.start <= first <= last < file.end:
        raise UserError(
            f"{file.name}: its rows are of {to_datetime(first):%Y-%m-%d %H:%M} to {to_datetime(last):%Y-%m-%d %H:%M} "
            "UTC: by its name it is of another time",
            field="file",
        )
    return read


def _refusal(error: UserError) -> str:
    """Why a file of the venue's was not taken, and what the user can do about that."""
    problem, ways = str(error).rstrip("."), "the same command fetches it again"
    if isinstance(error, UnreadableFileError):
        problem = error.problem
        if error.row is not None and ONE_UNIT not in error.row.problem:
            ways += ", and with --skip-invalid leaves such rows out"
    return f"{problem}. Nothing of this file was stored: {ways}"
