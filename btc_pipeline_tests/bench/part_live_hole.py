"""A hole of 24 hours: the exchange could not be reached for so long, and answers again.

The whole stack runs on a database whose minutes end a day ago, beside an exchange that refuses every connection. Then
it answers, and what a user has fills the hole: the collector's catching up, and the live lane for all that is derived.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_exchange import answered_requests, market
from btc_pipeline_tests.bench.live_stack import LiveSpace, Place, Stack, place, wait_until
from btc_pipeline_tests.databases import migrated_database
from btc_pipeline_tests.live.world import final_rows
from btc_pipeline_tests.pipeline.worlds import content

ASKED: Final = 30.0
HOLE_MINUTES: Final = 1440
BEFORE_MINUTES: Final = 14 * 1440
ROUNDS: Final = 3
AWAY_SECONDS: Final = 20.0
GIVEN_UP_SECONDS: Final = 900.0
POLL_SECONDS: Final = 0.5
STORED: Final = """
SELECT count(*) AS n FROM candles
WHERE symbol = 'BTC' AND interval = '1m' AND time >= to_timestamp(%s) AND time < to_timestamp(%s)
"""
REASON_TAG: Final = "btc_pipeline/reason"
SYMBOL: Final = "BTC"
DONE: Final = ("SUCCESS", "FAILURE", "CANCELED")

Content = dict[str, frozenset[bytes]]
"""Rows as text, by table."""


@dataclass(frozen=True, slots=True)
class Filled:
    """Seconds since the exchange could be reached, until: it answered the collector, the day's minutes were stored, and
    every derived table was right. `runs` says what Dagster did.
    """

    answered: float
    stored: float
    right: float
    runs: list[str]


def run(space: LiveSpace) -> list[Figure]:
    rounds = []
    for number in range(ROUNDS):
        space.say(f"hole: {number + 1} of {ROUNDS}")
        with place(space, f"hole{number}") as here:
            rounds.append(_round(space, here))
    since_answer = [one.right - one.answered for one in rounds]
    return [
        Figure(
            "a 24 h hole (1,440 minutes) -> filled, all derived tables right",
            f"median {statistics.median(since_answer):.1f} s, slowest {max(since_answer):.1f} s",
            f"{ASKED:.0f} s",
            statistics.median(since_answer) <= ASKED,
            [
                (
                    "from the first request that the exchange answers; right: every bar, indicator and decision that a "
                    "range run over the whole file has, with the same values"
                ),
                (
                    "how soon it is asked again is up to the back-off, a random wait: here after a minute away, but "
                    "after an hour up to 15 min"
                ),
                *(line for one in rounds for line in _lines(one)),
            ],
        )
    ]


def _lines(one: Filled) -> Iterable[str]:
    yield (
        f"seconds since the exchange could be reached: answered {one.answered:.1f}, minutes stored {one.stored:.1f}, "
        f"all right {one.right:.1f}"
    )
    for told in one.runs:
        yield f"  {told}"


def _round(space: LiveSpace, here: Place) -> Filled:
    until = int(time.time() // 60)
    expected = _prepare(here, until)
    with here.exchange(refuses=True) as exchange, here.up() as stack:
        wait_until(lambda: all(run["status"] in DONE for run in stack.runs()), seconds=120)
        time.sleep(AWAY_SECONDS)
        began = time.time()
        exchange.delete("/replay/faults").raise_for_status()
        space.say("hole: the exchange can be reached")
        stored, right = _watch(here, until, expected, began)
        answered = min(at for at in answered_requests(here.log("exchange")) if at >= began) - began
        return Filled(answered, stored, right, list(_told(stack, began)))


def _prepare(here: Place, until: int) -> Content:
    """Everything made from minutes that end a day before; gives what there is to be once the day is there."""
    database, settings = here.database(), here.settings()
    catalogue = build_catalogue(settings)
    with migrated_database(database.uri) as reference:
        _make(Chain(reference, catalogue, settings.rule), until, until, here.folder)
        expected = {name: frozenset(lines) for name, lines in content(reference).items()}
    _make(Chain(database, catalogue, settings.rule), until - HOLE_MINUTES, until, here.folder)
    return expected


def _make(chain: Chain, end: int, until: int, folder: Path) -> None:
    """Imports the market's minutes up to an epoch minute, and refreshes all days up to another."""
    first = (until - HOLE_MINUTES - BEFORE_MINUTES) // 1440 * 1440
    import_candles(chain.database, _csv(first, end, folder / "candles.csv"), SYMBOL)
    with chain.database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
    chain.refresh(instrument, range(first // 1440, (end - 1) // 1440 + 1), until)


def _csv(first: int, end: int, path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "open", "high", "low", "close", "volume", "trades"])
        for row in final_rows(market(SYMBOL), first, end):
            writer.writerow([row.time * 60, row.open, row.high, row.low, row.close, row.volume, row.trades])
    return path


def _watch(here: Place, until: int, expected: Content, began: float) -> tuple[float, float]:
    """Seconds since `began` until the day's minutes are stored, and until all that is expected is there."""
    database, stored = here.database(), 0.0
    missing = expected
    while time.time() - began < GIVEN_UP_SECONDS:
        asked = time.time()
        if not stored and _stored(database, until) == HOLE_MINUTES:
            stored = asked - began
        if stored:
            asked = time.time()
            found = content(database)
            missing = {name: rows.difference(found[name]) for name, rows in expected.items()}
            if not any(missing.values()):
                return stored, asked - began
        time.sleep(POLL_SECONDS)
    shown = {name: (len(rows), sorted(rows)[:3]) for name, rows in missing.items()}
    raise RuntimeError(f"not right after {GIVEN_UP_SECONDS:.0f} s; missing: {shown}")


def _stored(database: Database, until: int) -> int:
    with database.rows(autocommit=True) as connection:
        row = connection.execute(STORED, [(until - HOLE_MINUTES) * 60, until * 60]).fetchone()
    return int(row["n"]) if row else 0


def _told(stack: Stack, began: float) -> Iterable[str]:
    """The runs since then."""
    for run in sorted(stack.runs(), key=lambda one: float(one["creationTime"])):
        if (run["endTime"] or began) >= began:
            moments = [
                f"{name} {float(run[key]) - began:+.1f} s" if run[key] else f"not {name}"
                for name, key in (("asked for", "creationTime"), ("started", "startTime"), ("ended", "endTime"))
            ]
            reason = run["tags"].get(REASON_TAG, "")
            yield f"run: {', '.join(moments)}; {run['status'].lower()}; {reason}"
