"""Reading rows as Arrow, the fast way.

Values are psycopg's literals in the text, not parameters: see `with_literals`. Statements still write `$1`, so that
asyncpg can run the same text with parameters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from psycopg import sql

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

BATCH_BYTES: Final = 1 << 20

_PLACE: Final = re.compile(r"\$([0-9]+)")


def read_table(cursor: Cursor, statement: str, parameters: Sequence[object]) -> pa.Table:
    """All rows of a statement."""
    cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
    cursor.execute(with_literals(statement, parameters))
    return cursor.fetch_arrow_table()


def with_literals(statement: str, parameters: Sequence[object]) -> str:
    """The statement with psycopg's literals in place of $1, $2, ...

    ADBC reads by COPY, a batch at a time, only where a statement has no parameters; with them, PostgreSQL's whole
    answer lies in memory first (660,000 bars: 0.8 s and 270 MB, against 0.4 s and 5 MB).
    """
    literals = [sql.Literal(value).as_string(None) for value in parameters]
    return _PLACE.sub(lambda match: literals[int(match[1]) - 1], statement)
