"""Deciding: from the close of a bar to its decision readable through the API, of the whole stack in real time.

Thirty closes of 37m take 18 hours. So a strategy also runs on 2m to 7m: each of their closes goes through the
very same sensor, queue, process and assets, in fuller runs and oftener than a user's.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_stack import LiveSpace, Place, Stack, percentile, place

SHORT: Final = (2, 3, 4, 5, 6, 7)
"""Minutes of the bars beside the product's own."""
MEASURED: Final = (*SHORT, 37)
ASKED: Final = {0.5: 8.0, 0.95: 12.0}
POLL_SECONDS: Final = 0.1
FIRST_SECONDS: Final = 300.0
GIVEN_UP_SECONDS: Final = 120.0
STRATEGY: Final = "ma44"
DECIDED: Final = """
SELECT split_part(interval, 'm', 1)::int AS minutes, extract(epoch FROM time)::bigint / 60 AS open FROM decisions
WHERE symbol = 'BTC' AND strategy = %s AND time >= to_timestamp(%s) AND interval = ANY(%s)
"""
LANDED: Final = """
SELECT extract(epoch FROM time)::bigint / 60 + 1 AS close FROM candles
WHERE symbol = 'BTC' AND interval = '1m' AND time >= to_timestamp(%s)
"""
CLOSE_TAG: Final = "btc_pipeline/close"


@dataclass(frozen=True, slots=True)
class Close:
    """A bar that closed: its length and its close in epoch minutes."""

    minutes: int
    at: int

    @property
    def interval(self) -> str:
        return f"{self.minutes}m"

    @property
    def open(self) -> int:
        return self.at - self.minutes


@dataclass
class Seen:
    """What was seen when, UTC seconds: rows of closing minutes by close, decisions readable through the API by bar."""

    landed: dict[int, float] = field(default_factory=dict)
    decided: dict[Close, float] = field(default_factory=dict)


def configuration() -> dict[str, Any]:
    """The product's, and the strategy on short bars beside it."""
    usual, short = ["37m", "148m", "1d"], [f"{minutes}m" for minutes in SHORT]
    return {
        "indicators": {
            "ma44": {"indicator": "sma", "parameters": {"period": 44}, "intervals": [*short, *usual]},
            "ma125": {"indicator": "sma", "parameters": {"period": 125}, "intervals": usual},
        },
        "strategies": [
            {"strategy": STRATEGY, "intervals": [*short, *usual]},
            {"strategy": "ma125", "intervals": usual},
        ],
    }


def run(space: LiveSpace) -> list[Figure]:
    with place(space, "decision", config=configuration(), replay=True) as here, here.up() as stack:
        space.say("decision: waiting for the first decisions")
        first = _first_decision(here)
        closes = _closes(space.closes)
        space.say(f"decision: {first:.0f} s; now {len(closes)} closes, until {_clock(closes[-1].at * 60)} UTC")
        seen = _watch(space, here, stack, closes)
        runs = {run["tags"][CLOSE_TAG]: run for run in stack.runs() if CLOSE_TAG in run["tags"]}
    return [_figure(closes, seen, runs)]


def _first_decision(here: Place) -> float:
    """Waits until the lane has made the past; seconds."""
    began = time.monotonic()
    with psycopg.connect(here.database().uri, autocommit=True) as connection:
        while time.monotonic() - began < FIRST_SECONDS:
            if connection.execute(DECIDED, [STRATEGY, 0, ["37m"]]).fetchone():
                return time.monotonic() - began
            time.sleep(1)
    raise RuntimeError(f"no decision after {FIRST_SECONDS:.0f} s\n{here.log('up').read_text()[-2000:]}")


