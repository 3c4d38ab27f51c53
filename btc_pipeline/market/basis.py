"""The basis between two symbols' closes: how far they are apart, against how far they usually are.

Belongs here: the basis, its rolling median, and alerts, as pure functions of arrays. Does not belong here: which
symbols are compared, and what becomes of an alert.

The basis is (a - b) / b in basis points: closes are whole ticks of one scale, their difference is an integer, and one
product and one division of doubles follow. So it is correctly rounded while the difference has less than 12 digits; a
basis of exactly 30 is 30.0. The median is the middle value or, of an even number, half the sum of the middle two.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Final

import numpy as np

from btc_pipeline.market.candles import Candles, Float64Array, to_ticks
from btc_pipeline.market.intervals import Int64Array

LEAST_MINUTES: Final = 60
"""A median of fewer minutes says too little for an alert."""
_BPS: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class BasisRule:
    """When a basis is worth a word.

    Attributes:
        alert_bps: the distance from the median must be more than this.
        alert_minutes: in so many minutes in a row.
        median_minutes: the median is that of the minutes before the one looked at, so far back; of at least
            LEAST_MINUTES, or of all where it reaches back less.
    """

    alert_bps: float = 30.0
    alert_minutes: int = 3
    median_minutes: int = 1_440


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two symbols to be compared; the basis is above 0 where `symbol` is dearer than `against`."""

    symbol: str
    against: str
    rule: BasisRule = BasisRule()


@dataclass(frozen=True, slots=True)
class Closes:
    """Closes of the minutes in which something traded, strictly ascending.

    Columns:
        time: int64[n], epoch minutes.
        close: float64[n], decimals of at most `decimals` places.
    """

    time: Int64Array
    close: Float64Array
    decimals: int

    @classmethod
    def of(cls, minutes: Candles) -> Closes:
        """Those of 1m candles; a quiet minute has no close of its own."""
        traded = minutes.quiet_minutes == 0
        return cls(minutes.time[traded], minutes.close[traded], minutes.scale.price)


@dataclass(frozen=True, slots=True)
class Basis:
    """The basis in the minutes that both symbols have, strictly ascending; all columns have the same length n.

    Columns:
        time: int64, epoch minutes.
        bps: float64, above 0 where the first symbol is dearer.
        median: float64, of the minutes before; NaN where they are too few.
    """

    time: Int64Array
    bps: Float64Array
    median: Float64Array

    @property
    def deviation(self) -> Float64Array:
        """The basis minus its median, float64[n]; NaN where there is none."""
        return self.bps - self.median


@dataclass(frozen=True, slots=True)
class Alert:
    """Consecutive minutes [start, end) with a basis far from its median.

    Attributes:
        bps, median: of the minute with the largest deviation, the first of several.
    """

    start: int
    end: int
    bps: float
    median: float

    @property
    def minutes(self) -> int:
        return self.end - self.start

    @property
    def deviation(self) -> float:
        """The largest one, with its sign."""
        return self.bps - self.median

    def words(self, of: Comparison) -> str:
        """`BTC is 42 bps above BTCUSDT.BINANCE (median 3 bps) for 3 minutes`."""
        side = "above" if self.bps >= 0 else "below"
        return (
            f"{of.symbol} is {_shown(abs(self.bps))} bps {side} {of.against} (median {_shown(self.median)} bps) "
            f"for {self.minutes:,} minutes"
        )


def basis_of(first: Closes, second: Closes, rule: BasisRule, *, since: int | None = None) -> Basis:
    """The basis of two symbols, and its rolling median; no minute depends on a later one.

    Args:
        since: only minutes from this one on are wanted; those before are used for the medians alone.
    """
    time, at_first, at_second = np.intersect1d(first.time, second.time, assume_unique=True, return_indices=True)
    decimals = max(first.decimals, second.decimals)
    a, b = to_ticks(first.close[at_first], decimals), to_ticks(second.close[at_second], decimals)
    bps = (a - b) * _BPS / b
    wanted = 0 if since is None else int(np.searchsorted(time, since))
    return Basis(time[wanted:], bps[wanted:], _medians(time, bps, rule.median_minutes, wanted))


def find_alerts(basis: Basis, rule: BasisRule) -> list[Alert]:
    """The runs of minutes with more than `alert_bps` between basis and median; a missing minute ends a run."""
    deviation = np.abs(basis.deviation)
    far = np.flatnonzero(deviation > rule.alert_bps)
    if not len(far):
        return []
    alerts = []
    for run in np.split(far, np.flatnonzero(np.diff(basis.time[far]) != 1) + 1):
        if len(run) >= rule.alert_minutes:
            worst = run[np.argmax(deviation[run])]
            start, end = int(basis.time[run[0]]), int(basis.time[run[-1]]) + 1
            alerts.append(Alert(start, end, float(basis.bps[worst]), float(basis.median[worst])))
    return alerts


def _shown(bps: float) -> str:
    return f"{bps:.1f}".removesuffix(".0")


def _medians(time: Int64Array, bps: Float64Array, minutes: int, wanted: int) -> Float64Array:
    """The median of the values in the minutes before each row from `wanted` on.

    An ordered window instead of one array operation a row: a day takes milliseconds, not a tenth of a second.
    """
    least = min(LEAST_MINUTES, minutes)
    starts = np.searchsorted(time, time[wanted:] - minutes).tolist()
    values = bps.tolist()
    first = starts[0] if starts else 0
    window = sorted(values[first:wanted])
    medians = np.full(len(values) - wanted, np.nan)
    for row, start in enumerate(starts):
        for gone in values[first:start]:
            del window[bisect_left(window, gone)]
        first = start
        count = len(window)
        if count >= least:
            medians[row] = (window[(count - 1) // 2] + window[count // 2]) / 2
        insort(window, values[wanted + row])
    return medians
