"""Connections: one address, two roads to it.

`Database.arrow` is the road of bulk data (ADBC's COPY, Arrow both ways), `Database.rows` that of small statements
(psycopg). Both are short-lived and one at a time for each caller, so a process holds as many connections as it has
bodies running. Connecting costs ADBC 30 to 40 ms, for it reads the server's types: `Database.kept` saves that where
transactions follow one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import psycopg
from psycopg.rows import dict_row

from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection, Cursor

CONNECT_TIMEOUT_SECONDS: Final = 10
UNLOCK: Final = "SELECT pg_advisory_unlock_all()"


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL database by its libpq URI; connections are made on demand."""

    uri: str
    _idle: list[Connection] | None = field(default=None, repr=False, compare=False)

    @contextmanager
    def kept(self) -> Iterator[Database]:
        """The same database, whose `arrow` connection stays open between transactions until the block ends."""
        if self._idle is not None:
            yield self
            return
        idle: list[Connection] = []
        try:
            yield Database(self.uri, idle)
        finally:
            for connection in idle:
                connection.close()

    @contextmanager
    def arrow(self) -> Iterator[Cursor]:
        """One transaction over an ADBC cursor, REPEATABLE READ; commits at the end, rolls back on an exception."""
        connection = self._take()
        keep = False
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                try:
                    yield cursor
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
                if self._idle is not None:
                    cursor.execute(UNLOCK)
                    cursor.fetchall()
                    keep = True
        finally:
            if keep and self._idle is not None:
                # Idle, not idle in a transaction, whose now() would be that of the transaction before.
                connection.adbc_connection.set_autocommit(True)
                self._idle.append(connection)
            else:
                connection.close()

    def _take(self) -> Connection:
        """A connection at the start of a transaction."""
        import adbc_driver_postgresql.dbapi as adbc

        try:
            if self._idle:
                connection = self._idle.pop()
                connection.adbc_connection.set_autocommit(False)
            else:
                connection = adbc.connect(self.uri)
        except adbc.Error as error:
            raise UserError(unreachable(self.uri, error)) from error
        return connection

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
