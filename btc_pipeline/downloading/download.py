"""A download from its beginning to its report: the archive's files, then REST for what is in none.

Belongs here: what is asked of whom, in which order. Does not belong here: the two roads themselves (`archive`,
`rest_tail`), and how it is shown (`cli`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from btc_pipeline.downloading import tally
from btc_pipeline.downloading.archive import ArchiveReport, download_files
from btc_pipeline.downloading.fetching import Fetcher
from btc_pipeline.downloading.pace import Pace
from btc_pipeline.downloading.progress import Progress
from btc_pipeline.downloading.rest_tail import Patient, RestReport, download_rest
from btc_pipeline.downloading.slices import SliceStore
from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.exchanges.base import Coin
from btc_pipeline.exchanges.provider import Provider
from btc_pipeline.exchanges.venues import require_provider
from btc_pipeline.market.candles import Scale
from btc_pipeline.market.instruments import canonical_symbol, split_symbol
from btc_pipeline.market.spans import Spans
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.downloads import only_download
from btc_pipeline.storage.holes import gap_counts
from btc_pipeline.storage.times import to_datetime
from btc_pipeline.timing.clock import Clock, SystemClock

FOLDER: Final = "downloads"
CLOSED_FOR_SECONDS: Final = 5.0
"""A minute that closed less long ago may still change."""
REPLAY_FIRST: Final = "start btc-pipeline up --feed replay or btc-pipeline replay-exchange first"


@dataclass
class DownloadReport:
    """What a download did; times are epoch minutes.

    Attributes:
        start, end: what was asked for, [start, end), as far as the venue gives it.
        archive, rest: what came by which road.
        begins: the coin's first minute, or start if that is later.
        first, last: what is stored of [start, end) now; None where nothing is.
        stored, missing: minutes of [begins, end).
        added, replaced, known: the stored ones, by what became of them.
        gaps: open gaps in [start, end): reason -> minutes.
        notes: what the user should know, a sentence each.
    """

    symbol: str
    venue: str
    start: int
    end: int
    archive: ArchiveReport = field(default_factory=ArchiveReport)
    rest: RestReport = field(default_factory=RestReport)
    begins: int = 0
    first: int | None = None
    last: int | None = None
    stored: int = 0
    missing: int = 0
    added: int = 0
    replaced: int = 0
    known: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be downloaded: epoch minutes [start, end), up to now without an end.

    Raises:
        UserError: there is no minute in it.
    """

    symbol: str
    start: int
    end: int | None = None
    skip_invalid: bool = False

    def __post_init__(self) -> None:
        if self.end is not None and self.start >= self.end:
            raise UserError(
                f"--start {to_datetime(self.start):%Y-%m-%d} is not before --end {to_datetime(self.end):%Y-%m-%d}: "
                "give the day after the last.",
                field="end",
            )


@dataclass(frozen=True, slots=True)
class Venue:
    """The venue's clients, and what it said of itself and of the coin."""

    provider: Provider
    coin: str
    patient: Patient
    now: float
    listed: Coin | None
    hint: str

    @property
    def minute(self) -> int:
        """The epoch minute up to which minutes are closed for good."""
        return int(self.now - CLOSED_FOR_SECONDS) // 60


