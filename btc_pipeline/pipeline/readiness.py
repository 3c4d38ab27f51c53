"""Whether a strategy can have an opinion now, and if not, when its first decision is due and what history it lacks.

The same window rule as the indicators' (`indicators.windows`) over the stored bars and, behind them, the slots that
come: each of those is assumed to become a usable bar. Pure: bars in, an answer out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from btc_pipeline.indicators.windows import usable_bars
from btc_pipeline.market.candles import BoolArray, Candles, Scale, empty_candles
from btc_pipeline.market.intervals import Int64Array, Interval
from btc_pipeline.market.warm_up import WarmUp
from btc_pipeline.storage.times import to_datetime, to_minute
from btc_pipeline.strategies.base import Parameters
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.inputs import MAX_AGE_SLOTS

DECIDED_WITHIN_MINUTES: Final = 2
"""A bar that closed less long ago and is not stored yet counts as one that comes."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """A strategy on an interval of one symbol.

    Attributes:
        ready: it can have an opinion at the last closed bar.
        first_due: else when the bar closes at which it first can, if that can be said.
        bars_missing, bars_needed: of the history that it waits for longest, on `bars_interval`.
        reason: in words.
    """

    strategy: str
    parameters: Parameters
    interval: str
    ready: bool
    first_due: datetime | None
    bars_missing: int
    bars_needed: int
    bars_interval: str
    reason: str


@dataclass(frozen=True, slots=True)
class StoredBars:
    """Stored bars of an interval, ascending: open times in epoch minutes (int64[n]), and whether each is usable."""

    time: Int64Array
    usable: BoolArray
    foreign: int = 0
    """How many of the first are those of `source`, a warm-up's."""
    source: str = ""

    @classmethod
    def of(cls, times: Sequence[datetime], usable: Sequence[bool]) -> StoredBars:
        return cls(np.array([to_minute(one) for one in times], np.int64), np.array(usable, np.bool_))

    def behind(self, source: StoredBars, interval: Interval, warm_up: WarmUp) -> StoredBars:
        """These bars behind those of a warm-up's source: see `market.warm_up`."""
        seen = interval.close(interval.slot(source.time)) <= warm_up.until
        own = interval.close(interval.slot(self.time)) > warm_up.until
        return StoredBars(
            np.concatenate((source.time[seen], self.time[own])),
            np.concatenate((source.usable[seen], self.usable[own])),
            int(seen.sum()),
            warm_up.source,
        )


NO_BARS: Final = StoredBars(np.empty(0, np.int64), np.empty(0, np.bool_))


@dataclass(frozen=True, slots=True)
class _Need:
    """A window that must hold: the fewest and the most bars of an interval."""

    interval: Interval
    fewest: int
    most: int


@dataclass(frozen=True, slots=True)
class _Met:
    """How far a need is met: now, or at the close of which coming slot (epoch minute), and how many bars that takes.

    `source` is whose bars its window reaches into now, if those of a warm-up.
    """

    need: _Need
    now: bool
    missing: int
    due: int
    source: str


def bars_to_read(strategies: Sequence[StrategyOnInterval]) -> dict[Interval, int]:
    """How many of the newest bars of each interval `assess_readiness` looks at."""
    slots: dict[Interval, int] = {}
    for one in strategies:
        for interval, n in one.lookbacks().items():
            slots[interval] = max(slots.get(interval, 0), n + 1)
    return slots


def assess_readiness(at_work: StrategyOnInterval, bars: Mapping[Interval, StoredBars], now: int) -> Readiness:
    """Whether the strategy can have an opinion.

    Args:
        bars: the newest stored bars of every interval in `bars_to_read`; an interval may be absent.
        now: the epoch minute now running.
    """
    own = at_work.interval
    met = [_assess(need, bars.get(need.interval, NO_BARS), now, own) for need in _needs(at_work)]
    last = met[0]
    worst = max(met, key=lambda one: (one.due, one.need.fewest))
    ready = all(one.now for one in met)
    due = None if ready else to_datetime(own.close(own.slot(worst.due - 1)))
    return Readiness(
        strategy=at_work.strategy.name,
        parameters=dict(at_work.parameters),
        interval=own.name,
        ready=ready,
        first_due=due,
        bars_missing=0 if ready else worst.missing,
        bars_needed=worst.need.fewest,
        bars_interval=worst.need.interval.name,
        reason=_opinion(met) if due is None else _sentence(own, worst, last, due),
    )


def _needs(at_work: StrategyOnInterval) -> list[_Need]:
    """The strategy's own bar first, then what it looks back at, then every input that it cannot do without."""
    lookback = at_work.strategy.lookback + 1
    needs = [_Need(at_work.interval, 1, 1), _Need(at_work.interval, lookback, lookback)]
    inputs = at_work.strategy.inputs(at_work.parameters)
    needs += [
        _Need(interval, spec.warm_up, spec.window)
        for name, (spec, interval) in at_work.specs().items()
        if inputs[name].required
    ]
    return needs


def _assess(need: _Need, stored: StoredBars, now: int, own: Interval) -> _Met:
    """Whether the need is met at the last closed bar, and else at which of those that come.

    Over coming slots that all become usable bars a window that holds goes on holding, so the first one is the answer.
    """
    interval = need.interval
    first = interval.slot(now)
    times = interval.slot(stored.time)
    if not (len(times) and times[-1] >= first - 1) and now - interval.open(first) < DECIDED_WITHIN_MINUTES:
        first -= 1
    known = times < first
    coming = np.arange(first, first + need.fewest + 1)
    slots = np.concatenate((times[known], coming))
    usable = np.concatenate((stored.usable[known], np.ones(len(coming), np.bool_)))
    used = usable_bars(_bars(interval, slots, usable), need.most, need.fewest)
    holds = used > 0
    at = int(known.sum())
    oldest = first - 1 - (0 if interval == own else MAX_AGE_SLOTS)
    met_now = at > 0 and bool(slots[at - 1] >= oldest and usable[at - 1] and holds[at - 1])
    waits = int(np.argmax(holds[at:]))
    missing = 0 if met_now else waits + 1
    due = interval.close(first - 1) if met_now else interval.close(first + waits)
    reaches = met_now and at - int(used[at - 1]) < stored.foreign
    return _Met(need, met_now, missing, due, stored.source if reaches else "")


def _bars(interval: Interval, slots: Int64Array, usable: BoolArray) -> Candles:
    """Bars of which only the slot and the usability are known."""
    # The window rule looks at nothing else; the other columns stay empty.
    opens: Any = interval.open(slots)
    return replace(empty_candles(interval, Scale(0, 0)), time=opens, usable=usable)


def _opinion(met: Sequence[_Met]) -> str:
    sources = sorted({one.source for one in met if one.source})
    return f"has an opinion, with bars of {', '.join(sources)}" if sources else "has an opinion"


def _sentence(own: Interval, worst: _Met, last: _Met, due: datetime) -> str:
    on = "" if worst.need.interval == own else f" of {worst.need.interval}"
    if worst.missing == 1 and not last.now:
        lack = f"the last bar{on} is missing or not usable"
    else:
        lack = f"{worst.missing} of {worst.need.fewest} bars{on} missing"
    return f"{lack}; first decision due {due:%Y-%m-%d %H:%M} UTC"
