"""Connections of this process: a small asyncpg pool for small reads, a few ADBC ones in threads for large reads.

The database may be away at the start and at any time after: requests are answered 503 in words until it is back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio.to_thread
import asyncpg
from anyio import CapacityLimiter

from api.errors import BusyError, DatabaseAwayError
from api.memory import give_back
from btc_pipeline.errors import UserError
from btc_pipeline.settings import Settings
from btc_pipeline.storage.address import open_database
from btc_pipeline.storage.connection import Database

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_POOL: Final = 5
MAX_LARGE_READS: Final = 2
CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 30.0
READY_SECONDS: Final = 5.0

AWAY: Final = "the database does not answer; try again in a few seconds."
_SLOW: Final = f"the database took longer than {STATEMENT_SECONDS:.0f} s; try again, or ask for less."
_BUSY: Final = "two large answers are being written already; try again when one is done."

_LOST: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that is ended in the very moment it is asked
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, killed, starting up
)
_REFUSED: Final = (*_LOST, asyncpg.PostgresError, TimeoutError)
"""Of a connection that is being made: whatever the server says, it is not there for us."""


class Connections:
    """The roads from this process to the database. One object an application."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = False
        self._preparing: asyncio.Task[None] | None = None
        self._pool: asyncpg.Pool | None = None
        self._pool_lock = asyncio.Lock()
        self._limiter = CapacityLimiter(MAX_LARGE_READS)
        self._streams = threading.BoundedSemaphore(MAX_LARGE_READS)
        self._database: Database | None = None

    def start(self) -> None:
        """Begins to bring the database up and its schema up to date, if neither has happened nor is happening."""
        if not self._ready and (self._preparing is None or self._preparing.done()):
            self._preparing = asyncio.create_task(self._prepare())

    async def close(self) -> None:
        """Ends every connection."""
        if self._preparing is not None:
            await asyncio.wait([self._preparing], timeout=READY_SECONDS)
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), READY_SECONDS)
            except TimeoutError:
                self._pool.terminate()

    async def fetch(self, statement: str, *parameters: object) -> list[asyncpg.Record]:
        """The rows of a small read.

        Raises:
            DatabaseAwayError: there is no connection to be had, it broke twice, or the statement took too long.
        """
        for last_try in (False, True):
            connection, pool = await self._acquire()
            try:
                rows: list[asyncpg.Record] = await connection.fetch(statement, *parameters)
            except TimeoutError as error:
                raise DatabaseAwayError(_SLOW) from error
            except (*_LOST, asyncpg.UndefinedTableError) as error:
                # The server went and came back; the pool finds out about each connection only by using it.
                if last_try or isinstance(error, asyncpg.UndefinedTableError):
                    raise _away(error) from error
                await pool.expire_connections()
            else:
                return rows
            finally:
                await pool.release(connection)
        raise AssertionError("unreachable")

    async def large(self, read: Callable[[Cursor], T]) -> T:
        """Runs a large read in a thread, two at a time.

        Raises:
            DatabaseAwayError: the database does not answer.
        """
        await self._wait_ready()

        def run() -> T:
            try:
                with self._cursor() as cursor:
                    return read(cursor)
            finally:
                give_back()

        return await anyio.to_thread.run_sync(run, limiter=self._limiter)

    async def stream(self, read: Callable[[Cursor], Iterator[T]]) -> Generator[T, None, None]:
        """A large read whose results are taken as they come; the first is there when this returns. To be closed.

        Raises:
            DatabaseAwayError: the database does not answer.
            BusyError: two are under way.
        """
        await self._wait_ready()
        if not self._streams.acquire(blocking=False):
            raise BusyError(_BUSY)

        def run() -> Generator[T, None, None]:
            try:
                with self._cursor() as cursor:
                    yield from read(cursor)
            finally:
                self._streams.release()
                give_back()

        results = run()
        first = await anyio.to_thread.run_sync(next, results, None)

        def all_of_them() -> Generator[T, None, None]:
            try:
                if first is not None:
                    yield first
                    yield from results
            finally:
                results.close()

        return all_of_them()

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        import adbc_driver_postgresql.dbapi as adbc

        assert self._database is not None  # noqa: S101 _wait_ready has seen to it
        try:
            with self._database.arrow() as cursor:
                yield cursor
        except UserError as error:
            if isinstance(error.__cause__, adbc.Error):
                raise _away(error.__cause__) from error
            raise
        except adbc.OperationalError as error:
            raise _away(error) from error

    async def _acquire(self) -> tuple[Any, asyncpg.Pool]:
        """A connection, and the pool to give it back to."""
        await self._wait_ready()
        assert self._database is not None  # noqa: S101 _wait_ready has seen to it
        try:
            async with self._pool_lock:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._database.uri,
                        min_size=1,
                        max_size=MAX_POOL,
                        timeout=CONNECT_SECONDS,
                        command_timeout=STATEMENT_SECONDS,
                    )
            return await self._pool.acquire(timeout=CONNECT_SECONDS), self._pool
        except _REFUSED as error:
            raise _away(error) from error

    async def _wait_ready(self) -> None:
        if self._ready:
            return
        self.start()
        assert self._preparing is not None  # noqa: S101 start has made it
        await asyncio.wait([self._preparing], timeout=READY_SECONDS)
        if not self._ready:
            raise DatabaseAwayError(AWAY)

    async def _prepare(self) -> None:
        """Once it has succeeded, a server that was stopped on purpose is not started again from here."""
        try:
            self._database = await anyio.to_thread.run_sync(open_database, self._settings)
            self._ready = True
        except Exception as error:  # noqa: BLE001 whatever it is, the next request tries again
            log.warning("the database is not ready: %s", error)


def _away(error: Exception) -> DatabaseAwayError:
    log.warning("database: %s: %s", type(error).__name__, error)
    return DatabaseAwayError(AWAY)
