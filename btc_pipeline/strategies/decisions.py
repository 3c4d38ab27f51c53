"""Decisions: a strategy's targets at closed bars, with type, confidence, reasons, what it saw and a digest of that.

A decision's type follows from two targets alone, those of slot t-1 and slot t. Positions are accounts' affair.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isnan
from typing import Final

import numpy as np

from btc_pipeline.errors import UserError
from btc_pipeline.indicators.base import Series
from btc_pipeline.indicators.registry import IndicatorSpec
from btc_pipeline.indicators.windows import full_windows, lookback_slots
from btc_pipeline.market.candles import BoolArray, Candles, Float64Array
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array, Interval
from btc_pipeline.strategies.base import (
    FLAT,
    LONG,
    NO_OPINION,
    SHORT,
    Direction,
    Input,
    Opinions,
    Parameters,
    Strategy,
    TargetArray,
    View,
)

MAX_AGE_SLOTS: Final = 2
"""How many slots back the last closed bar of another interval may lie: the slack of a window of one bar."""

SHORTEST_MONTH: Final = 28 * MINUTES_PER_DAY
LONGEST_MONTH: Final = 31 * MINUTES_PER_DAY


class DecisionType(StrEnum):
    """What changes at a bar's close; a flip is an OPEN."""

    OPEN_LONG = "OPEN_LONG"
    OPEN_SHORT = "OPEN_SHORT"
    CLOSE_LONG = "CLOSE_LONG"
    CLOSE_SHORT = "CLOSE_SHORT"
    HOLD = "HOLD"


