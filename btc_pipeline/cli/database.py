"""`db-url` and `db ...`: the embedded server, and where the database is."""

from __future__ import annotations

import typer

from btc_pipeline.cli.console import answers
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.address import database_uri, open_database
from btc_pipeline.storage.server import EmbeddedServer

app = typer.Typer(help="The embedded database server.", no_args_is_help=True)


def db_url() -> None:
    """Prints the database's address, for psql and other programs; starts the embedded server if need be."""
    settings = load_settings()
    open_database(settings)
    typer.echo(database_uri(settings))


@app.command("start")
def start() -> None:
    """Starts the embedded server and brings the schema up to date."""
    settings = load_settings()
    open_database(settings)
    answers.print(_state(settings), markup=False)


@app.command("status")
def status() -> None:
    """Says where the database is and whether it runs."""
    answers.print(_state(load_settings()), markup=False)


@app.command("stop")
def stop() -> None:
    """Stops the embedded server; who is connected loses the connection."""
    settings = load_settings()
    if settings.db_host:
        answers.print(f"DB_HOST is set: the server at {settings.db_host} is not this command's to stop.", markup=False)
        return
    server = EmbeddedServer(settings.data_dir)
    if not server.running():
        answers.print(f"the database in {settings.data_dir} is not running", markup=False)
        return
    server.stop()
    answers.print(f"the database in {settings.data_dir} is stopped", markup=False)


def _state(settings: Settings) -> str:
    if settings.db_host:
        return f"server {settings.db_host}:{settings.db_port}, database {settings.db_name} (DB_HOST is set)"
    server = EmbeddedServer(settings.data_dir)
    if not server.running():
        return f"embedded server in {settings.data_dir}: not running"
    others = server.other_connections()
    return (
        f"embedded server in {settings.data_dir}: running, PostgreSQL {server.postgres_version}, "
        f"{others} connection{'' if others == 1 else 's'}"
    )
