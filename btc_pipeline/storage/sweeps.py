"""The tables of sweeps: rows as parts bring them, in whatever order; all of them are the whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from btc_pipeline.market.candles import Float64Array
from btc_pipeline.storage.connection import Database

ADD: Final = "INSERT INTO sweeps (sweep_key, configuration, sets) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
ADD_ROWS: Final = """
INSERT INTO sweep_rows (sweep_key, number, parameters, figures) VALUES (%s, %s, %s, %s)
ON CONFLICT (sweep_key, number) DO UPDATE SET parameters = excluded.parameters, figures = excluded.figures
"""
ROWS: Final = "SELECT number, parameters, figures FROM sweep_rows WHERE sweep_key = %s ORDER BY number"


@dataclass(frozen=True, slots=True)
class SweepRows:
    """Rows of a sweep.

    Attributes:
        sets: how many the whole has.
        numbers: their places in the grid, ascending, k of them.
        parameters: k sets.
        table: float64[k, len(metrics.NAMES)], NaN where undefined.
    """

    sets: int
    numbers: list[int]
    parameters: list[Mapping[str, Any]]
    table: Float64Array

    @property
    def complete(self) -> bool:
        return len(self.numbers) == self.sets


def write_rows(
    database: Database, key: str, configuration: Mapping[str, Any], sets: int, rows: Sequence[tuple[int, Any, Any]]
) -> None:
    """Stores (number, parameters, figures) in one transaction; rows that are there already are replaced."""
    with database.rows() as connection:
        connection.execute(ADD, (key, json.dumps(dict(configuration)), sets))
        with connection.cursor() as cursor:
            cursor.executemany(
                ADD_ROWS,
                [
                    (
                        key,
                        number,
                        json.dumps(dict(one)),
                        [None if np.isnan(value) else float(value) for value in figures],
                    )
                    for number, one, figures in rows
                ],
            )


def read_rows(database: Database, key: str) -> SweepRows | None:
    """All rows of a sweep so far; None where nothing of it is stored."""
    with database.rows() as connection:
        whole = connection.execute("SELECT sets FROM sweeps WHERE sweep_key = %s", (key,)).fetchone()
        found = connection.execute(ROWS, (key,)).fetchall()
    if whole is None or not found:
        return None
    return SweepRows(
        whole["sets"],
        [row["number"] for row in found],
        [row["parameters"] for row in found],
        np.array([row["figures"] for row in found], np.float64),
    )
