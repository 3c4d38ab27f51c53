"""`materialize`: the same job as in the Dagster UI, run from a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from btc_pipeline.cli.console import answers, errors, say_if_replay
from btc_pipeline.cli.options import parse_day
from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from btc_pipeline.market.instruments import Instrument
    from btc_pipeline.pipeline.chain import Chain
    from btc_pipeline.pipeline.refresh import Report
    from btc_pipeline.settings import Settings

INTERRUPTED: Final = "DagsterExecutionInterruptedError"

PASSES: Final = 3
"""How often days are made again that changed while others were made: beside a collector today always does."""


class RunFailedError(typer.Exit):
    """A run of the job failed, and why has been printed: `reason` is that line.

    `mistake`: it is a user's to mend, and the same again would fail again.
    """

    def __init__(self, reason: str, *, mistake: bool) -> None:
        super().__init__(1)
        self.reason = reason
        self.mistake = mistake


def materialize(
    start: Annotated[str | None, typer.Option(help="first day, UTC; by default the first stored")] = None,
    end: Annotated[str | None, typer.Option(help="day after the last, UTC; by default after the last stored")] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="may be given several times; by default all")] = None,
    stale: Annotated[bool, typer.Option("--stale", help="only the days whose inputs changed")] = False,
) -> None:
    """Makes candles, indicators and decisions of a range of days, or of all days that need it."""
    from btc_pipeline.pipeline.catalogue import build_catalogue
    from btc_pipeline.pipeline.chain import Chain
    from btc_pipeline.settings import load_settings
    from btc_pipeline.storage.address import open_database

    settings = load_settings()
    say_if_replay(settings)
    chain = Chain(open_database(settings), build_catalogue(settings), settings.rule)
    instruments = _instruments(chain, symbol or [])
    days = _days(chain, settings, instruments, start, end)
    if stale:
        _materialize_stale(chain, settings, instruments, days)
    elif not _is_stale(chain, instruments, days):
        answers.print(f"{_span(days)}: everything is up to date (inputs, code and stored rows verified)")
    else:
        _run(settings, days, instruments, chain.catalogue.names)


def _materialize_stale(chain: Chain, settings: Settings, instruments: Sequence[Instrument], days: range) -> None:
    """Makes what is stale, and then what changed meanwhile.

    Raises:
        UserError: days changed in every pass.
        RunFailedError: a run failed.
    """
    left = _stale(chain, instruments, days)
    if not left:
        answers.print(f"{_span(days)}: nothing is stale")
    for _ in range(PASSES):
        if not left:
            return
        _make_stale(chain, settings, instruments, days)
        left = _stale(chain, instruments, days)
    if left:
        count = len({day for found in left.values() for day in found})
        changed = "1 day" if count == 1 else f"{count:,} days"
        raise UserError(f"{changed} changed meanwhile: run materialize --stale again.")


def _make_stale(chain: Chain, settings: Settings, instruments: Sequence[Instrument], days: range) -> None:
    """Layer after layer, because what is stale downstream is known only once the upstream is made."""
    from btc_pipeline.pipeline.staleness import merged_ranges

    catalogue = chain.catalogue
    layers = (
        [catalogue.names[0]],
        [asset.name for asset in catalogue.bars],
        [asset.name for asset in catalogue.derived[len(catalogue.bars) :]],
    )
    for layer in layers:
        found = _stale(chain, instruments, days)
        wanted = {name: found[name] for name in layer if name in found}
        for span in merged_ranges(sorted({day for stale in wanted.values() for day in stale})):
            _run(settings, span, instruments, [name for name, stale in wanted.items() if _touches(stale, span)])


def _stale(chain: Chain, instruments: Sequence[Instrument], days: range) -> dict[str, list[int]]:
    """Stale days by asset, of all the instruments."""
    from btc_pipeline.pipeline.clock import now_minute
    from btc_pipeline.pipeline.staleness import read_symbol_digests, stale_days

    merged: dict[str, set[int]] = {}
    with chain.database.arrow() as cursor:
        for instrument in instruments:
            digests = read_symbol_digests(cursor, instrument, chain.catalogue)
            known = digests.days(days.start)
            span = range(max(days.start, known.start), max(days.start, min(days.stop, known.stop)))
            for name, found in stale_days(digests, chain.catalogue, span, now_minute()).items():
                merged.setdefault(name, set()).update(found)
    return {name: sorted(found) for name, found in merged.items()}


def _is_stale(chain: Chain, instruments: Sequence[Instrument], days: range) -> bool:
    """Digests first, which is cheap; then whether the rows still are what their digests say."""
    from btc_pipeline.pipeline.clock import now_minute

    if _stale(chain, instruments, days):
        return True
    with errors.status("verifying stored rows"):
        return any(
            report.recomputed
            for instrument in instruments
            for report in chain.refresh(instrument, days, now_minute(), verify_only=True).values()
        )


def _run(settings: Settings, days: range, instruments: Sequence[Instrument], assets: Iterable[str]) -> None:
    """One run of the job over a range of days.

    Raises:
        RunFailedError: the run failed.
        KeyboardInterrupt: it was stopped.
    """
    from btc_pipeline.defs.launch import run_in_process

    names = list(assets)
    answers.print(f"{_span(days)}: {', '.join(names)}")
    with _progress() as progress:
        bar = progress.add_task("starting Dagster", total=len(names) * len(instruments))

        def show(report: Report) -> None:
            progress.update(bar, advance=1, description=f"{report.asset} {report.symbol}")
            progress.print(
                f"  {report.asset:<16} {report.symbol:<16} {report.rows:>9,} rows; days: "
                f"{len(report.recomputed):,} recomputed, {len(report.written):,} written"
            )

        outcome = run_in_process(settings, days, [i.symbol for i in instruments], names, show)
    if outcome.error and INTERRUPTED in outcome.error:
        raise KeyboardInterrupt
    for line in outcome.failed_checks:
        answers.print(f"  [yellow]check[/yellow] {escape(line)}")
    if outcome.error:
        errors.print(f"[red]failed:[/red] {escape(outcome.error)}")
        errors.print(f"run {outcome.run_id} in the Dagster UI has the whole story")
        raise RunFailedError(f"{outcome.error} (run {outcome.run_id} in the Dagster UI)", mistake=outcome.mistake)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    )


def _instruments(chain: Chain, symbols: Sequence[str]) -> list[Instrument]:
    from btc_pipeline.storage.instruments import find_instrument, read_instruments

    with chain.database.arrow() as cursor:
        if symbols:
            return [find_instrument(cursor, symbol) for symbol in symbols]
        stored = read_instruments(cursor)
    if not stored:
        raise UserError("nothing is stored yet: btc-pipeline import-candles FILE --symbol NAME.VENUE")
    return stored


def _days(
    chain: Chain, settings: Settings, instruments: Sequence[Instrument], start: str | None, end: str | None
) -> range:
    """The days asked for, by default all that are stored.

    Raises:
        UserError: they lie before the first partition, after today, or the wrong way round.
    """
    from btc_pipeline.pipeline.clock import today
    from btc_pipeline.pipeline.staleness import read_symbol_digests
    from btc_pipeline.storage.times import to_date, to_day

    first = to_day(settings.start_date)
    with chain.database.arrow() as cursor:
        known = [read_symbol_digests(cursor, instrument, chain.catalogue).days(first) for instrument in instruments]
    stored = [days for days in known if len(days)]
    if not stored:
        raise UserError(
            f"no minutes are stored from {settings.start_date} on; set start_date in config/pipeline.yaml to an "
            "earlier day, or import some.",
            field="start_date",
        )
    begin = parse_day(start, "start") if start else min(days.start for days in stored)
    stop = parse_day(end, "end") if end else max(days.stop for days in stored)
    if begin < first:
        raise UserError(
            f"--start {start} is before the first partition, {settings.start_date} (start_date).", field="start"
        )
    if stop > today() + 1:
        raise UserError(f"--end {end} is after tomorrow, {to_date(today() + 1)}.", field="end")
    if begin >= stop and not end:
        raise UserError(f"--start {start} is after the last stored day, {to_date(stop - 1)}.", field="start")
    if begin >= stop and not start:
        raise UserError(f"--end {end} is not after the first stored day, {to_date(begin)}.", field="end")
    if begin >= stop:
        raise UserError(f"--start {to_date(begin)} is not before --end {to_date(stop)}.", field="start")
    return range(begin, stop)


def _touches(days: Sequence[int], span: range) -> bool:
    return any(day in span for day in days)


def _span(days: range) -> str:
    from btc_pipeline.storage.times import to_date

    return f"{to_date(days.start)} to {to_date(days.stop)}"
