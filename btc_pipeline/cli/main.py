"""The command's entry: its subcommands, and what becomes of a user's mistake."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperGroup

from btc_pipeline.cli import (
    backtest_runs,
    backtesting,
    collecting,
    database,
    downloading,
    health,
    importing,
    materializing,
    replaying,
    services,
    sweeping,
    verifying,
)
from btc_pipeline.cli.console import errors
from btc_pipeline.cli.options import FeedOption
from btc_pipeline.errors import UserError


class Commands(TyperGroup):
    """The subcommands; Ctrl-C is said, which Typer would leave at an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the one that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _stopped()


app = typer.Typer(
    cls=Commands,
    help="A Bitcoin candle history you can trust, decisions on odd intervals, and backtests that equal the live run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(services.up)
app.command("health")(health.health)
app.command("import-candles")(importing.import_candles)
app.command("download")(downloading.download)
app.command("materialize")(materializing.materialize)
app.command("backtest")(backtesting.backtest)
app.command("sweep")(sweeping.sweep)
app.add_typer(backtest_runs.app, name="backtests")
app.command("collect")(collecting.collect)
app.command("replay-exchange")(replaying.replay_exchange)
app.command("exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(services.execute)
app.command("db-url")(database.db_url)
app.add_typer(verifying.app, name="verify")
app.add_typer(database.app, name="db")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"btc-pipeline {version('btc-pipeline')}")
        raise typer.Exit


CANCELLED: Final = "canceling statement due to user request"
"""What a Ctrl-C becomes while the server works: the driver passes it on, and takes it for the server's error."""


@app.callback()
def options(
    feed: FeedOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="the version, and nothing else")
    ] = False,
) -> None:
    """What goes before every command."""


def main() -> None:
    """Runs the command. Exit code 2 for a user's mistake, 1 for a failure, 130 for Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app()
    except UserError as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        _stopped()
    except Exception as error:
        if CANCELLED not in str(error):
            raise
        _stopped()


def _stopped() -> NoReturn:
    errors.print("stopped")
    sys.exit(130)
