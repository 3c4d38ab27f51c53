"""Gaps: minutes that should be there and are not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.market.spans import Spans


class GapReason(StrEnum):
    """Why a minute is missing."""

    COLLECTOR_DOWN = "collector_down"
    FETCH_FAILED = "fetch_failed"
    LATE_PUBLISH = "late_publish"
    EXCHANGE_DOWNTIME = "exchange_downtime"
    BEYOND_RETENTION = "beyond_retention"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Holes:
    """What a file's missing minutes mean: `quiet` ones the source vouches for, `unknown` ones nobody explains."""

    quiet: Spans
    unknown: Spans


def missing_minutes(time: Int64Array, vouched: Spans, start: int, end: int) -> Spans:
    """The gaps of [start, end): minutes without a row that nobody vouches for.

    Args:
        time: ascending epoch minutes that have a row.
        vouched: minutes known to have had no trade.
    """
    missing = np.ones(max(0, end - start), np.bool_)
    missing[time[(time >= start) & (time < end)] - start] = False
    missing[vouched.clip(start, end).minutes() - start] = False
    return Spans.of_minutes(np.flatnonzero(missing) + start)


def classify_holes(time: Int64Array, *, vouch: bool, outage_after: int) -> Holes:
    """Splits the holes between a file's rows into quiet and unknown.

    Args:
        time: ascending epoch minutes that have a row.
        vouch: the source writes no row for a minute without trades (`--missing no-trades`).
        outage_after: a hole longer than this many minutes is unknown all the same.
    """
    holes = Spans.of_minutes(time).complement(int(time[0]), int(time[-1]) + 1)
    quiet = ((holes.end - holes.start) <= outage_after) & np.bool_(vouch)
    return Holes(Spans(holes.start[quiet], holes.end[quiet]), Spans(holes.start[~quiet], holes.end[~quiet]))


def split_at_midnight(spans: Spans) -> Spans:
    """The same minutes in spans that never cross midnight."""
    pairs = [
        (max(start, day * MINUTES_PER_DAY), min(end, (day + 1) * MINUTES_PER_DAY))
        for start, end in spans.pairs()
        for day in range(start // MINUTES_PER_DAY, (end - 1) // MINUTES_PER_DAY + 1)
    ]
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return Spans(table[:, 0].copy(), table[:, 1].copy())