def _closes(count: int) -> list[Close]:
    """So many closes from the next minute but one on, by time; all of a minute, or none."""
    found: list[Close] = []
    at = int(time.time() // 60) + 2
    while len(found) < count:
        found += [Close(minutes, at) for minutes in MEASURED if at % minutes == 0]
        at += 1
    return found


def _watch(space: LiveSpace, here: Place, stack: Stack, closes: Sequence[Close]) -> Seen:
    seen, waiting = Seen(), set(closes)
    with psycopg.connect(here.database().uri, autocommit=True) as connection:
        while waiting:
            now = time.time()
            due = {close for close in waiting if close.at * 60 <= now}
            waiting -= {close for close in due if close.at * 60 + GIVEN_UP_SECONDS < now}
            if due:
                for close in _newly_decided(connection, stack, due, seen):
                    waiting.discard(close)
                    space.say(
                        f"decision: {close.interval} of {_clock(close.at * 60)} after "
                        f"{seen.decided[close] - close.at * 60:.1f} s; {len(waiting)} to go"
                    )
            time.sleep(POLL_SECONDS)
    return seen


def _newly_decided(connection: psycopg.Connection[Any], stack: Stack, due: set[Close], seen: Seen) -> Iterator[Close]:
    """Cheap looks at the database; the API is asked, and believed, once there is something to be read."""
    oldest = min(close.at for close in due)
    for (at,) in connection.execute(LANDED, [(oldest - 1) * 60]).fetchall():
        seen.landed.setdefault(at, time.time())
    names = sorted({close.interval for close in due})
    since = min(close.open for close in due) * 60
    stored = {Close(minutes, at + minutes) for minutes, at in connection.execute(DECIDED, [STRATEGY, since, names])}
    for close in sorted(stored & due, key=lambda one: (one.at, one.minutes)):
        opened = f"{datetime.fromtimestamp(close.open * 60, UTC):%Y-%m-%dT%H:%M}Z"
        page = stack.api.get(
            "/decisions", params={"symbol": "BTC", "interval": close.interval, "strategy": STRATEGY, "start": opened}
        ).raise_for_status()
        if page.json()["data"]:
            seen.decided[close] = time.time()
            yield close


def _figure(closes: Sequence[Close], seen: Seen, runs: dict[str, dict[str, Any]]) -> Figure:
    seconds = [seen.decided.get(close, math.inf) - close.at * 60 for close in closes]
    long = [f"{value:.1f}" for close, value in zip(closes, seconds, strict=True) if close.minutes == 37]
    reached = all(percentile(seconds, share) <= limit for share, limit in ASKED.items())
    return Figure(
        "close of a bar -> decision readable through the API",
        f"p50 {percentile(seconds, 0.5):.1f} s, p95 {percentile(seconds, 0.95):.1f} s",
        "8 s / 12 s",
        reached,
        [
            (
                f"{len(seconds)} closes of {', '.join(f'{one}m' for one in MEASURED)}, through the same assets, in "
                f"real time; slowest {max(seconds):.1f} s; of 37m: {', '.join(long) or 'none fell into the time'}"
            ),
            *_breakdown(closes, seen, runs),
        ],
    )


def _breakdown(closes: Sequence[Close], seen: Seen, runs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Where the seconds go, a close a line."""
    moments: dict[str, list[float]] = {}
    for at in sorted({close.at for close in closes}):
        run = runs.get(f"{datetime.fromtimestamp(at * 60, UTC):%Y-%m-%dT%H:%M}", {})
        of_close = {
            "run asked for": run.get("creationTime"),
            "run started": run.get("startTime"),
            "last minute landed": seen.landed.get(at),
            "first decided": min(
                (seen.decided[one] for one in closes if one.at == at and one in seen.decided), default=None
            ),
            "last decided": max(
                (seen.decided[one] for one in closes if one.at == at and one in seen.decided), default=None
            ),
            "run ended": run.get("endTime"),
        }
        for name, moment in of_close.items():
            if moment is not None:
                moments.setdefault(name, []).append(moment - at * 60)
    for name, values in moments.items():
        yield (
            f"{name}: median {statistics.median(values):+.1f} s after the close, "
            f"{min(values):+.1f} to {max(values):+.1f} ({len(values)} closes)"
        )


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M}"
