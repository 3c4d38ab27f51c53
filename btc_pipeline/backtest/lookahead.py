"""Prefix replay: the proof that a decision rests on what was known when it was made, and on nothing else.

The data is cut at a bar's close, all is computed again from what is left, and the decision must come out the same to
the bit: target, type, confidence, reasons, snapshot, digest. Two kinds of cuts:

- windows: the bars of the declared look-back up to that close, nothing before and nothing after. They are small, so
  that every bar can be the last one of its own window: a leak that shows on one bar of a thousand is found on that bar.
- prefixes: everything up to the close. They cost as much as the whole, so there are few.

A strategy that is not a function of what it is given makes such comparisons worthless, so that is looked at first:
whether it changes its arrays, repeats itself, reads a clock, remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from btc_pipeline.backtest.bar_maker import BarMaker
from btc_pipeline.backtest.isolation import Isolated, moved_clock
from btc_pipeline.errors import StrategyError
from btc_pipeline.market.candles import COLUMNS, Candles
from btc_pipeline.market.intervals import Int64Array, Interval
from btc_pipeline.market.warm_up import WarmBars
from btc_pipeline.strategies.base import TargetArray
from btc_pipeline.strategies.decisions import Decisions, StrategyOnInterval

MOST_WINDOWS: Final = 100_000
"""Of longer data so many bars are looked at, about a minute's work; else all."""
PREFIXES: Final = 10
FUTURES: Final = 4
ENOUGH: Final = 16
"""Once so many windows show a fault no more are decided; of each it is looked at whether it looks ahead or back."""
MOST_BEHIND: Final = 2_000
"""So many windows are decided behind the first that shows a fault."""

CLOCK_SHIFTS: Final = (6 * 3600 + 427, 13 * 3600 + 1_511, 3 * 86_400 + 2_903, 200 * 86_400 + 71, 6 * 31_556_952)
"""Seconds: another time of day, another day of the week, another season, another year."""

_SEED: Final = 37

Frames = Mapping[Interval, Candles]
Row = tuple[object, ...]
FIELDS: Final = ("target", "type", "confidence", "reasons", "snapshot", "input_digest", "warmed")


