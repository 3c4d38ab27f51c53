"""Databases for tests: fresh, migrated, on the server that a test asks for, dropped afterwards.

Belongs here: making and dropping them. Does not belong here: filling them.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.migrate import migrate

TIMESCALE_VARIABLE: Final = "TEST_TIMESCALE_URL"
SERVER_VARIABLE: Final = "TEST_DATABASE_URL"


def with_database(uri: str, name: str) -> str:
    """The address of another database on the same server."""
    return urlsplit(uri)._replace(path=f"/{name}").geturl()


def timescale_uri() -> str | None:
    """The TimescaleDB that tests marked `timescale` run against, where there is one."""
    return os.environ.get(TIMESCALE_VARIABLE) or None


@contextmanager
def migrated_database(server_uri: str, template: str | None = None) -> Iterator[Database]:
    """A new database with the product's schema: copied from a template, else migrated."""
    with new_database(server_uri, template) as database:
        if template is None:
            migrate(database)
        yield database


@contextmanager
def new_database(server_uri: str, template: str | None = None) -> Iterator[Database]:
    """A new database, dropped at the end whoever is still connected."""
    name = f"btc_test_{uuid.uuid4().hex[:12]}"
    _administer(
        server_uri,
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
            # Not template1: TimescaleDB's launcher connects to it, and then it cannot be copied.
            sql.Identifier(name),
            sql.Identifier(template or "template0"),
        ),
    )
    try:
        yield Database(with_database(server_uri, name))
    finally:
        _administer(server_uri, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(server_uri: str, statement: sql.Composed) -> None:
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(statement)
