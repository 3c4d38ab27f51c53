"""The collector's connections: few, with time limits, and one word for a server that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from btc_pipeline.storage.live_minutes import LOCK

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 3.0
MAX_CONNECTIONS: Final = 4

_LOST: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that is ended in the very moment it is asked
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, killed, starting up
)
_UNABLE: Final = (
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.TransactionRollbackError,  # a deadlock was broken at our cost
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.UndefinedTableError,  # somebody is making the schema
)


ROW_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ValueError,
    TypeError,
    OverflowError,
)
"""What a value is answered with that no column takes: the same call will never succeed."""


class DatabaseAwayError(Exception):
    """The database is not there, or cannot take anything now: the same call may succeed later. One sentence."""


class Connections:
    """Transactions over a few asyncpg connections, which are made when needed and again when they broke."""

    def __init__(
        self, uri: str, *, connect_seconds: float = CONNECT_SECONDS, statement_seconds: float = STATEMENT_SECONDS
    ) -> None:
        self._uri = uri
        self._connect_seconds = connect_seconds
        self._statement_seconds = statement_seconds
        self._pool: asyncpg.Pool | None = None
        self._pool_lock = asyncio.Lock()

    async def close(self) -> None:
        """Ends every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
            except (TimeoutError, *_LOST):
                pool.terminate()

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Does work that may be done twice over a connection, once more if the connection turns out to be dead.

        Raises:
            DatabaseAwayError: there is no connection, it broke twice, or a statement took too long.
        """
        for last_try in (False, True):
            pool = await self._open()
            try:
                connection = await pool.acquire(timeout=self._connect_seconds)
            except (*_LOST, asyncpg.PostgresError, TimeoutError) as error:
                # Whatever the server says to a new connection, it is not there for us.
                raise DatabaseAwayError(f"the database does not answer: {_words(error)}") from error
            try:
                return await work(connection)
            except TimeoutError as error:
                raise DatabaseAwayError(f"the database took longer than {self._statement_seconds:.0f} s") from error
            except _UNABLE as error:
                raise DatabaseAwayError(f"the database cannot: {_words(error)}") from error
            except _LOST as error:
                if isinstance(error, ValueError):  # asyncpg's word for a parameter of the wrong type
                    raise
                if last_try:
                    raise DatabaseAwayError(f"the database does not answer: {_words(error)}") from error
                # The server went and came back; the pool finds out about each connection only by using it.
                await pool.expire_connections()
            finally:
                # A server that hangs does not even take a cancellation; asyncpg gives such a connection up.
                with suppress(Exception):
                    await pool.release(connection, timeout=self._connect_seconds)
        raise AssertionError("unreachable")

    async def run_locked(self, symbol: str, work: Callable[[Any], Awaitable[T]]) -> T:
        """Does work in one transaction that nobody else who writes the symbol's minutes runs beside.

        Raises:
            DatabaseAwayError: as `run`.
        """

        async def locked(connection: Any) -> T:
            async with connection.transaction(isolation="read_committed"):
                await connection.execute(LOCK, f"candles_1m/{symbol}")
                return await work(connection)

        return await self.run(locked)

    async def _open(self) -> asyncpg.Pool:
        async with self._pool_lock:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._uri,
                    min_size=0,
                    max_size=MAX_CONNECTIONS,
                    timeout=self._connect_seconds,
                    command_timeout=self._statement_seconds,
                    max_inactive_connection_lifetime=0,
                    reset=_nothing,
                    server_settings={
                        "application_name": "btc-pipeline collect",
                        "timezone": "UTC",
                        # A process that was stopped in the middle must not hold the lock of the minutes.
                        "idle_in_transaction_session_timeout": "60s",
                    },
                )
            return self._pool


async def _nothing(_: object) -> None:
    """No state is left behind that a connection had to be reset from."""


def _words(error: BaseException) -> str:
    """The first line of what an error says, without its full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")