class Fault(StrEnum):
    """What is wrong with a strategy."""

    LOOK_AHEAD = "looks ahead: a decision changes when what comes after its bar's close is not there, or is different"
    LOOK_BACK = "looks back further than it declares (lookback, inputs): the live pipeline would not give it those bars"
    NOT_REPEATABLE = "does not repeat itself: two calls with the same data give different answers"
    CLOCK = "reads the clock: the same data gives another answer at another time"
    MEMORY = "remembers: the same data gives another answer after other calls"
    WRITES = "writes into the arrays that it is given, which others read"
    TARGETS = "targets() and decide() give different targets"
    FAILS = "fails on a part of the data"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first bar at which a fault shows.

    Attributes:
        time: epoch minute, the open of that bar; None where it is about no bar.
        known: epoch minute, up to where the data of the second answer went.
        field: of the decision, or what else differs.
        whole, part: the answer from all data, and the second one.
        bars, of: at how many of how many bars that were looked at it shows.
    """

    fault: Fault
    time: int | None
    known: int | None
    field: str
    whole: object
    part: object
    bars: int = 1
    of: int = 1


@dataclass(frozen=True, slots=True)
class Proof:
    """What was looked at, and what was found; nothing found means that it holds.

    Attributes:
        bars: of the strategy's interval.
        windows, prefixes, futures: how many cuts of each kind were compared; fewer where a fault was found.
    """

    bars: int
    windows: int
    prefixes: int
    futures: int
    difference: Difference | None


def prove(
    one: StrategyOnInterval,
    maker: BarMaker,
    *,
    warm_bars: WarmBars | None = None,
    cuts: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Proof:
    """Looks for decisions that rest on what they must not. Stops soon after the first fault.

    Args:
        maker: of the intervals in `one.lookbacks()`.
        warm_bars: another venue's bars, as for `StrategyOnInterval.decide`.
        cuts: how many bars are the last one of a window; by default all, of very long data MOST_WINDOWS. Where not all
            are, it is the last bar, those where the target changes, and others by lot (the same in every run).
        progress: told how many windows are done, of how many.

    """
    return _Prover(one, maker, warm_bars, cuts, progress).prove()


class _Prover:
    def __init__(
        self,
        one: StrategyOnInterval,
        maker: BarMaker,
        warm_bars: WarmBars | None,
        cuts: int | None,
        progress: Callable[[int, int], None],
    ) -> None:
        self._one, self._maker, self._warm = one, maker, warm_bars
        self._isolated = Isolated(one.strategy)
        self._lookbacks = one.lookbacks()
        self._progress = progress
        self._frames: Frames = maker.frames()
        self._bars = self._frames[one.interval]
        self._slots = range(int(self._bars.slot[0]), int(self._bars.slot[-1]) + 1) if len(self._bars) else range(0)
        self._most_windows = MOST_WINDOWS if cuts is None else cuts
        self._windows = self._prefixes = self._futures = 0

    def prove(self) -> Proof:
        found = self._first_fault() if len(self._bars) else None
        self._isolated.fresh()
        return Proof(len(self._bars), self._windows, self._prefixes, self._futures, found)

    def _first_fault(self) -> Difference | None:
        untouched = {interval: _copy(bars) for interval, bars in self._frames.items()}
        try:
            self._whole = self._decide(self._frames, self._slots)
            written = _first_written(self._frames, untouched)
            if written is not None:
                return written
            for bars in self._frames.values():
                _lock(bars)
            self._rows = self._whole.rows()
            looks = (self._repeats, self._clock, self._targets, self._in_cuts, self._memory)
            return next((found for look in looks if (found := look()) is not None), None)
        except _Failed as failed:
            return failed.difference

    # What makes comparisons worthless

    def _repeats(self) -> Difference | None:
        return self._compared(Fault.NOT_REPEATABLE, self._decide(self._frames, self._slots))

    def _clock(self) -> Difference | None:
        for seconds in CLOCK_SHIFTS:
            with moved_clock(self._isolated.modules, seconds):
                moved = self._decide(self._frames, self._slots)
            found = self._compared(Fault.CLOCK, moved)
            if found is not None:
                return found
        return None

    def _targets(self) -> Difference | None:
        if self._warm is not None:
            return None
        with _guard():
            quick = self._fresh().targets(self._frames)
        differing = np.flatnonzero(self._whole.target != quick)
        if not len(differing):
            return None
        at = int(differing[0])
        time, decided = int(self._bars.time[at]), int(self._whole.target[at])
        return Difference(Fault.TARGETS, time, None, "target", decided, int(quick[at]), len(differing), len(self._bars))

    def _memory(self) -> Difference | None:
        """One and the same strategy asked about other data in between, as in a process that goes on."""
        used = self._fresh()
        for at in (0, len(self._bars) // 2, len(self._bars) - 1):
            for frames, slots, warm in (self._window(at), (self._frames, self._slots, self._warm)):
                with _guard():
                    made = used.decide(frames, slots, warm)
                found = self._compared(Fault.MEMORY, made)
                if found is not None:
                    return found
        return None

    # Cuts

    def _in_cuts(self) -> Difference | None:
        """A look ahead, rather than what else is found in windows."""
        found = self._in_windows()
        if found is not None and found.fault is Fault.LOOK_AHEAD:
            return found
        return self._in_prefixes() or found

    def _in_windows(self) -> Difference | None:
        chosen = chosen_bars(self._whole.target, self._most_windows).tolist()
        differing: list[int] = []
        failed: list[Difference] = []
        behind = 0
        for at in chosen:
            if len(differing) + len(failed) == ENOUGH or behind == MOST_BEHIND:
                break
            behind += bool(differing or failed)
            if not self._windows % 256:
                self._progress(self._windows, len(chosen))
            self._windows += 1
            try:
                if self._in_window(at).rows() != self._rows[at : at + 1]:
                    differing.append(at)
            except _Failed as failure:
                failed.append(failure.difference)
        self._progress(self._windows, len(chosen))
        found = self._told_apart(differing) if differing else None
        if failed and (found is None or found.fault is not Fault.LOOK_AHEAD):
            return replace(failed[0], bars=len(failed), of=self._windows)
        return found

    def _told_apart(self, differing: list[int]) -> Difference | None:
        """Ahead or back: with all that was before the decision comes out the same, if it only looks back."""
        looks = (self._in_prefix(at) for at in differing)
        found = next((found for found in looks if found is not None), None)
        if found is None:
            at = differing[0]
            found = self._compared(Fault.LOOK_BACK, self._in_window(at), int(self._bars.close_time[at]))
        return None if found is None else replace(found, bars=len(differing), of=self._windows)

    def _in_prefixes(self) -> Difference | None:
        chosen = chosen_bars(self._whole.target, min(PREFIXES, self._most_windows)).tolist()
        for number, at in enumerate(chosen):
            found = self._in_prefix(at)
            if found is None and number < FUTURES:
                found = self._in_futures(at)
            if found is not None:
                return found
        return None

    def _in_prefix(self, at: int) -> Difference | None:
        """Everything up to the close of a bar."""
        self._prefixes += 1
        close = int(self._bars.close_time[at])
        return self._compared(
            Fault.LOOK_AHEAD, self._decide(_closed_by(self._frames, close), self._slots, at=at), close
        )

    def _in_futures(self, at: int) -> Difference | None:
        """What trades from a bar's close on, in the bar that is forming first of all, changes no decision up to it."""
        close = int(self._bars.close_time[at])
        inside = close + max(1, int(self._bars.expected_minutes[at]) // 2)
        for frames in (self._maker.known_at(inside), self._maker.with_another_future(close)):
            self._futures += 1
            made = self._decide(frames, self._slots, at=at)
            until = made.take(np.arange(int(np.searchsorted(made.time, close))))
            found = self._compared(Fault.LOOK_AHEAD, until, close)
            if found is not None:
                return found
        return None

    def _in_window(self, at: int) -> Decisions:
        """The decision at a bar from what the live pipeline has for it."""
        return self._decide(*self._window(at), at=at)

    def _window(self, at: int) -> tuple[Frames, range, WarmBars | None]:
        """The bars that the live pipeline has for the decision at a bar, and that bar's slot."""
        own, slot = self._one.interval, int(self._bars.slot[at])
        open_, close = own.open(slot), own.close(slot)
        first = {
            interval: slot - n + 1 if interval == own else interval.slot(open_) - n
            for interval, n in self._lookbacks.items()
        }
        frames = {
            interval: bars.take(
                slice(
                    int(np.searchsorted(bars.time, interval.open(first[interval]))),
                    int(np.searchsorted(bars.time, interval.open(interval.slot(close)))),
                )
            )
            for interval, bars in self._frames.items()
        }
        if self._warm is None:
            return frames, range(slot, slot + 1), None
        warm = {
            interval: bars.take(slice(int(np.searchsorted(bars.time, interval.open(first[interval]))), None))
            for interval, bars in self._warm.bars.items()
        }
        return frames, range(slot, slot + 1), WarmBars(self._warm.warm_up, warm)

    # Calls and comparisons

    def _fresh(self) -> StrategyOnInterval:
        return StrategyOnInterval(self._isolated.fresh(), self._one.parameters, self._one.interval)

    def _decide(
        self, frames: Frames, slots: range, warm: WarmBars | None = None, *, at: int | None = None
    ) -> Decisions:
        """What a strategy that was never called before decides; a failure is one on what is known at a bar's close."""
        one = self._fresh()
        known = None if at is None else (int(self._bars.time[at]), int(self._bars.close_time[at]))
        with _guard(known):
            return one.decide(frames, slots, warm or self._warm)

    def _compared(self, fault: Fault, made: Decisions, known: int | None = None) -> Difference | None:
        """The first of the decisions that differs from what the whole gives at the same bar."""
        rows = made.rows()
        start = int(np.searchsorted(self._bars.time, made.time[0])) if len(made) else 0
        wanted = self._rows[start : start + len(rows)]
        if rows == wanted:
            return None
        differing = [at for at, (one, other) in enumerate(zip(wanted, rows, strict=True)) if one != other]
        first = differing[0]
        field, whole, part = _first_field(wanted[first], rows[first])
        return Difference(fault, int(made.time[first]), known, field, whole, part, len(differing), len(rows))


class _Failed(Exception):  # noqa: N818 it carries a finding, and never leaves this module
    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.fault)
        self.difference = difference


