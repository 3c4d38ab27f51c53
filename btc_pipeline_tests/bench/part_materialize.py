"""Materialising both years as one range, without Dagster, against a bare script that makes the same rows."""

from __future__ import annotations

import time
from typing import Final

import psycopg
import pyarrow as pa

from btc_pipeline.pipeline.catalogue import MINUTES_ASSET
from btc_pipeline.pipeline.clock import now_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.bench import bare
from btc_pipeline_tests.bench.figures import Figure, alternate, timed
from btc_pipeline_tests.bench.market import END_DAY, FIRST_DAY, chain_of, refresh_all, stored_instrument
from btc_pipeline_tests.bench.workspace import IMPORTED, MATERIALIZED, Workspace

ROUNDS: Final = 3
ASKED: Final = 2.0
DAYS: Final = range(FIRST_DAY, END_DAY)
DECISION_COLUMNS: Final = (
    "time, symbol, interval, strategy, parameters, version, withdrawn, target, type, confidence, reasons, "
    "indicator_snapshot, input_digest, origin"
)
ROWS: Final = {
    "bars": "SELECT time, symbol, interval, open, high, low, close, volume, minutes, quiet_minutes, expected_minutes, "
    "usable FROM candles WHERE interval <> '1m' ORDER BY interval, time",
    "indicator values": "SELECT * FROM indicators ORDER BY interval, indicator_name, time",
    "decisions": f"SELECT {DECISION_COLUMNS} FROM decisions ORDER BY interval, strategy, time",
}


def run(space: Workspace) -> list[Figure]:
    with space.copy_of(MATERIALIZED) as database:
        decisions = _ready_decisions(database)
        made = _rows(database)
    with space.copy_of(IMPORTED) as database:
        bare.materialize(database.uri, decisions)
        same = {name: rows.equals(made[name]) for name, rows in _rows(database).items()}

    def ours() -> float:
        with space.copy_of(IMPORTED) as database:
            return timed(lambda: refresh_all(database, DAYS))[0]

    def yardstick() -> float:
        with space.copy_of(IMPORTED) as database:
            return timed(lambda: bare.materialize(database.uri, decisions))[0]

    laps = alternate(ROUNDS, {"chain": ours, "bare script": yardstick})
    ratio = laps["chain"].median / laps["bare script"].median
    counts = ", ".join(f"{rows.num_rows:,} {name}" for name, rows in made.items())
    verdict = "the same, value for value" if all(same.values()) else f"NOT the same: {same}"
    return [
        Figure(
            "both years as one range, without Dagster",
            f"{ratio:.2f} x a bare script",
            f"at most {ASKED:.1f} x",
            ratio <= ASKED and all(same.values()),
            [
                *(f"{name}: {lap}" for name, lap in laps.items()),
                f"rows: {counts}; what the bare script made is {verdict}",
                f"one more run, asset by asset: {_by_asset(space)}",
            ],
        )
    ]


def _by_asset(space: Workspace) -> str:
    with space.copy_of(IMPORTED) as database:
        chain, instrument = chain_of(database), stored_instrument(database)
        layers = {
            MINUTES_ASSET: [MINUTES_ASSET],
            "candles": [asset.name for asset in chain.catalogue.bars],
            "indicators": [asset.name for asset in chain.catalogue.indicators],
            "decisions": [asset.name for asset in chain.catalogue.decisions],
        }
        told = []
        for name, assets in layers.items():
            started = time.perf_counter()
            chain.refresh(instrument, DAYS, now_minute(), assets=assets)
            told.append(f"{name} {time.perf_counter() - started:.2f} s")
    return ", ".join(told)


def _ready_decisions(database: Database) -> bare.Decisions:
    statement = f"COPY (SELECT {DECISION_COLUMNS} FROM decisions ORDER BY interval, strategy, time) TO STDOUT"
    with psycopg.connect(database.uri) as connection, connection.cursor().copy(statement) as copy:
        return bare.Decisions(DECISION_COLUMNS, b"".join(bytes(block) for block in copy))


def _rows(database: Database) -> dict[str, pa.Table]:
    tables = {}
    with database.arrow() as cursor:
        for name, statement in ROWS.items():
            cursor.execute(statement)
            tables[name] = cursor.fetch_arrow_table()
    return tables
