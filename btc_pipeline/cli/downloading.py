"""`download`: a venue's past, from its archive and its REST."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from btc_pipeline.cli.console import answers, errors, print_json, say_if_replay
from btc_pipeline.cli.options import FeedOption, parse_day
from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from btc_pipeline.downloading.download import DownloadReport
    from btc_pipeline.downloading.progress import Progress
    from btc_pipeline.settings import Settings

LINE_EVERY_SECONDS: Final = 10.0
NEXT: Final = "btc-pipeline materialize --stale"


def download(
    symbol: Annotated[str, typer.Option(help="BTC, or NAME.VENUE such as BTCUSDT.BINANCE", show_default=False)],
    start: Annotated[str, typer.Option(help="first day, UTC", show_default=False)],
    end: Annotated[str | None, typer.Option(help="day after the last, UTC; by default up to now")] = None,
    materialize: Annotated[
        bool, typer.Option("--materialize", help="then make candles, indicators and decisions of it")
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="leave a file's wrong rows out and keep them in data_quality")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the report for programs")] = False,
    feed: FeedOption = None,  # noqa: ARG001 its callback does it
) -> None:
    """Downloads minutes: files of the venue's archive first, then REST. The same command again goes on where it was."""
    first = parse_day(start, "start") * 1440
    last = None if end is None else parse_day(end, "end") * 1440
    if as_json and materialize:
        raise UserError(f"--json and --materialize do not go together: run {NEXT} afterwards.", field="json")
    from btc_pipeline.downloading.download import Order
    from btc_pipeline.settings import load_settings

    settings = load_settings()
    say_if_replay(settings, as_json=as_json)
    report = _run(settings, Order(symbol, first, last, skip_invalid))
    if as_json:
        print_json(as_mapping(report))
        return
    _print(report)
    if not materialize:
        answers.print(f"next: {NEXT}")
        return
    if report.first is not None:
        from btc_pipeline.cli.materializing import materialize as make

        make(start=None, end=None, symbol=[report.symbol], stale=True)


def as_mapping(report: DownloadReport) -> dict[str, Any]:
    """The report as JSON has it: times in ISO 8601."""
    from btc_pipeline.storage.times import to_datetime

    def moment(minute: int | None) -> str | None:
        return None if minute is None else f"{to_datetime(minute):%Y-%m-%dT%H:%M:00Z}"

    archive = dataclasses.asdict(report.archive)
    return {
        "symbol": report.symbol,
        "venue": report.venue,
        "start": moment(report.start),
        "end": moment(report.end),
        "first_minute": moment(report.first),
        "last_minute": moment(report.last),
        "stored": report.stored,
        "missing": report.missing,
        "rows": {"new": report.added, "replaced": report.replaced, "known": report.known},
        "files": {name: archive[name] for name in ("stored", "known", "reissued", "restored")},
        "rejected_rows": report.archive.rejected + report.rest.rejected,
        "unheld_quote_volumes": report.archive.unheld,
        "gaps": report.gaps,
        "notes": report.notes,
    }


def _run(settings: Settings, order: Any) -> DownloadReport:
    """The download, shown while it works.

    Raises:
        typer.Exit: it failed; why has been printed.
    """
    import adbc_driver_manager
    import psycopg
    import structlog

    from btc_pipeline.downloading.download import download as work
    from btc_pipeline.downloading.errors import GO_ON, DownloadError
    from btc_pipeline.storage.address import open_database

    # Warnings of the clients would stand among the answers.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        with _shown() as progress:
            return work(
                settings,
                open_database(settings),
                order,
                progress=progress,
                say=lambda line: errors.print(f"[yellow]note:[/yellow] {escape(line)}"),
            )
    except DownloadError as error:
        errors.print(f"[red]failed:[/red] {escape(str(error))}.")
    except (adbc_driver_manager.Error, psycopg.OperationalError) as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        errors.print(f"[red]failed:[/red] the database went away: {escape(words)}. {GO_ON}.")
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on from here")
        raise typer.Exit(130) from None
    raise typer.Exit(1)


@contextmanager
def _shown() -> Iterator[Progress]:
    """Counts that are shown as a bar, or as a line now and then where there is no terminal."""
    from btc_pipeline.downloading.progress import Progress

    if not errors.is_terminal:
        said = time.monotonic()

        def line(progress: Progress) -> None:
            nonlocal said
            if progress.item and time.monotonic() - said >= LINE_EVERY_SECONDS:
                said = time.monotonic()
                errors.print(
                    f"{progress.item}: {progress.done:,} of {progress.planned:,} minutes, {progress.rate:,.0f} rows/s, "
                    f"{_left(progress)} left",
                    markup=False,
                )

        yield Progress(show=line)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Bar(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("asking the venue", total=None, told="")

        def draw(progress: Progress) -> None:
            told = f"{progress.stored:,} rows  {progress.rate:,.0f} rows/s  {_left(progress)} left"
            if progress.fetched_bytes:
                told += f"  {progress.fetched_bytes / 1e6:,.1f} MB"
            bar.update(
                task,
                description=progress.item or "asking the venue",
                total=progress.planned or None,
                completed=progress.done,
                told=told,
            )

        yield Progress(show=draw)


def _left(progress: Progress) -> str:
    seconds = progress.seconds_left
    if seconds is None:
        return "?"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _print(report: DownloadReport) -> None:
    from btc_pipeline.storage.times import to_datetime

    first = report.begins if report.begins < report.end else report.start
    span = f"{to_datetime(first):%Y-%m-%d %H:%M} to {to_datetime(report.end - 1):%Y-%m-%d %H:%M} UTC"
    if report.begins >= report.end:
        answers.print(f"{report.symbol}: {span}: its venue has nothing of that time")
    else:
        answers.print(f"{report.symbol}: {span}: {report.stored:,} minutes stored, {report.missing:,} missing")
    answers.print(f"  {report.added:,} minutes new, {report.replaced:,} replaced, {report.known:,} known already")
    if report.archive.stored or report.archive.known:
        counts = {"issued again": len(report.archive.reissued), "whose rows were gone": len(report.archive.restored)}
        again = ", ".join(f"{count:,} {why}" for why, count in counts.items() if count)
        again = f" ({again})" if again else ""
        answers.print(
            f"  {len(report.archive.stored):,} files stored{again}, {len(report.archive.known):,} known already"
        )
    if report.missing:
        left = report.missing - sum(report.gaps.values())
        reasons = {**report.gaps, **({"without a reason yet": left} if left > 0 else {})}
        answers.print(f"  missing: {', '.join(f'{minutes:,} {reason}' for reason, minutes in reasons.items())}")
    rejected = report.archive.rejected + report.rest.rejected
    if rejected:
        errors.print(f"  [yellow]{rejected:,} wrong rows left out[/yellow]; see data_quality")
    if report.archive.unheld:
        answers.print(
            f"  {report.archive.unheld:,} quote volumes have more digits than can be kept: unknown; see data_quality"
        )
