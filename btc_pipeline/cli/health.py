"""`health`: the truth of `/api/v1/health` on a terminal, and as an exit code."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from btc_pipeline.cli.console import answers, errors, print_json, say_if_replay
from btc_pipeline.cli.options import FeedOption, JsonOption
from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btc_pipeline.pipeline.health import HealthReport, SymbolHealth
    from btc_pipeline.settings import Settings
    from btc_pipeline.storage.connection import Database
    from btc_pipeline.storage.health import Question, Rows

# A table is as wide as what is in it, however narrow the terminal: its lines are sentences, too.
_TABLES: Final = Console(highlight=False, width=200)


def health(
    as_json: JsonOption = False,
    collector: Annotated[bool, typer.Option("--collector", help="of the collector alone: quick, one line")] = False,
    feed: FeedOption = None,  # noqa: ARG001 its callback does it
) -> None:
    """Says whether everything is well: exit code 0 if it is, 1 if not or if the database is away."""
    from btc_pipeline.settings import load_settings, read_settings

    try:
        well = _collector_alone(read_settings()) if collector else _everything(load_settings(), as_json=as_json)
    except DatabaseAwayError as away:
        if as_json:
            print_json({"status": "down", "problems": [str(away)]})
        else:
            errors.print(f"[red]down:[/red] {escape(str(away))}")
        well = False
    if not well:
        sys.exit(1)


class DatabaseAwayError(Exception):
    """There is nobody to ask; one sentence."""


def _everything(settings: Settings, *, as_json: bool) -> bool:
    from btc_pipeline.pipeline.health import assess_health, health_questions

    rows = _read(settings, health_questions(settings))
    report = assess_health(rows, settings, datetime.now(UTC))
    if as_json:
        print_json(report.to_dict())
    else:
        say_if_replay(settings)
        _print(report)
    return report.ok


def _collector_alone(settings: Settings) -> bool:
    from btc_pipeline.pipeline.collection import assess_collector
    from btc_pipeline.storage.health import COLLECTORS

    rows = _read(settings, {"collectors": (COLLECTORS, ())})["collectors"]
    found = assess_collector(rows, datetime.now(UTC), settings.collected)
    say_if_replay(settings)
    for one in found:
        answers.print(f"{one.symbol}: {one.message}", markup=False)
    for symbol in sorted({*settings.collected} - {one.symbol for one in found}):
        answers.print(f"{symbol}: was never collected; btc-pipeline up does it", markup=False)
    return bool(found) and all(one.healthy for one in found)


def _read(settings: Settings, questions: Mapping[str, Question]) -> dict[str, Rows]:
    """The rows; nothing is started and no schema is changed for the question.

    Raises:
        DatabaseAwayError: it does not run, does not answer, or is of another version.
    """
    import psycopg

    from btc_pipeline.storage.health import read

    try:
        return read(_database(settings), questions)
    except UserError as error:
        raise DatabaseAwayError(str(error)) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise DatabaseAwayError("the database has no schema of this version yet: btc-pipeline up makes it.") from error
    except psycopg.OperationalError as error:
        raise DatabaseAwayError(f"the database went away: {' '.join(str(error).split())}") from error


def _database(settings: Settings) -> Database:
    from btc_pipeline.storage.address import database_uri
    from btc_pipeline.storage.connection import Database
    from btc_pipeline.storage.server import EmbeddedServer

    if not settings.db_host and not EmbeddedServer(settings.data_dir).running():
        raise DatabaseAwayError(f"the database in {settings.data_dir} is not running: btc-pipeline up starts it.")
    return Database(database_uri(settings))


def _print(report: HealthReport) -> None:
    colour = "green" if report.ok else "red"
    answers.print(f"[{colour}]{report.status}[/{colour}] at {report.time:%Y-%m-%d %H:%M:%S} UTC")
    for problem in report.problems:
        answers.print(f"  [red]problem[/red] {escape(problem)}")
    for warning in report.warnings:
        answers.print(f"  [yellow]warning[/yellow] {escape(warning)}")
    if not report.symbols:
        answers.print("nothing is stored yet: btc-pipeline up collects, btc-pipeline import-candles takes a file")
    for one in report.symbols:
        answers.print()
        _TABLES.print(_facts(one))
        if one.readiness:
            _TABLES.print(_strategies(one))


def _facts(one: SymbolHealth) -> Table:
    from btc_pipeline.pipeline.collection import shown

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row(f"[bold]{escape(one.symbol)}[/bold]", one.feed or "imported, not collected")
    if one.last_minute is None:
        table.add_row("  last closed minute", "none yet")
    else:
        table.add_row("  last closed minute", f"{shown(one.last_minute)}, closed {_ago(one.age_seconds)}")
    table.add_row(
        "  gaps", f"{one.open_gaps:,} open now, {one.recent_open_gaps:,} of them in the last seven days of its data"
    )
    if (collector := one.collector) is not None:
        table.add_row(
            "  collector", escape(f"{collector.message}; its heartbeat {_ago(collector.heartbeat_age_seconds)}")
        )
        table.add_row("  spool", f"{collector.spooled_minutes:,} minutes" if collector.spooled_minutes else "empty")
    if (last := one.last_decision) is not None:
        what = f"{last.type} by {last.strategy} on {last.interval}"
        table.add_row("  last decision", escape(f"{what} at the close of {shown(last.decided_at)}"))
    else:
        table.add_row("  last decision", "none yet")
    return table


def _strategies(one: SymbolHealth) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("  strategy")
    table.add_column("interval")
    table.add_column("opinion")
    for found in one.readiness:
        colour = "green" if found.ready else "yellow"
        table.add_row(f"  {escape(found.strategy)}", found.interval, f"[{colour}]{escape(found.reason)}[/{colour}]")
    return table


def _ago(seconds: int | None) -> str:
    from datetime import timedelta

    from btc_pipeline.pipeline.collection import in_words

    return f"{in_words(timedelta(seconds=seconds or 0))} ago"
