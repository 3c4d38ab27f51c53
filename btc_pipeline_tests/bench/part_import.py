"""Importing both years against a bare COPY of the very same rows into the same indexed table."""

from __future__ import annotations

from typing import Final

import psycopg

from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline.storage.candles import to_arrow
from btc_pipeline_tests.bench import bare
from btc_pipeline_tests.bench.figures import Figure, Laps, alternate, timed
from btc_pipeline_tests.bench.market import SYMBOL, import_both_years
from btc_pipeline_tests.bench.workspace import EMPTY, IMPORTED, Workspace

ROUNDS: Final = 3
ASKED: Final = 0.6


def run(space: Workspace) -> list[Figure]:
    tables = [to_arrow(read_candle_file(path).minutes, SYMBOL, status="confirmed") for path in space.market.files]
    columns = ", ".join(tables[0].column_names)
    with space.copy_of(IMPORTED) as database:
        texts = [
            _as_text(database.uri, columns, table["time"][0].as_py(), table["time"][-1].as_py()) for table in tables
        ]
    rows = sum(table.num_rows for table in tables)
    again: list[float] = []

    def ours() -> float:
        with space.copy_of(EMPTY) as database:
            seconds, reports = timed(lambda: import_both_years(database, space.market))
            assert sum(report.added for report in reports) == rows
            second, reports = timed(lambda: import_both_years(database, space.market))
            assert sum(report.unchanged for report in reports) == rows
            again.append(second)
            return seconds

    def adbc() -> float:
        with space.copy_of(EMPTY) as database:
            return timed(lambda: bare.copy_arrow(database.uri, tables))[0]

    def text() -> float:
        with space.copy_of(EMPTY) as database:
            return timed(lambda: bare.copy_text(database.uri, columns, texts))[0]

    laps = alternate(ROUNDS, {"import": ours, "bare COPY, binary": adbc, "bare COPY, text": text})
    best = min(laps["bare COPY, binary"].median, laps["bare COPY, text"].median)
    ratio, over = best / laps["import"].median, best / Laps(again).median
    return [
        Figure(
            f"import of both years ({rows:,} rows) into an empty range",
            f"{ratio:.2f} x the rate of a bare COPY",
            f"at least {ASKED} x",
            ratio >= ASKED,
            [f"{name}: {lap}, {rows / lap.median:,.0f} rows/s" for name, lap in laps.items()],
        ),
        Figure(
            "the same over existing rows",
            f"{over:.2f} x that rate",
            details=[f"import again: {Laps(again)}, {rows / Laps(again).median:,.0f} rows/s; it changes no row"],
        ),
    ]


def _as_text(uri: str, columns: str, first: object, last: object) -> bytes:
    statement = (
        f"COPY (SELECT {columns} FROM candles WHERE interval = '1m' AND time BETWEEN '{first}' AND '{last}' "
        "ORDER BY time) TO STDOUT"
    )
    with psycopg.connect(uri) as connection, connection.cursor().copy(statement) as copy:
        return b"".join(bytes(block) for block in copy)
