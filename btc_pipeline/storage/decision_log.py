"""The log of decisions as a proof reads it: which version, when it was recorded, and what changed in minutes since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from btc_pipeline.market.candles import BoolArray
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.storage.decisions import decisions_of
from btc_pipeline.storage.reading import read_table
from btc_pipeline.storage.times import from_timestamps, to_date, to_datetime
from btc_pipeline.strategies.decisions import Decisions, StrategyOnInterval

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

READ: Final = """
SELECT DISTINCT ON (time)
    time, version, newest, withdrawn, target, type, confidence, array_to_string(reasons, chr(31)) AS reasons,
    input_digest, warmed, recorded_at
FROM (
    SELECT *, max(version) OVER (PARTITION BY time) AS newest
    FROM decisions
    WHERE symbol = $1 AND interval = $2 AND strategy = $3 AND parameters = $4::jsonb AND backtest_id IS NULL
      AND time >= $5 AND time < $6
) versions
WHERE $7 = '' OR origin = $7
ORDER BY time, version DESC
"""
CHANGES: Final = """
SELECT time, superseded_at AS changed_at, true AS revised
FROM candle_revisions
WHERE symbol = $1 AND interval = '1m' AND time >= $2 AND time < $3 AND superseded_at > $4
UNION ALL
SELECT time, recorded_at, false
FROM candles
WHERE symbol = $1 AND interval = '1m' AND time >= $2 AND time < $3 AND recorded_at > $4
UNION ALL
SELECT day::timestamp AT TIME ZONE 'UTC' + minute * interval '1 minute', recorded_at, false
FROM vouched_minutes, generate_series(0, 1439) AS minute
WHERE symbol = $1 AND day >= $5 AND day < $6 AND recorded_at > $4
  AND get_bit(minutes, (minute / 8) * 8 + 7 - minute % 8) = 1
ORDER BY 1
"""
"""Of a bitmap PostgreSQL counts bits from the least significant one of each byte, the table from the most."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Versions of one strategy's decisions, one a bar, ascending.

    Attributes:
        version, newest: int64[n], this one's number and that of the bar's last one.
        withdrawn: bool[n].
        recorded_at: when each was recorded.
    """

    decisions: Decisions
    version: Int64Array
    newest: Int64Array
    withdrawn: BoolArray
    recorded_at: list[datetime]


@dataclass(frozen=True, slots=True)
class Changes:
    """Minutes that were stored, vouched for or superseded, ascending by time; int64[n], epoch microseconds for `at`."""

    time: Int64Array
    at: Int64Array
    revised: BoolArray

    def since(self, moment: datetime, start: int, end: int) -> tuple[int, int]:
        """How many minutes of [start, end) were revised since a moment, and how many came."""
        first, last = np.searchsorted(self.time, (start, end))
        later = self.at[first:last] > microseconds(moment)
        time, revised = self.time[first:last][later], self.revised[first:last][later]
        changed = np.unique(time[revised])
        return len(changed), len(np.setdiff1d(time[~revised], changed))


def read_logged(
    cursor: Cursor, symbol: str, one: StrategyOnInterval, start: int, end: int, *, origin: str = ""
) -> Logged:
    """The newest versions of the decisions at bars that open in the epoch minutes [start, end), of an origin or any."""
    who = (symbol, one.interval.name, one.strategy.name, one.parameters_json)
    table = read_table(cursor, READ, (*who, to_datetime(start), to_datetime(end), origin))
    return Logged(
        decisions_of(table, one.interval),
        table["version"].to_numpy().astype(np.int64),
        table["newest"].to_numpy().astype(np.int64),
        table["withdrawn"].to_numpy(),
        table["recorded_at"].to_pylist(),
    )


def read_changes(cursor: Cursor, symbol: str, start: int, end: int, since: datetime) -> Changes:
    """What changed of the minutes [start, end) since a moment."""
    days = to_date(start // MINUTES_PER_DAY), to_date((end - 1) // MINUTES_PER_DAY + 1)
    table = read_table(cursor, CHANGES, (symbol, to_datetime(start), to_datetime(end), since, *days))
    return Changes(
        from_timestamps(table["time"]),
        table["changed_at"].cast(pa.int64()).to_numpy(),
        table["revised"].to_numpy(),
    )


def microseconds(moment: datetime) -> int:
    """Since 1970-01-01, exactly."""
    return int(pa.scalar(moment, pa.timestamp("us", tz="UTC")).value)
