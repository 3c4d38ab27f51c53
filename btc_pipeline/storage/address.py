"""Where the database is: the server that `DB_HOST` names, or the embedded one in the data folder."""

from __future__ import annotations

from typing import Final

from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database, libpq_uri
from btc_pipeline.storage.migrate import migrate
from btc_pipeline.storage.server import EmbeddedServer

DAGSTER_DATABASE: Final = "dagster"


def database_uri(settings: Settings, database: str | None = None) -> str:
    """The libpq URI of a database (`DB_NAME` by default); starts the embedded server if that is where it is.

    Raises:
        UserError: the embedded server cannot be started.
    """
    if settings.db_host:
        return libpq_uri(
            host=settings.db_host,
            port=settings.db_port,
            name=database or settings.db_name,
            user=settings.db_user,
            password=settings.db_password.get_secret_value(),
        )
    server = EmbeddedServer(settings.data_dir)
    server.ensure_running()
    return server.uri(database) if database else server.uri()


def open_database(settings: Settings) -> Database:
    """The pipeline's database, its schema up to date.

    Raises:
        UserError: it does not answer.
    """
    database = Database(database_uri(settings))
    migrate(database)
    return database
