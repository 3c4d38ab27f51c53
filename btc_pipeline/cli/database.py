"""`db-url` and `db ...`: the embedded server, and where the database is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from btc_pipeline.cli.console import answers, errors, say_if_replay
from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from btc_pipeline.settings import Settings

app = typer.Typer(help="The embedded database server.", no_args_is_help=True)


def db_url() -> None:
    """Prints the database's address, for psql and other programs; starts the embedded server if need be."""
    from btc_pipeline.settings import read_settings
    from btc_pipeline.storage.address import database_uri, open_database

    settings = read_settings()
    open_database(settings)
    typer.echo(database_uri(settings))


@app.command("start")
def start() -> None:
    """Starts the embedded server and brings the schema up to date."""
    from btc_pipeline.settings import read_settings
    from btc_pipeline.storage.address import open_database

    settings = read_settings()
    open_database(settings)
    _print_state(settings)


@app.command("status")
def status() -> None:
    """Says where the database is and whether it runs. Exit code 1 if a server of yours (DB_HOST) does not answer."""
    from btc_pipeline.settings import read_settings

    _print_state(read_settings())


@app.command("stop")
def stop() -> None:
    """Stops the embedded server; who is connected loses the connection."""
    from btc_pipeline.settings import read_settings
    from btc_pipeline.storage.server import EmbeddedServer

    settings = read_settings()
    if settings.db_host:
        answers.print(f"DB_HOST is set: the server at {settings.db_host} is not this command's to stop.", markup=False)
        return
    server = EmbeddedServer(settings.data_dir)
    if not server.running():
        answers.print(f"the database in {settings.data_dir} is not running", markup=False)
        return
    server.stop()
    answers.print(f"the database in {settings.data_dir} is stopped", markup=False)


def _print_state(settings: Settings) -> None:
    from btc_pipeline.storage.address import database_uri
    from btc_pipeline.storage.connection import Database
    from btc_pipeline.storage.server import EmbeddedServer

    say_if_replay(settings)
    if settings.db_host:
        where = f"server {settings.db_host}:{settings.db_port}, database {settings.db_name} (DB_HOST is set)"
        try:
            with Database(database_uri(settings)).rows():
                answers.print(f"{where}: answers", markup=False)
        except UserError as error:
            errors.print(f"[red]down:[/red] {escape(str(error))}")
            raise typer.Exit(1) from error
        return
    server = EmbeddedServer(settings.data_dir)
    if not server.running():
        answers.print(f"embedded server in {settings.data_dir}: not running", markup=False)
        return
    others = server.other_connections()
    answers.print(
        f"embedded server in {settings.data_dir}: running, PostgreSQL {server.postgres_version}, "
        f"{others} connection{'' if others == 1 else 's'}",
        markup=False,
    )
