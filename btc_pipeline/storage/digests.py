"""The `partition_digests` table: what each asset holds for a day, and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.storage.live_minutes import TOUCH
from btc_pipeline.storage.times import TIMESTAMP, to_date, to_datetime, to_day, to_minute, to_timestamps

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

MINUTES_ASSET: Final = "candles_1m"

READ: Final = """
SELECT asset, day, content_digest, inputs_digest, touched_from FROM partition_digests
WHERE symbol = $1 AND asset = $2 AND day >= $3 AND day < $4
"""
READ_ALL: Final = """
SELECT asset, day, content_digest, inputs_digest, touched_from FROM partition_digests WHERE symbol = $1
"""
SAVE: Final = """
INSERT INTO partition_digests (asset, symbol, day, content_digest, inputs_digest, rows, last_time)
SELECT asset, symbol, day, content_digest, inputs_digest, rows, last_time FROM new_digests
ON CONFLICT (asset, symbol, day) DO UPDATE SET
    content_digest = excluded.content_digest,
    inputs_digest = excluded.inputs_digest,
    rows = excluded.rows,
    last_time = excluded.last_time,
    touched_from = NULL,
    touched_at = NULL,
    updated_at = now()
WHERE (partition_digests.content_digest, partition_digests.inputs_digest, partition_digests.rows,
       partition_digests.last_time)
    IS DISTINCT FROM (excluded.content_digest, excluded.inputs_digest, excluded.rows, excluded.last_time)
"""
LOCK: Final = "SELECT pg_advisory_lock(hashtextextended($1, 0))"
NEW_SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


@dataclass(frozen=True, slots=True)
class StoredDigest:
    """One day of one asset as `partition_digests` has it; None where nobody has looked since it was touched.

    Attributes:
        touched_from: of `candles_1m`: the earliest epoch minute that changed since; None if none did.
    """

    content: str | None
    inputs: str | None
    touched_from: int | None = None


@dataclass(frozen=True, slots=True)
class DigestRow:
    """One day of one asset, to be saved."""

    day: int
    content: str
    inputs: str
    rows: int
    last_time: int | None


def lock(cursor: Cursor, asset: str, symbol: str) -> None:
    """Waits until nobody else writes that asset of that symbol; held until the `Database.arrow` block ends.

    Comes before anything else: it ends the transaction and begins another. A REPEATABLE READ transaction sees what was
    there when its first statement began. Were that the one that waits, it would not see what it waited for.
    """
    cursor.execute(LOCK, (f"{asset}/{symbol}",))
    cursor.fetchall()
    cursor.connection.commit()
    cursor.execute(NEW_SNAPSHOT)


def read_digests(cursor: Cursor, symbol: str, asset: str, first_day: int, end_day: int) -> dict[int, StoredDigest]:
    """The digests of an asset's days [first_day, end_day), by day."""
    cursor.execute(READ, (symbol, asset, to_date(first_day), to_date(end_day)))
    return {
        to_day(row["day"]): StoredDigest(row["content_digest"], row["inputs_digest"], _minute(row["touched_from"]))
        for row in cursor.fetch_arrow_table().to_pylist()
    }


def read_all_digests(cursor: Cursor, symbol: str) -> dict[str, dict[int, StoredDigest]]:
    """Every digest of a symbol, by asset and day."""
    cursor.execute(READ_ALL, (symbol,))
    table = cursor.fetch_arrow_table()
    found: dict[str, dict[int, StoredDigest]] = {}
    columns = (
        table["asset"].to_pylist(),
        table["day"].cast(pa.int32()).to_pylist(),
        table["content_digest"].to_pylist(),
        table["inputs_digest"].to_pylist(),
        table["touched_from"].to_pylist(),
    )
    for asset, day, content, inputs, touched in zip(*columns, strict=True):
        found.setdefault(asset, {})[day] = StoredDigest(content, inputs, _minute(touched))
    return found


def save_digests(cursor: Cursor, symbol: str, asset: str, rows: list[DigestRow]) -> None:
    """Inserts or updates days; a row that would not change is not written."""
    if not rows:
        return
    table = pa.table(
        {
            "asset": pa.repeat(asset, len(rows)),
            "symbol": pa.repeat(symbol, len(rows)),
            "day": pa.array([to_date(row.day) for row in rows], pa.date32()),
            "content_digest": pa.array([row.content for row in rows], pa.string()),
            "inputs_digest": pa.array([row.inputs for row in rows], pa.string()),
            "rows": pa.array([row.rows for row in rows], pa.int32()),
            "last_time": pa.array(
                [None if row.last_time is None else to_datetime(row.last_time) for row in rows], TIMESTAMP
            ),
        }
    )
    through_temporary_table(cursor, "new_digests", table, SAVE)


def touch_days(cursor: Cursor, symbol: str, days: Int64Array) -> None:
    """Marks days whose minutes changed, from their first minute on, in the transaction that changes them."""
    if not len(days):
        return
    table = pa.table(
        {
            "symbol": pa.repeat(symbol, len(days)),
            "day": pa.array([to_date(int(day)) for day in days], pa.date32()),
            "touched_from": to_timestamps(days * MINUTES_PER_DAY),
        }
    )
    through_temporary_table(cursor, "touched_days", table, TOUCH)


def _minute(moment: datetime | None) -> int | None:
    return None if moment is None else to_minute(moment)


def through_temporary_table(cursor: Cursor, name: str, table: pa.Table, statement: str) -> None:
    """COPYs rows into a temporary table, runs one statement that reads it, drops it."""
    cursor.adbc_ingest(name, table, mode="create", temporary=True)
    cursor.execute(statement)
    cursor.execute(f"DROP TABLE pg_temp.{name}")
