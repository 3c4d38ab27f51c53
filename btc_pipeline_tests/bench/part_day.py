"""One closed day re-run after minutes of it were edited, in a warm process, without Dagster and with."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from btc_pipeline.defs.launch import run_in_process
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Interval
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.settings import load_settings
from btc_pipeline.storage.candles import read_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline_tests.bench.figures import Figure, alternate, timed
from btc_pipeline_tests.bench.market import SYMBOL, refresh_all, stored_instrument
from btc_pipeline_tests.bench.workspace import MATERIALIZED, Workspace

ROUNDS: Final = 5
BUSY_DAYS: Final = """
SELECT day - date '1970-01-01' AS day FROM partition_digests
WHERE asset = 'candles_1m' AND rows > 800 ORDER BY day DESC OFFSET 20
"""
ASKED: Final = 1.0
ASKED_WITH_DAGSTER: Final = 4.0


def run(space: Workspace) -> list[Figure]:
    database = space.reset_product(MATERIALIZED)
    settings = load_settings()
    names = build_catalogue(settings).names
    with database.rows() as connection:
        busy = [int(row["day"]) for row in connection.execute(BUSY_DAYS)]
    days = busy[:: len(busy) // ROUNDS][:ROUNDS]
    written: list[int] = []
    left = {"without": iter(days), "with": iter(days)}

    def without() -> float:
        day = next(left["without"])
        _touch(database, day)
        seconds, reports = timed(lambda: refresh_all(database, range(day, day + 1)))
        written.append(sum(report.written == [day] for report in reports.values()))
        return seconds

    def with_dagster() -> float:
        day = next(left["with"])
        _touch(database, day)
        seconds, outcome = timed(lambda: run_in_process(settings, range(day, day + 1), [SYMBOL], names, lambda _: None))
        assert outcome.error is None, outcome.error
        return seconds

    laps = alternate(len(days), {"without": without, "with": with_dagster})
    # The first of each side warms the process up.
    warm = {name: replace(lap, seconds=lap.seconds[1:]) for name, lap in laps.items()}
    return [
        Figure(
            "one closed day re-run, warm process, without Dagster",
            f"{warm['without'].median:.2f} s",
            f"at most {ASKED:.0f} s",
            warm["without"].median <= ASKED,
            [f"{warm['without']}; {min(written)} to {max(written)} of {len(names)} assets came out different"],
        ),
        Figure(
            "the same with Dagster",
            f"{warm['with'].median:.2f} s",
            f"at most {ASKED_WITH_DAGSTER:.0f} s",
            warm["with"].median <= ASKED_WITH_DAGSTER,
            [f"a run of the job on its PostgreSQL instance, checks included: {warm['with']}"],
        ),
    ]


def _touch(database: Database, day: int) -> None:
    """Edits minutes of a day so that every asset comes out different: the last of its 148m bar, and of the day."""
    instrument, start = stored_instrument(database), day * MINUTES_PER_DAY
    long = Interval.parse("148m")
    closing = long.open(long.slots_closing_in(day, day + 1).stop)
    with database.arrow() as cursor:
        minutes = read_candles(cursor, SYMBOL, MINUTE, instrument.scale, start, start + MINUTES_PER_DAY)
        rows = np.unique([np.searchsorted(minutes.time, closing) - 1, len(minutes) - 1])
        some = minutes.take(rows)
        higher = some.high + 1.0
        edited = replace(some, close=higher, high=higher, volume=some.volume + 1.0)
        write_minutes(cursor, SYMBOL, edited, status="confirmed", reason="bench")
