"""The `indicators` table, and what its names mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from btc_pipeline.market.candles import BoolArray, Float64Array
from btc_pipeline.market.intervals import Int64Array, Interval
from btc_pipeline.storage.digests import lock, through_temporary_table
from btc_pipeline.storage.reading import read_table
from btc_pipeline.storage.times import from_timestamps, to_datetime, to_timestamps

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

READ_WINDOW: Final = """
SELECT indicator_name, time, value, settled, warmed FROM indicators
WHERE symbol = $1 AND interval = $2 AND time >= $3 AND time < $4
ORDER BY indicator_name, time
"""
DELETE_WINDOW: Final = "DELETE FROM indicators WHERE symbol = $1 AND interval = $2 AND time >= $3 AND time < $4"
READ_DEFINITIONS: Final = "SELECT indicator_name, indicator, output, parameters::text FROM indicator_definitions"
DEFINE: Final = """
INSERT INTO indicator_definitions (indicator_name, indicator, output, parameters)
SELECT indicator_name, indicator, output, parameters::jsonb FROM new_definitions
ON CONFLICT (indicator_name) DO UPDATE SET
    indicator = excluded.indicator, output = excluded.output, parameters = excluded.parameters
WHERE (indicator_definitions.indicator, indicator_definitions.output, indicator_definitions.parameters)
    IS DISTINCT FROM (excluded.indicator, excluded.output, excluded.parameters)
"""


@dataclass(frozen=True, slots=True)
class IndicatorRows:
    """Stored values of one indicator name, ascending: time (epoch minutes), value, settled, day of the bar.

    `warmed` is whether it rests on bars of another venue (`market.warm_up`).
    """

    time: Int64Array
    value: Float64Array
    settled: BoolArray
    day: Int64Array
    warmed: BoolArray

    def take(self, rows: BoolArray) -> IndicatorRows:
        """Some of the rows, bool[n]."""
        return IndicatorRows(*(getattr(self, field.name)[rows] for field in fields(self)))

    def then(self, later: IndicatorRows) -> IndicatorRows:
        """These rows and later ones behind them."""
        pairs = ((getattr(self, field.name), getattr(later, field.name)) for field in fields(self))
        return IndicatorRows(*map(np.concatenate, pairs))


@dataclass(frozen=True, slots=True)
class Definition:
    """What an indicator name means."""

    indicator: str
    output: str
    parameters: Mapping[str, int | float]


def read_indicators(cursor: Cursor, symbol: str, interval: Interval, start: int, end: int) -> dict[str, IndicatorRows]:
    """The stored values at bars that open in [start, end), by indicator name."""
    table = read_table(cursor, READ_WINDOW, (symbol, interval.name, to_datetime(start), to_datetime(end)))
    names = table["indicator_name"]
    found = {}
    for name in pc.unique(names).to_pylist():
        rows = table.filter(pc.equal(names, name))
        time = from_timestamps(rows["time"])
        found[name] = IndicatorRows(
            time,
            rows["value"].to_numpy(),
            rows["settled"].to_numpy(),
            interval.day(interval.slot(time)),
            rows["warmed"].to_numpy(),
        )
    return found


def delete_indicators(cursor: Cursor, symbol: str, interval: Interval, start: int, end: int) -> None:
    """Removes the values at bars that open in [start, end)."""
    cursor.execute(DELETE_WINDOW, (symbol, interval.name, to_datetime(start), to_datetime(end)))


def append_indicators(cursor: Cursor, symbol: str, interval: Interval, values: Mapping[str, IndicatorRows]) -> None:
    """COPYs values into the table; none of them may be there."""
    tables = [_to_arrow(symbol, interval, name, rows) for name, rows in values.items() if len(rows.time)]
    if tables:
        cursor.adbc_ingest("indicators", pa.concat_tables(tables), mode="append")


def define_indicators(cursor: Cursor, definitions: Mapping[str, Definition]) -> None:
    """Records what the names mean, so that parameters can be looked up.

    Comes before other statements: where a name is new, it begins another transaction (`digests.lock`), because assets
    of several intervals and symbols define the same names.
    """
    cursor.execute(READ_DEFINITIONS)
    known = {
        row["indicator_name"]: Definition(row["indicator"], row["output"], json.loads(row["parameters"]))
        for row in cursor.fetch_arrow_table().to_pylist()
    }
    if all(known.get(name) == definition for name, definition in definitions.items()):
        return
    lock(cursor, "indicator_definitions", "")
    table = pa.table(
        {
            "indicator_name": list(definitions),
            "indicator": [d.indicator for d in definitions.values()],
            "output": [d.output for d in definitions.values()],
            "parameters": [json.dumps(dict(d.parameters)) for d in definitions.values()],
        }
    )
    through_temporary_table(cursor, "new_definitions", table, DEFINE)


def _to_arrow(symbol: str, interval: Interval, name: str, rows: IndicatorRows) -> pa.Table:
    n = len(rows.time)
    return pa.table(
        {
            "time": to_timestamps(rows.time),
            "symbol": pa.repeat(symbol, n),
            "interval": pa.repeat(interval.name, n),
            "indicator_name": pa.repeat(name, n),
            "value": rows.value,
            "settled": np.asarray(rows.settled),
            "warmed": np.asarray(rows.warmed),
        }
    )
