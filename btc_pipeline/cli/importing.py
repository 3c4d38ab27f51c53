"""`import-candles`: a file of 1m candles into the database."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from btc_pipeline.cli.console import answers, errors, say_if_replay
from btc_pipeline.cli.options import parse_minutes
from btc_pipeline.errors import UserError
from btc_pipeline.importing.layouts import AUTO, LAYOUTS

if TYPE_CHECKING:
    from btc_pipeline.pipeline.imports import ImportReport

_LAYOUT_HELP = "; ".join(f"{name}: {layout.description}" for name, layout in LAYOUTS.items())


class Missing(StrEnum):
    """What a minute without a row means."""

    NO_TRADES = "no-trades"
    UNKNOWN = "unknown"


def import_candles(
    file: Annotated[Path, typer.Argument(help="1m candles: .csv, .csv.gz, .zip or .parquet", show_default=False)],
    symbol: Annotated[str, typer.Option(help="BTC, or NAME.VENUE such as BTCUSD.BITFINEX", show_default=False)],
    layout: Annotated[str, typer.Option(help=f"{AUTO}, or one of: {_LAYOUT_HELP}")] = AUTO,
    missing: Annotated[
        Missing, typer.Option(help="what a minute without a row means: nothing traded, or nobody knows")
    ] = Missing.UNKNOWN,
    outage_after: Annotated[
        str, typer.Option(help="a longer hole is unknown, also under --missing no-trades")
    ] = "180m",
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="leave wrong rows out and keep them in data_quality")
    ] = False,
) -> None:
    """Imports a file of 1m candles: all of it, or nothing."""
    longest = parse_minutes(outage_after, "outage-after")
    if not file.is_file():
        problem = "is not a file" if file.exists() else "does not exist"
        raise UserError(f"FILE {str(file)!r} {problem}.", field="file")
    from btc_pipeline.pipeline.imports import import_candles as import_file
    from btc_pipeline.settings import load_settings
    from btc_pipeline.storage.address import open_database

    settings = load_settings()
    say_if_replay(settings)
    database = open_database(settings)
    with errors.status("importing") as status:
        report = import_file(
            database,
            file,
            symbol,
            layout=layout,
            vouch=missing is Missing.NO_TRADES,
            outage_after=longest,
            skip_invalid=skip_invalid,
            say=status.update,
        )
    _print(report)


def _print(report: ImportReport) -> None:
    from btc_pipeline.storage.times import to_datetime

    first, last = to_datetime(report.first), to_datetime(report.last)
    answers.print(
        f"{report.instrument.symbol}: {report.rows:,} rows ({report.layout}), {first:%Y-%m-%d %H:%M} to "
        f"{last:%Y-%m-%d %H:%M} UTC"
    )
    answers.print(f"  {report.added:,} new, {report.replaced:,} replaced, {report.unchanged:,} known already")
    answers.print(f"  {report.quiet:,} minutes without trades, {report.unknown:,} minutes missing")
    if report.rejected:
        errors.print(f"  [yellow]{report.rejected:,} wrong rows left out[/yellow]; see data_quality")
    if report.added or report.replaced:
        answers.print("next: btc-pipeline materialize --stale")
