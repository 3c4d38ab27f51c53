"""Decisions: a strategy's targets at closed bars, with type, confidence, reasons, what it saw and a digest of that.

A decision's type follows from two targets alone, those of slot t-1 and slot t. Positions are accounts' affair.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

import numpy as np

from btc_pipeline.errors import StrategyError, UserError
from btc_pipeline.indicators.base import Series
from btc_pipeline.indicators.memo import remembered
from btc_pipeline.indicators.registry import IndicatorSpec
from btc_pipeline.indicators.windows import full_windows, lookback_slots, torn_windows
from btc_pipeline.market.candles import BoolArray, Candles, Float64Array
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array, Interval
from btc_pipeline.market.warm_up import Spliced, WarmBars, splice
from btc_pipeline.strategies.answers import checked_inputs, checked_opinions, checked_target
from btc_pipeline.strategies.base import (
    FLAT,
    LONG,
    NO_OPINION,
    SHORT,
    Input,
    Opinions,
    Parameters,
    Strategy,
    TargetArray,
    View,
)
from btc_pipeline.strategies.faults import faults_of
from btc_pipeline.strategies.inputs import MAX_AGE_SLOTS, LazyInputs, last_closed, locked, seen_at
from btc_pipeline.strategies.judged import Judged

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
        warmed: bool[n], whether it saw bars of another venue (`market.warm_up`).
    """

    time: Int64Array
    target: TargetArray
    type: list[str]
    confidence: Float64Array
    reasons: list[list[str]]
    snapshot: list[str]
    input_digest: list[str]
    day: Int64Array
    warmed: BoolArray

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
            self.warmed[rows],
        )

    def rows(self, *, snapshots: bool = True) -> list[tuple[object, ...]]:
        """Each as (time, target, type, confidence, reasons, [snapshot,] input_digest, warmed), to be compared."""
        columns = [self.time.tolist(), self.target.tolist(), self.type, self.confidence.tolist(), self.reasons]
        columns += [self.snapshot] if snapshots else []
        return list(zip(*columns, self.input_digest, self.warmed.tolist(), strict=True))


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
        return self._specs(self._inputs())

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

    def decide(self, frames: Mapping[Interval, Candles], slots: range, warm_bars: WarmBars | None = None) -> Decisions:
        """The decisions at the bars of those slots.

        Args:
            frames: bars of every interval in `lookbacks`, with at least that many slots before the first.
            slots: slots of the strategy's own interval.
            warm_bars: another venue's bars that windows reach back to at bars that close after `until`.
        """
        judged = self._judged(frames, warm_bars)
        return self._decisions(judged, _rows_of(judged.bars, slots))

    def changes(
        self, frames: Mapping[Interval, Candles], slots: range, warm_bars: WarmBars | None = None
    ) -> tuple[TargetArray, BoolArray, Decisions]:
        """The targets of `decide`, which bars saw another venue's, and the decisions where the target changes.

        The first bar's is among them; between two of them every bar has the earlier one's target.
        """
        judged = self._judged(frames, warm_bars)
        rows = _rows_of(judged.bars, slots)
        target = judged.target[rows]
        changed = np.append(np.ones(min(1, len(rows)), np.bool_), target[1:] != target[:-1])
        return target, judged.saw_warm[rows], self._decisions(judged, rows[changed])

    def targets(self, frames: Mapping[Interval, Candles], warm_bars: WarmBars | None = None) -> TargetArray:
        """The targets of `decide` at every bar of `frames` of its own interval, int8[n], and nothing else of it."""
        if warm_bars is None:
            return self._targets(frames)
        warmed = remembered(frames[self.interval], ("warmed", id(warm_bars)), lambda: _Warmed.of(frames, warm_bars))
        both = warmed.spliced[self.interval]
        before = self._targets(frames)[: both.own_first] if both.own_first else np.empty(0, np.int8)
        return np.concatenate((before, self._targets(warmed.frames)[both.warm :]))

    def _inputs(self) -> Mapping[str, Input]:
        with faults_of(self.strategy):
            return checked_inputs(self.strategy.inputs(self.parameters), self.strategy.name)

    def _specs(self, inputs: Mapping[str, Input]) -> dict[str, tuple[IndicatorSpec, Interval]]:
        specs = {}
        for name, wanted in inputs.items():
            try:
                specs[name] = IndicatorSpec.of(wanted.indicator, wanted.parameters), self._interval_of(wanted)
            except UserError as error:
                raise StrategyError(f"input {name!r} of strategy {self.strategy.name}: {error}") from error
        return specs

    def _checked_target(self, wanted: TargetArray, n: int) -> TargetArray:
        # An override is there for its speed; that it gives what `decide` gives is proven by `verify lookahead`.
        faster = type(self.strategy).targets is not Strategy.targets
        if faster and isinstance(wanted, np.ndarray) and wanted.dtype == np.int8 and wanted.shape == (n,):
            return wanted
        return checked_target(wanted, n, self.strategy.name)

    def _targets(self, frames: Mapping[Interval, Candles]) -> TargetArray:
        frames = locked(frames)
        bars, inputs = frames[self.interval], self._inputs()
        specs = self._specs(inputs)
        with faults_of(self.strategy):
            wanted = self.strategy.targets(View(bars, LazyInputs(bars, frames, specs)), self.parameters)
            target = self.strategy.direction.admitted(self._checked_target(wanted, len(bars)))
        target[remembered(bars, "unusable", lambda: np.flatnonzero(~bars.usable))] = NO_OPINION
        for name, given in inputs.items():
            if given.required:
                spec, interval = specs[name]
                absent = spec.without_value(frames[interval])
                if interval != self.interval:
                    at, seen = last_closed(frames[interval], bars)
                    absent = np.flatnonzero(~seen | np.isin(at, absent))
                target[absent] = NO_OPINION
        if self.strategy.lookback:
            target[torn_windows(bars, self.strategy.lookback + 1)] = NO_OPINION
        return target

    def _judged(self, frames: Mapping[Interval, Candles], warm_bars: WarmBars | None) -> Judged:
        return self._judge(frames) if warm_bars is None else self._judge_warmed(frames, warm_bars)

    def _decisions(self, judged: Judged, rows: Int64Array) -> Decisions:
        """The decisions at some rows of what was judged."""
        bars = judged.bars
        _check_confidence(judged.confidence, self.strategy.name)
        return Decisions(
            time=bars.time[rows],
            target=judged.target[rows],
            type=[DECISION_TYPES[t] for t in _type_codes(judged.target, bars.slot)[rows].tolist()],
            confidence=judged.confidence[rows],
            reasons=judged.sentences(rows),
            snapshot=judged.snapshots(rows),
            input_digest=judged.digests((self.strategy.name, self.parameters_json, self.interval.name), rows),
            day=bars.day[rows],
            warmed=judged.saw_warm[rows],
        )

    def _judge(self, frames: Mapping[Interval, Candles], warm: Mapping[Interval, int] | None = None) -> Judged:
        """What it makes of every bar of its own interval; the first `warm` bars of an interval are another venue's."""
        frames = locked(frames)
        bars = frames[self.interval]
        series = self._series(frames)
        with faults_of(self.strategy):
            answer = self.strategy.opinions(View(bars, series), self.parameters)
            opinions = checked_opinions(answer, len(bars), self.strategy.name)
        target, confidence, reasons = self._admissible(opinions, bars, series)
        nowhere = np.zeros(len(bars), np.bool_)
        warmed = self._warmed(frames, warm) if warm else dict.fromkeys(series, nowhere)
        return Judged(
            bars,
            target,
            confidence,
            reasons,
            values={"close": bars.close}
            | {
                (name if output == "value" else f"{name}.{output}"): one.value
                for name, outputs in series.items()
                for output, one in outputs.items()
            },
            unsettled={
                name: ~outputs["value"].settled & ~np.isnan(outputs["value"].value) for name, outputs in series.items()
            },
            warmed=warmed,
            saw_warm=self._saw(bars, warm.get(self.interval, 0), warmed) if warm else nowhere,
        )

    def _judge_warmed(self, frames: Mapping[Interval, Candles], warm_bars: WarmBars) -> Judged:
        """At bars that close by `until` what their own history gives; behind it what both venues' bars give together.

        The type of the first decision behind `until` follows from the symbol's own one before it.
        """
        warmed = _Warmed.of(frames, warm_bars)
        warm = {interval: one.warm for interval, one in warmed.spliced.items()}
        both = warmed.spliced[self.interval]
        later = self._judge(warmed.frames, warm).take(slice(both.warm, None))
        later.reasons.append((later.saw_warm, f"saw bars of {warm_bars.warm_up.source}"))
        if not both.own_first:
            return replace(later, bars=frames[self.interval])
        return self._judge(frames).take(slice(0, both.own_first)).then(later, frames[self.interval])

    def _warmed(self, frames: Mapping[Interval, Candles], warm: Mapping[Interval, int]) -> dict[str, BoolArray]:
        """Of every input, at which bars its value rests on another venue's."""
        found = {}
        for name, (spec, interval) in self.specs().items():
            mask = spec.reaches_first(frames[interval], warm.get(interval, 0))
            if interval != self.interval:
                at, seen = last_closed(frames[interval], frames[self.interval])
                mask = seen & mask[at] if len(mask) else seen
            found[name] = mask
        return found

    def _saw(self, bars: Candles, warm: int, warmed: Mapping[str, BoolArray]) -> BoolArray:
        """Where one of the bars that it looked at has such a value, or is one of the first `warm` itself."""
        index = np.arange(len(bars))
        told = np.logical_or.reduce([index < warm, *warmed.values()])
        before = np.concatenate((np.zeros(1, np.int64), np.cumsum(told)))
        # Where there are too few bars to look back at it has no opinion, and none of them counts.
        looked_back = np.where(full_windows(bars, self.strategy.lookback + 1), self.strategy.lookback, 0)
        first = np.maximum(index - looked_back, 0)
        return np.asarray(before[1:] > before[first])

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
        return {name: seen_at(bars, frames, spec, interval) for name, (spec, interval) in self.specs().items()}

    def _admissible(
        self, opinions: Opinions, bars: Candles, series: Mapping[str, Mapping[str, Series]]
    ) -> tuple[TargetArray, Float64Array, list[tuple[BoolArray, str]]]:
        """No opinion where a bar is not usable or what the strategy needs is not there; the declared direction only."""
        target = self.strategy.direction.admitted(opinions.target)
        refusals = [(~bars.usable, "bar is not usable: too many minutes missing, or its closing minute")]
        if self.strategy.lookback:
            short = ~full_windows(bars, self.strategy.lookback + 1)
            refusals.append((short, "too few bars to look back at, or a hole among them"))
        for name, wanted in self._inputs().items():
            if wanted.required:
                absent = np.isnan(series[name]["value"].value)
                refusals.append((absent, f"{name} has no value: warming up, or a hole in its window"))
        refused = np.logical_or.reduce([mask for mask, _ in refusals])
        target[refused] = NO_OPINION
        confidence = np.where(refused | (target == NO_OPINION), 0.0, opinions.confidence)
        spoken = [(mask & ~refused, text) for mask, text in opinions.reasons]
        return target, confidence, [*refusals, *spoken]


@dataclass(frozen=True, slots=True)
class _Warmed:
    """Bars of every interval with the source's in front, and the warm-up that they are made by."""

    warm_bars: WarmBars
    spliced: dict[Interval, Spliced]
    frames: dict[Interval, Candles]

    @classmethod
    def of(cls, frames: Mapping[Interval, Candles], warm_bars: WarmBars) -> Self:
        until = warm_bars.warm_up.until
        spliced = {interval: splice(own, warm_bars.bars.get(interval), until) for interval, own in frames.items()}
        return cls(warm_bars, spliced, {interval: one.bars for interval, one in spliced.items()})


DECISION_TYPES: Final = tuple(DecisionType)


def canonical_json(values: Mapping[str, object]) -> str:
    """One text for equal mappings."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _rows_of(bars: Candles, slots: range) -> Int64Array:
    """The rows of the bars in a range of slots."""
    return np.flatnonzero((bars.slot >= slots.start) & (bars.slot < slots.stop))


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


def _check_confidence(confidence: Float64Array, name: str) -> None:
    """A confidence is a number from 0 to 1 wherever there is an opinion.

    Raises:
        StrategyError: it is not.
    """
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise StrategyError(f"strategy {name!r} has a confidence outside 0 to 1.")
