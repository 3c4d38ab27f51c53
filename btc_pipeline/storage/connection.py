"""Connections: one address, two roads to it.

`Database.arrow` is the road of bulk data (ADBC's COPY, Arrow both ways), `Database.rows` that of small statements
(psycopg). Both are short-lived and one at a time for each caller, so a process holds as many connections as it has
bodies running.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import psycopg
from psycopg.rows import dict_row

from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

CONNECT_TIMEOUT_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL database by its libpq URI; connections are made on demand."""

    uri: str

    @contextmanager
    def arrow(self) -> Iterator[Cursor]:
        """One transaction over an ADBC cursor, REPEATABLE READ; commits at the end, rolls back on an exception."""
        import adbc_driver_postgresql.dbapi as adbc

        try:
            connection = adbc.connect(self.uri)
        except adbc.Error as error:
            raise UserError(unreachable(self.uri, error)) from error
        with connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            try:
                yield cursor
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def rows(self, *, autocommit: bool = False) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """One transaction over a psycopg connection whose rows are dictionaries."""
        try:
            connection = psycopg.connect(
                self.uri, autocommit=autocommit, row_factory=dict_row, connect_timeout=CONNECT_TIMEOUT_SECONDS
            )
        except psycopg.OperationalError as error:
            raise UserError(unreachable(self.uri, error)) from error
        with connection:
            connection.execute("SET TIME ZONE 'UTC'")
            yield connection


def libpq_uri(*, host: str, port: int, name: str, user: str, password: str) -> str:
    """The URI of a server's database; every part is quoted."""
    secret = f":{quote(password, safe='')}" if password else ""
    if host.startswith("/"):
        return f"postgresql://{quote(user, safe='')}{secret}@/{quote(name, safe='')}?host={quote(host)}&port={port}"
    return f"postgresql://{quote(user, safe='')}{secret}@{host}:{port}/{quote(name, safe='')}"


def unreachable(uri: str, error: Exception) -> str:
    """One line for a database that does not answer; the password is left out."""
    parts = psycopg.conninfo.conninfo_to_dict(uri)
    where = f"{parts.get('dbname')} at {parts.get('host')}:{parts.get('port', 5432)} as {parts.get('user')}"
    # The first line is the reason; what follows asks whether the server runs, or repeats it for every address.
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".")
    return f"the database does not answer ({where}): {said}. Check DB_HOST, DB_PORT, DB_NAME, DB_USER and DB_PASSWORD."