@contextmanager
def _guard(known: tuple[int, int] | None = None) -> Iterator[None]:
    """A strategy may fail in any way; `known` is the bar and its close that the data ended with."""
    try:
        yield
    except Exception as raised:
        # What the strategy raised; an answer that cannot be used has no cause.
        error = (raised.__cause__ if isinstance(raised, StrategyError) else None) or raised
        writes = isinstance(error, ValueError) and "read-only" in str(error)
        fault, field = (Fault.WRITES, "arrays") if writes else (Fault.FAILS, "answer")
        time, close = known or (None, None)
        words = f"{type(error).__name__}: {error}"
        raise _Failed(Difference(fault, time, close, field, "an answer", words)) from raised


def chosen_bars(target: TargetArray, most: int) -> Int64Array:
    """Rows of at most so many bars, ascending: all, or the last, those where the target changes, and others by lot."""
    n = len(target)
    if n <= most:
        return np.arange(n)
    lot = np.random.default_rng(_SEED)
    changes = np.flatnonzero(np.diff(target)) + 1
    first = np.unique(np.append(changes, n - 1))
    if len(first) >= most:
        kept = lot.permutation(first[:-1])[: max(0, most - 1)]
        return np.sort(np.append(kept, n - 1))
    others = np.setdiff1d(np.arange(n), first)
    return np.sort(np.concatenate((first, lot.permutation(others)[: most - len(first)])))


def _first_field(whole: Row, part: Row) -> tuple[str, object, object]:
    for name, one, other in zip(("time", *FIELDS), whole, part, strict=True):
        if one != other:
            return name, one, other
    return "decision", whole, part


def _closed_by(frames: Frames, close: int) -> Frames:
    return {
        interval: bars.take(slice(0, int(np.searchsorted(bars.time, interval.open(interval.slot(close))))))
        for interval, bars in frames.items()
    }


def _copy(bars: Candles) -> Candles:
    return bars.take(np.arange(len(bars)))


def _lock(bars: Candles) -> None:
    for name in COLUMNS:
        getattr(bars, name).setflags(write=False)


def _first_written(frames: Frames, untouched: Frames) -> Difference | None:
    for interval, bars in frames.items():
        for name in COLUMNS:
            before, after = getattr(untouched[interval], name), getattr(bars, name)
            same = (before == after) | (np.isnan(before) & np.isnan(after))
            if not same.all():
                at = int(np.flatnonzero(~same)[0])
                time = int(untouched[interval].time[at])
                values = before[at].item(), after[at].item()
                return Difference(
                    Fault.WRITES, time, None, f"{name} of {interval}", *values, int((~same).sum()), len(same)
                )
    return None
