"""The tables of backtests: a run's row while it is queued and runs, and all of its result in one transaction."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pyarrow as pa

from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.storage import backtest_statements as statements
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import through_temporary_table
from btc_pipeline.storage.reading import read_table, with_literals
from btc_pipeline.storage.times import day_start, to_date

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

STATUSES: Final = ("queued", "running", "done", "failed")
EXAMPLE: Final = "0b34999b-b666-4a02-9f5e-068358d151a2"
ROW_TAG: Final = "btc_pipeline/backtest_id"
"""Of a Dagster run that was launched for a row: its id."""
_BEGINNING: Final = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,23}", re.ASCII)
ABANDONED: Final = (
    "the process that ran it ended before it was done; launch it again",
    "the process that asked for it ended before it was launched; launch it again",
)

Rows = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `backtest_runs`."""

    id: UUID
    group_id: UUID
    run_key: str | None
    result_hash: str | None
    status: str
    symbol: str
    interval: str
    strategy: str
    configuration: dict[str, Any]
    results: dict[str, Any] | None
    message: str | None
    progress: float
    dagster_run_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is asked for; `configuration` is JSON, `lookup_key` lets an equal order find it while it is busy."""

    symbol: str
    interval: str
    strategy: str
    configuration: Mapping[str, Any]
    group_id: UUID | None = None
    lookup_key: str | None = None

    def row(self, run: UUID) -> tuple[object, ...]:
        """The parameters of `ADD`."""
        configuration = json.dumps(dict(self.configuration))
        group = self.group_id or run
        return str(run), str(group), self.symbol, self.interval, self.strategy, configuration, self.lookup_key


class Keys(NamedTuple):
    """Digests of a run."""

    run_key: str
    lookup_key: str
    result_hash: str


class Tables(NamedTuple):
    """What belongs to a run, with the columns of `backtest_trades`, `backtest_equity` and `decisions`."""

    trades: pa.Table
    equity: pa.Table
    decisions: pa.Table


def read_run(database: Database, run: UUID | str) -> Run:
    """A run by its id; one whose process has ended is failed by then.

    Raises:
        UnknownNameError: there is none.
    """
    wanted = parse_id(run)
    with database.rows() as connection:
        fail_abandoned(connection)
        found = ask(connection, statements.ONE, str(wanted))
    if not found:
        raise _unknown(run)
    return Run(**found[0])


def find_id(database: Database, text: str) -> UUID:
    """The id that a person gives, or the one that begins with what they give (8 characters or more).

    Raises:
        UserError: several begin so, or it is no id.
        UnknownNameError: none does.
    """
    beginning = text.lower()
    if not _BEGINNING.fullmatch(beginning):
        return parse_id(text)
    with database.rows() as connection:
        found = ask(connection, statements.BEGINNING_WITH, f"{beginning}%")
    if not found:
        raise _unknown(text)
    if len(found) > 1:
        raise UserError(f"several ids begin with {text!r}: give more of it.", field="id")
    only: UUID = found[0]["id"]
    return only


def read_runs(database: Database, *, limit: int, symbol: str | None = None, status: str | None = None) -> list[Run]:
    """The newest runs, of a symbol and in a status if they are given, newest first."""
    with database.rows() as connection:
        fail_abandoned(connection)
        found = connection.execute(
            f"SELECT {statements.COLUMNS} FROM backtest_runs WHERE (%s::text IS NULL OR symbol = %s)"  # noqa: S608
            " AND (%s::text IS NULL OR status = %s) ORDER BY created_at DESC, id DESC LIMIT %s",
            (symbol, symbol, status, status, limit),
        ).fetchall()
    return [Run(**row) for row in found]


def read_part(database: Database, run: UUID, what: str) -> pa.Table:
    """All of a run's `trades`, `equity` or `decisions`, in order."""
    with database.arrow() as cursor:
        return read_table(cursor, statements.EXPORTS[what], (str(run),))


def read_last_trades(database: Database, run: UUID, count: int) -> list[dict[str, Any]]:
    """The last trades of a run, ascending."""
    with database.rows() as connection:
        return ask(connection, statements.LAST_TRADES, str(run), count)[::-1]


def why_nothing(run: UUID, status: str, message: str | None) -> str | None:
    """Why a run has no trades, equity and decisions, in one line; None for one that is done."""
    if status == "done":
        return None
    if status == "failed":
        return f"backtest {run} failed, and nothing of it is kept: {message}"
    return f"backtest {run} is {status}: it has trades, equity and decisions when it is done."


def parse_id(text: UUID | str, field: str = "id") -> UUID:
    """The id of a run or a group.

    Raises:
        UserError: it is no UUID.
    """
    try:
        return text if isinstance(text, UUID) else UUID(text)
    except ValueError:
        wrong = f"{field} {text!r:.60} is not an id of backtests, such as {EXAMPLE}."
        raise UserError(wrong, field=field) from None


def find_done(database: Database, *, run_key: str | None = None, lookup_key: str | None = None) -> Run | None:
    """The first run with that key that is done."""
    statement = statements.DONE_BY_LOOKUP_KEY if run_key is None else statements.DONE_BY_RUN_KEY
    with database.rows() as connection:
        found = ask(connection, statement, lookup_key if run_key is None else run_key)
    return Run(**found[0]) if found else None


