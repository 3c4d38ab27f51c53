"""A server of the bench's own in a temporary folder, databases on it, and the environment of the commands that use it.

Nothing of a user's is read or written: neither the data folder nor a server that `DB_HOST` names.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from btc_pipeline.settings import PROJECT
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.migrate import migrate
from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline_tests.bench.market import END_DAY, FIRST_DAY, Market, import_both_years, refresh_all
from btc_pipeline_tests.databases import with_database

PRODUCT: Final = "btc_data"
DAGSTER: Final = "dagster"
SCRATCH: Final = "bench_scratch"
EMPTY: Final = "bench_empty"
IMPORTED: Final = "bench_imported"
MATERIALIZED: Final = "bench_materialized"


class Workspace:
    """The server, and three databases to copy: migrated, with both years imported, with both years materialised."""

    def __init__(self, folder: Path, market: Market, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.market = market
        self.say = say
        self._server = EmbeddedServer(folder / "data")
        self._made: set[str] = set()

    @property
    def data_dir(self) -> Path:
        return self._server.data_dir

    def start(self) -> None:
        """Starts the server, and points this process at it."""
        os.environ.update(self.environment())
        self._server.ensure_running()

    def stop(self) -> None:
        """Stops the server, whoever is connected."""
        self._server.stop()

    def environment(self) -> dict[str, str]:
        """Variables with which every command of the product works on this server and no other."""
        return {
            "BTC_PIPELINE_DATA_DIR": str(self.data_dir),
            "BTC_PIPELINE_START_DATE": "2015-01-01",
            "DB_HOST": "",
            "DAGSTER_HOME": str(PROJECT / "dagster_home"),
            "NO_COLOR": "1",
        }

    def command(self, *arguments: str) -> str:
        """Runs `btc-pipeline` as a shell does, and returns what it printed."""
        done = subprocess.run(
            [program("btc-pipeline"), *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"btc-pipeline {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}")
        return done.stdout

    def database(self, name: str = PRODUCT) -> Database:
        """A database of the server by its name."""
        return Database(self._server.uri(name))

    @contextmanager
    def copy_of(self, template: str) -> Iterator[Database]:
        """A fresh copy of a template, written out to disk, so that a measurement starts on a quiet server."""
        self._replace(SCRATCH, self._template(template))
        try:
            yield self.database(SCRATCH)
        finally:
            self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(SCRATCH)))

    def reset_product(self, template: str) -> Database:
        """Makes `btc_data`, which the commands work on, a copy of a template, and empties Dagster's own database."""
        self._replace(PRODUCT, self._template(template))
        self._replace(DAGSTER, "template1")
        return self.database(PRODUCT)

    def size(self, name: str) -> int:
        """Bytes of a database on disk."""
        with psycopg.connect(self._server.uri(name), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])

    def _template(self, name: str) -> str:
        if name not in self._made:
            self._make(name)
            self._made.add(name)
        return name

    def _make(self, name: str) -> None:
        if name == EMPTY:
            self._replace(name, "template1")
            migrate(self.database(name))
        elif name == IMPORTED:
            self._replace(name, self._template(EMPTY))
            self.say("preparing: importing both years")
            import_both_years(self.database(name), self.market)
        elif name == MATERIALIZED:
            self._replace(name, self._template(IMPORTED))
            self.say("preparing: materialising both years")
            refresh_all(self.database(name), range(FIRST_DAY, END_DAY))
        self._vacuum(name)

    def _replace(self, name: str, template: str) -> None:
        self._administer(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            ),
            sql.SQL("CHECKPOINT"),
        )

    def _vacuum(self, name: str) -> None:
        """Statistics and hint bits, which autovacuum would otherwise write during somebody's measurement."""
        with psycopg.connect(self._server.uri(name), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def _administer(self, *statements: sql.Composed | sql.SQL) -> None:
        with psycopg.connect(with_database(self._server.uri(), "postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def workspace(
    parent: Path | None, make_market: Callable[[Path], Market], say: Callable[[str], None]
) -> Iterator[Workspace]:
    """A workspace in a new folder; the server is stopped and the folder gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="btc-bench-", dir=parent))
    folder.chmod(0o755)  # a server started by root is another user's, and must reach it
    space = Workspace(folder, make_market(folder), say)
    before = dict(os.environ)
    try:
        space.start()
        yield space
    finally:
        space.stop()
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)


def program(name: str) -> str:
    """A command of the environment that the bench runs in."""
    return str(Path(sys.executable).parent / name)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