def download(
    settings: Settings,
    database: Database,
    order: Order,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
    pace: Pace | None = None,
) -> DownloadReport:
    """Brings a symbol's minutes of a time up to what its venue has.

    Files that are stored as they are published now, and minutes that are stored, are not asked for again: after an
    interruption the same call goes on where it was.

    Args:
        progress: counts while it works.
        say: told what the user should know, as soon as it is known.
        clock, pace: how pauses are waited for.

    Raises:
        UserError: the symbol or the time is wrong, or another download of the symbol is at work.
        DownloadError: the venue does not give what it should; what was stored stays.
    """
    symbol = canonical_symbol(order.symbol)
    venue, coin = split_symbol(symbol)
    provider = require_provider(settings, venue, symbol)
    clock = clock or SystemClock()
    # A replay has a time of its own, which its exchange tells.
    if settings.feed != "replay":
        _check_past(order.start, int(clock.now()) // 60)
    work = _Work(settings, database, provider, symbol, coin, order, progress or Progress(), say)
    # A runner, not one coroutine: Ctrl-C ends a coroutine only where it waits, and files are stored without waiting.
    with only_download(database, symbol), asyncio.Runner() as runner:
        return work.run(runner, clock, pace or Pace())


class _Work:
    """One download."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        provider: Provider,
        symbol: str,
        coin: str,
        order: Order,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        self._folder: Path = settings.data_dir / FOLDER / provider.name / coin
        self._database = database
        self._provider = provider
        self._symbol = symbol
        self._coin = coin
        self._order = order
        self._progress = progress
        self._say = say
        self._remedy = REPLAY_FIRST if settings.feed == "replay" else ""

    def run(self, runner: asyncio.Runner, clock: Clock, pace: Pace) -> DownloadReport:
        rest = self._provider.rest(self._provider.addresses, clock)
        try:
            venue = runner.run(self._ask(Patient(rest, clock, self._say, self._remedy)))
            report = self._begin(venue)
            was = tally.before(self._database, self._symbol, report.start, report.end)
            self._archive(venue, report, pace, clock)
            runner.run(self._rest(venue, report))
        finally:
            runner.run(rest.close())
        done = tally.after(self._database, self._symbol, report.start, report.end, was, report.archive.begins)
        report.begins, report.first, report.last = done.begins, done.first, done.last
        report.stored, report.missing = done.stored, done.missing
        report.added, report.replaced, report.known = done.added, done.replaced, done.known
        with self._database.arrow() as cursor:
            report.gaps = gap_counts(cursor, self._symbol, report.begins, report.end)
        return report

    async def _ask(self, patient: Patient) -> Venue:
        now = await patient.ask("its clock", patient.rest.time)
        coins = await patient.ask("its instruments", lambda: patient.rest.coins({self._coin}))
        near = get_close_matches(self._coin, coins, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"try {self._provider.example}."
        return Venue(self._provider, self._coin, patient, now, coins.get(self._coin), hint)

    def _begin(self, venue: Venue) -> DownloadReport:
        """The report of what can be asked for.

        Raises:
            UserError: nothing can.
        """
        start, end = self._order.start, min(self._order.end or venue.minute, venue.minute)
        _check_past(start, venue.minute)
        if venue.listed is None and self._provider.archive is None:
            raise _no_such_coin(self._symbol, venue)
        report = DownloadReport(self._symbol, self._provider.name, start, end)
        kept = venue.patient.rest.retention_minutes
        if kept is not None and self._provider.archive is None and start < venue.minute - kept + 1:
            report.start = min(venue.minute - kept + 1, end)
            self._note(
                report,
                f"{self._provider.name} gives only its newest {kept:,} minutes, from "
                f"{to_datetime(report.start):%Y-%m-%d %H:%M} UTC on: what is older cannot be downloaded from it",
            )
        return report

    def _archive(self, venue: Venue, report: DownloadReport, pace: Pace, clock: Clock) -> None:
        if self._provider.archive is None:
            return
        addresses = self._provider.addresses
        files = self._provider.archive(addresses).files(self._coin, report.start, report.end, venue.minute)
        fetcher = Fetcher(
            self._folder,
            addresses.archive_url or addresses.api_url,
            pace,
            on_bytes=lambda _name, count: self._progress.fetch(count),
            say=self._say,
            now=clock.now,
            remedy=self._remedy,
        )
        try:
            report.archive = download_files(
                self._database,
                self._symbol,
                files,
                fetcher,
                pace,
                self._progress,
                now=venue.minute,
                skip_invalid=self._order.skip_invalid,
            )
        finally:
            fetcher.close()
        begins = report.archive.begins
        if begins is None and venue.listed is None:
            raise _no_such_coin(self._symbol, venue)
        if begins is not None and begins > report.start and report.archive.covered[0][0] >= report.start:
            self._note(report, f"{self._symbol} has minutes from {to_datetime(begins):%Y-%m-%d %H:%M} UTC on")

    async def _rest(self, venue: Venue, report: DownloadReport) -> None:
        if venue.listed is None:
            self._note(report, f"{self._provider.name} lists no {self._coin} any more: what no file has is missing")
            return
        spans = report.archive.rest(report.start, report.end)
        if not len(spans):
            return
        begins = set(spans.start.tolist())
        outages = [(one.start, one.end) for one in self._provider.outages]
        trailing = [(start, end) for start, end in report.archive.trailing if end in begins]
        inside = [pair for start, end in spans.pairs() for pair in Spans.of(outages).clip(start, end).pairs()]
        store = SliceStore(
            self._database,
            self._symbol,
            self._provider.name,
            venue.listed.scale if venue.listed else Scale(0, 0),
            now=venue.minute,
            proven=Spans.of([*trailing, *inside]),
        )
        report.rest = await download_rest(venue.patient, store, self._coin, spans, self._progress)

    def _note(self, report: DownloadReport, sentence: str) -> None:
        report.notes.append(sentence)
        self._say(sentence)


def _check_past(start: int, now: int) -> None:
    if start >= now:
        raise UserError(
            f"--start {to_datetime(start):%Y-%m-%d} is in the future: there are no minutes yet.", field="start"
        )


def _no_such_coin(symbol: str, venue: Venue) -> UserError:
    return UnknownNameError(
        f"symbol {symbol!r}: {venue.provider.name} has no instrument {venue.coin}; {venue.hint}", field="symbol"
    )