def add_run(connection: Rows, new: NewRun) -> UUID:
    """A row for a run that is asked for, `queued`; its id. Beside a busy one with its key it has none."""
    run = uuid4()
    if ask(connection, statements.ADD, *new.row(run))[0]["id"] != run:
        tell(connection, statements.ADD, *replace(new, lookup_key=None).row(run))
    return run


def delete_run(database: Database, run: UUID | str) -> None:
    """Removes a run with all that belongs to it; one that is running finds that out when it ends.

    Raises:
        UnknownNameError: there is none.
    """
    wanted = parse_id(run)
    with database.rows() as connection:
        if not ask(connection, statements.DELETE, str(wanted)):
            raise _unknown(run)


def _unknown(run: UUID | str) -> UnknownNameError:
    return UnknownNameError(f"backtest {str(run)!r} is unknown: btc-pipeline backtests list.", field="id")


def fail_run(database: Database, run: UUID | str, message: str) -> bool:
    """Marks a run that is queued or running as failed; whether there was one."""
    with database.rows() as connection:
        return bool(ask(connection, statements.FAIL, str(parse_id(run)), message))


def fail_abandoned(connection: Rows) -> list[UUID]:
    """Marks runs as failed whose process has ended: its lock on the run went with its connection.

    So are those that have waited for a minute to be launched: whoever asked for them is gone.
    """
    return [row["id"] for row in ask(connection, statements.FAIL_ABANDONED, *ABANDONED)]


class RunLog:
    """A run's row as its process writes it, on a connection of its own that is seen to live by its lock."""

    def __init__(self, connection: Rows, run: UUID) -> None:
        self.run = run
        self._connection = connection

    @classmethod
    @contextmanager
    def running(cls, database: Database, run: UUID, dagster_run_id: str | None = None) -> Iterator[RunLog]:
        """Marks a run as running, and as failed with the words of whatever ends the block.

        Raises:
            UserError: it was deleted, or is done.
        """
        with database.rows(autocommit=True) as connection:
            ask(connection, statements.LOCK, str(run))
            if not ask(connection, statements.START, str(run), dagster_run_id):
                raise UserError(f"backtest {run} was deleted before it began, or is done.", field="id")
            try:
                yield cls(connection, run)
            except BaseException as error:
                # The connection may be what has failed: then the row is found abandoned.
                with suppress(psycopg.Error):
                    tell(connection, statements.FAIL, str(run), words(error))
                raise

    def progress(self, share: float) -> None:
        """Says how far it is, 0 to 1."""
        tell(self._connection, statements.PROGRESS, str(self.run), share)

    def copy(self, done: Run) -> None:
        """Gives it the result of another run with the same key.

        Raises:
            UserError: one of them was deleted meanwhile.
        """
        with self._connection.transaction():
            if not ask(self._connection, statements.FINISH_AS, str(done.id), str(self.run)):
                raise UserError(_GONE.format(self.run), field="id")
            for statement in statements.COPY:
                tell(self._connection, statement, str(done.id), str(self.run))


_GONE: Final = "backtest {} was deleted or given up while it ran; nothing of it is kept."


def words(error: BaseException) -> str:
    """Why a run failed, in one line."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    said = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def store_result(
    cursor: Cursor,
    run: UUID,
    keys: Keys,
    configuration: Mapping[str, Any],
    results: Mapping[str, Any],
    tables: Tables,
) -> None:
    """Stores all of a run's result, in the cursor's transaction.

    Raises:
        UserError: the run was deleted meanwhile.
    """
    row = (str(run), *keys, json.dumps(dict(configuration)), json.dumps(dict(results)))
    if not len(read_table(cursor, statements.FINISH, row)):
        raise UserError(_GONE.format(run), field="id")
    for name, table, statement in (
        ("new_trades", tables.trades, statements.ADD_TRADES),
        ("new_equity", tables.equity, statements.ADD_EQUITY),
        ("new_decisions", tables.decisions, statements.ADD_DECISIONS),
    ):
        if len(table):
            owned = table.append_column("backtest_id", pa.repeat(str(run), len(table)))
            through_temporary_table(cursor, name, owned, statement)


def mark_parameters(symbol: str, days: range) -> tuple[object, ...]:
    """The parameters of `MARK` for whole days (since 1970-01-01)."""
    return symbol, day_start(days.start), day_start(days.stop), to_date(days.start), to_date(days.stop)


def read_mark(cursor: Cursor, symbol: str, days: range) -> str:
    """What is stored of a symbol's minutes of those days, in one line."""
    return str(read_table(cursor, statements.MARK, mark_parameters(symbol, days))["mark"][0])


def ask(connection: Rows, statement: str, *parameters: object) -> list[dict[str, Any]]:
    """The rows of a statement with $1, $2, ... in it."""
    return connection.execute(with_literals(statement, parameters).encode()).fetchall()


def tell(connection: Rows, statement: str, *parameters: object) -> None:
    """Runs a statement with $1, $2, ... in it."""
    connection.execute(with_literals(statement, parameters).encode())
