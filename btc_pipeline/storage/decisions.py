"""The `decisions` table: a log that only grows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from btc_pipeline.market.intervals import Int64Array, Interval
from btc_pipeline.storage.digests import through_temporary_table
from btc_pipeline.storage.reading import read_table
from btc_pipeline.storage.times import from_timestamps, to_datetime, to_timestamps
from btc_pipeline.strategies.base import NO_OPINION, TargetArray
from btc_pipeline.strategies.decisions import Decisions, canonical_json

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

# Reasons travel as one text, because ADBC's COPY has no arrays of text.
_SEPARATOR: Final = "\x1f"

READ_LATEST: Final = """
SELECT DISTINCT ON (time)
    time, version, withdrawn, target, type, confidence, array_to_string(reasons, chr(31)) AS reasons, input_digest,
    warmed
FROM decisions
WHERE symbol = $1 AND interval = $2 AND strategy = $3 AND parameters = $4::jsonb AND backtest_id IS NULL
  AND time >= $5 AND time < $6
ORDER BY time, version DESC
"""
APPEND: Final = """
INSERT INTO decisions (time, symbol, interval, strategy, parameters, version, withdrawn, target, type, confidence,
                       reasons, indicator_snapshot, input_digest, origin, warmed)
SELECT time, symbol, interval, strategy, parameters::jsonb, version, withdrawn, target, type, confidence,
       string_to_array(reasons, chr(31)), indicator_snapshot::jsonb, input_digest, origin,
       warmed
FROM new_decisions
"""


@dataclass(frozen=True, slots=True)
class LatestVersions:
    """The newest version of every decision of one strategy in a window, withdrawals among them, ascending by time.

    `decisions.snapshot` is left empty: `input_digest` covers it.
    """

    decisions: Decisions
    version: Int64Array
    withdrawn: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def read_latest(
    cursor: Cursor,
    symbol: str,
    interval: Interval,
    strategy: str,
    parameters: Mapping[str, object],
    start: int,
    end: int,
) -> LatestVersions:
    """The newest versions of the decisions at bars that open in [start, end)."""
    who = (symbol, interval.name, strategy, canonical_json(parameters))
    table = read_table(cursor, READ_LATEST, (*who, to_datetime(start), to_datetime(end)))
    return LatestVersions(
        decisions_of(table, interval), table["version"].to_numpy().astype(np.int64), table["withdrawn"].to_numpy()
    )


def decisions_of(table: pa.Table, interval: Interval) -> Decisions:
    """Rows of the log, snapshots left empty."""
    time = from_timestamps(table["time"])
    return Decisions(
        time,
        _targets(table["target"]),
        table["type"].to_pylist(),
        table["confidence"].to_numpy(),
        [text.split(_SEPARATOR) if text else [] for text in table["reasons"].to_pylist()],
        [""] * len(time),
        table["input_digest"].to_pylist(),
        interval.day(interval.slot(time)),
        table["warmed"].to_numpy(),
    )


def append_versions(
    cursor: Cursor,
    symbol: str,
    interval: Interval,
    strategy: str,
    parameters: Mapping[str, object],
    decisions: Decisions,
    version: Int64Array,
    *,
    withdrawn: bool,
    origin: list[str],
) -> None:
    """Adds versions to the log."""
    n = len(decisions.time)
    if not n:
        return
    table = decisions_table(symbol, interval.name, strategy, parameters, decisions)
    table = table.append_column("version", pa.array(version.astype(np.int32)))
    table = table.append_column("withdrawn", pa.repeat(withdrawn, n))
    table = table.append_column("origin", pa.array(origin, pa.string()))
    through_temporary_table(cursor, "new_decisions", table, APPEND)


def decisions_table(
    symbol: str, interval: str, strategy: str, parameters: Mapping[str, object], decisions: Decisions
) -> pa.Table:
    """Decisions as rows to be inserted: JSON as text, reasons joined by `_SEPARATOR`."""
    n = len(decisions.time)
    return pa.table(
        {
            "time": to_timestamps(decisions.time),
            "symbol": pa.repeat(symbol, n),
            "interval": pa.repeat(interval, n),
            "strategy": pa.repeat(strategy, n),
            "parameters": pa.repeat(json.dumps(dict(parameters)), n),
            "target": pa.array(decisions.target.astype(np.int16), mask=decisions.target == NO_OPINION),
            "type": pa.array(decisions.type, pa.string()),
            "confidence": decisions.confidence,
            "reasons": pa.array([_SEPARATOR.join(reasons) for reasons in decisions.reasons], pa.string()),
            "indicator_snapshot": pa.array([text or "{}" for text in decisions.snapshot], pa.string()),
            "input_digest": pa.array(decisions.input_digest, pa.string()),
            "warmed": decisions.warmed,
        }
    )


def _targets(column: pa.ChunkedArray) -> TargetArray:
    targets: TargetArray = column.fill_null(NO_OPINION).to_numpy().astype(np.int8)
    return targets
