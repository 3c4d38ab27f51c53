"""The command's entry: its subcommands, and what becomes of a user's mistake."""

from __future__ import annotations

import logging
import sys

import typer
from rich.markup import escape

from btc_pipeline.cli import database, importing, materializing, services
from btc_pipeline.cli.console import errors
from btc_pipeline.errors import UserError

app = typer.Typer(
    help="A Bitcoin candle history you can trust, decisions on odd intervals, and backtests that equal the live run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("import-candles")(importing.import_candles)
app.command("materialize")(materializing.materialize)
app.command("up")(services.up)
app.command("exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(services.execute)
app.command("db-url")(database.db_url)
app.add_typer(database.app, name="db")


def main() -> None:
    """Runs the command. Exit code 2 for a user's mistake, 1 for a failure, 130 for Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app()
    except UserError as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("stopped")
        sys.exit(130)