@dataclass(frozen=True, slots=True)
class Decisions:
    """One strategy's decisions at n bars, ascending.

    Columns:
        time: int64[n], the bar's open in epoch minutes; the decision is made at its close.
        target: int8[n], SHORT, FLAT, LONG or NO_OPINION.
        type, reasons, snapshot (JSON text), input_digest: lists of n.
        confidence: float64[n], 0 to 1.
        day: int64[n], the UTC day of the bar.
    """

    time: Int64Array
    target: TargetArray
    type: list[str]
    confidence: Float64Array
    reasons: list[list[str]]
    snapshot: list[str]
    input_digest: list[str]
    day: Int64Array

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: Int64Array) -> Decisions:
        """Some of the decisions, in order."""
        at = rows.tolist()
        return Decisions(
            self.time[rows],
            self.target[rows],
            [self.type[i] for i in at],
            self.confidence[rows],
            [self.reasons[i] for i in at],
            [self.snapshot[i] for i in at],
            [self.input_digest[i] for i in at],
            self.day[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class StrategyOnInterval:
    """A strategy with its parameters, at work on one interval."""

    strategy: Strategy
    parameters: Parameters
    interval: Interval

    @property
    def parameters_json(self) -> str:
        """Its parameters as canonical JSON."""
        return canonical_json(self.parameters)

    def specs(self) -> dict[str, tuple[IndicatorSpec, Interval]]:
        """Its inputs as indicators on intervals, by the names the strategy gives them."""
        return {
            name: (IndicatorSpec.of(wanted.indicator, wanted.parameters), self._interval_of(wanted))
            for name, wanted in self.strategy.inputs(self.parameters).items()
        }

    def lookbacks(self) -> dict[Interval, int]:
        """How many slots of each interval it must be given, up to and including the last closed one."""
        slots = {self.interval: 1}
        for spec, interval in self.specs().values():
            slots[interval] = max(slots.get(interval, 1), spec.lookback_slots)
        # One bar more than asked for decides the type; other intervals may lag by their slack.
        own = slots.pop(self.interval) + lookback_slots(self.strategy.lookback + 1)
        return {
            self.interval: own,
            **{other: n + MAX_AGE_SLOTS + self._lookback_on(other) for other, n in slots.items()},
        }

    def decide(self, frames: Mapping[Interval, Candles], slots: range) -> Decisions:
        """The decisions at the bars of those slots.

        Args:
            frames: bars of every interval in `lookbacks`, with at least that many slots before the first.
            slots: slots of the strategy's own interval.
        """
        bars = frames[self.interval]
        series = self._series(frames)
        opinions = self.strategy.decide(View(bars, series), self.parameters)
        _check(opinions, len(bars), self.strategy.name)
        target, confidence, reasons = self._admissible(opinions, bars, series)
        _check_confidence(confidence, self.strategy.name)
        rows = np.flatnonzero((bars.slot >= slots.start) & (bars.slot < slots.stop))
        values = {"close": bars.close} | {
            (name if output == "value" else f"{name}.{output}"): one.value
            for name, outputs in series.items()
            for output, one in outputs.items()
        }
        unsettled = {
            name: ~outputs["value"].settled & ~np.isnan(outputs["value"].value) for name, outputs in series.items()
        }
        return Decisions(
            time=bars.time[rows],
            target=target[rows],
            type=[DECISION_TYPES[t] for t in _type_codes(target, bars.slot)[rows].tolist()],
            confidence=confidence[rows],
            reasons=_sentences(reasons, rows),
            snapshot=_snapshots(values, unsettled, rows),
            input_digest=self._digests(bars, values, unsettled, rows),
            day=bars.day[rows],
        )

    def _lookback_on(self, other: Interval) -> int:
        """How many slots of another interval the bars that the strategy looks back at may lie behind."""
        if not self.strategy.lookback:
            return 0
        minutes = (lookback_slots(self.strategy.lookback + 1) - 1) * (self.interval.minutes or LONGEST_MONTH)
        return -(-minutes // (other.minutes or SHORTEST_MONTH))

    def _interval_of(self, wanted: Input) -> Interval:
        return self.interval if wanted.interval is None else Interval.parse(wanted.interval)

    def _series(self, frames: Mapping[Interval, Candles]) -> dict[str, dict[str, Series]]:
        bars = frames[self.interval]
        found: dict[str, dict[str, Series]] = {}
        for name, (spec, interval) in self.specs().items():
            outputs = spec.compute(frames[interval])
            if interval != self.interval:
                outputs = _as_of_close(outputs, frames[interval], bars.close_time)
            found[name] = dict(outputs)
        return found

    def _admissible(
        self, opinions: Opinions, bars: Candles, series: Mapping[str, Mapping[str, Series]]
    ) -> tuple[TargetArray, Float64Array, list[tuple[BoolArray, str]]]:
        """No opinion where a bar is not usable or what the strategy needs is not there; the declared direction only."""
        target = opinions.target.copy()
        if self.strategy.direction is Direction.LONG:
            target[target == SHORT] = FLAT
        elif self.strategy.direction is Direction.SHORT:
            target[target == LONG] = FLAT
        refusals = [(~bars.usable, "bar is not usable: too many minutes missing, or its closing minute")]
        if self.strategy.lookback:
            short = ~full_windows(bars, self.strategy.lookback + 1)
            refusals.append((short, "too few bars to look back at, or a hole among them"))
        for name, wanted in self.strategy.inputs(self.parameters).items():
            if wanted.required:
                absent = np.isnan(series[name]["value"].value)
                refusals.append((absent, f"{name} has no value: warming up, or a hole in its window"))
        refused = np.logical_or.reduce([mask for mask, _ in refusals])
        target[refused] = NO_OPINION
        confidence = np.where(refused | (target == NO_OPINION), 0.0, opinions.confidence)
        spoken = [(mask & ~refused, text) for mask, text in opinions.reasons]
        return target, confidence, [*refusals, *spoken]

    def _digests(
        self,
        bars: Candles,
        values: Mapping[str, Float64Array],
        unsettled: Mapping[str, BoolArray],
        rows: Int64Array,
    ) -> list[str]:
        """Digests of what the strategy saw at each bar: who it is, the bar's time and state, every value's bits."""
        names = [self.strategy.name, self.parameters_json, self.interval.name, *values, *unsettled]
        seed = hashlib.blake2b("\0".join(names).encode(), digest_size=16)
        table = np.empty((len(rows), 2 + len(values) + len(unsettled)), dtype=np.int64)
        table[:, 0] = bars.close_time[rows]
        table[:, 1] = bars.usable[rows]
        for column, floats in enumerate(values.values(), start=2):
            table[:, column] = np.where(np.isnan(floats[rows]), np.nan, floats[rows]).view(np.int64)
        for column, flags in enumerate(unsettled.values(), start=2 + len(values)):
            table[:, column] = flags[rows]
        digests = []
        for row in table.astype("<i8"):
            digest = seed.copy()
            digest.update(row.tobytes())
            digests.append(digest.hexdigest())
        return digests


DECISION_TYPES: Final = tuple(DecisionType)


def canonical_json(values: Mapping[str, object]) -> str:
    """One text for equal mappings."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _type_codes(target: TargetArray, slot: Int64Array) -> Int64Array:
    """Indices into DECISION_TYPES. No opinion counts as flat before, and as HOLD now."""
    follows = np.diff(slot, prepend=slot[:1] - 2) == 1
    before = np.where(follows, np.concatenate((target[:1], target[:-1])), NO_OPINION)
    before = np.where(before == NO_OPINION, FLAT, before)
    codes = np.full(len(target), 4, dtype=np.int64)
    changed = (target != NO_OPINION) & (target != before)
    codes[changed & (target == LONG)] = 0
    codes[changed & (target == SHORT)] = 1
    codes[changed & (target == FLAT) & (before == LONG)] = 2
    codes[changed & (target == FLAT) & (before == SHORT)] = 3
    return codes


def _as_of_close(outputs: Mapping[str, Series], bars: Candles, close_time: Int64Array) -> dict[str, Series]:
    """Another interval's series as known at each close: of its last closed bar, if that one is recent and usable."""
    nothing = np.full(len(close_time), np.nan)
    if not len(bars):
        return {name: Series(nothing, np.zeros(len(close_time), np.bool_)) for name in outputs}
    last = np.searchsorted(bars.close_time, close_time, side="right") - 1
    at = np.maximum(last, 0)
    age = bars.interval.slot(close_time) - 1 - bars.slot[at]
    seen = (last >= 0) & (age <= MAX_AGE_SLOTS) & bars.usable[at]
    return {
        name: Series(np.where(seen, one.value[at], np.nan), seen & one.settled[at]) for name, one in outputs.items()
    }


def _check(opinions: Opinions, n: int, name: str) -> None:
    """A strategy's answer has one target, in range, for every bar.

    Raises:
        UserError: it has not; the message names the strategy and what was wrong.
    """
    if len(opinions.target) != n or len(opinions.confidence) != n:
        raise UserError(f"strategy {name!r} answered for {len(opinions.target)} bars instead of {n}.")
    allowed = np.isin(opinions.target, (SHORT, FLAT, LONG, NO_OPINION))
    if not allowed.all():
        raise UserError(f"strategy {name!r} wants target {opinions.target[~allowed][0]}: use -1, 0, 1 or NO_OPINION.")


def _check_confidence(confidence: Float64Array, name: str) -> None:
    """A confidence is a number from 0 to 1 wherever there is an opinion.

    Raises:
        UserError: it is not.
    """
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise UserError(f"strategy {name!r} has a confidence outside 0 to 1.")


def _sentences(reasons: Sequence[tuple[BoolArray, str]], rows: Int64Array) -> list[list[str]]:
    """The sentences that hold at each bar. Bars with the same combination share one list."""
    code = np.zeros(len(rows), dtype=np.int64)
    for bit, (mask, _) in enumerate(reasons):
        code |= mask[rows].astype(np.int64) << bit
    texts = {
        int(value): [text for bit, (_, text) in enumerate(reasons) if int(value) >> bit & 1]
        for value in np.unique(code)
    }
    return [texts[value] for value in code.tolist()]


def _snapshots(values: Mapping[str, Float64Array], unsettled: Mapping[str, BoolArray], rows: Int64Array) -> list[str]:
    """JSON objects of what was seen; doubles as the shortest text that gives them back, null where there is none."""
    columns = [[None if isnan(v) else v for v in floats[rows].tolist()] for floats in values.values()]
    flags = [mask[rows].tolist() for mask in unsettled.values()]
    names, waiting = list(values), list(unsettled)
    texts = []
    for at in range(len(rows)):
        seen: dict[str, object] = {name: column[at] for name, column in zip(names, columns, strict=True)}
        open_windows = [name for name, flag in zip(waiting, flags, strict=True) if flag[at]]
        if open_windows:
            seen["unsettled"] = open_windows
        texts.append(json.dumps(seen))
    return texts
