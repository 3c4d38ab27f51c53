"""Strategies with a fault that the proof has to find, each in the plainest form in which people write it.

They see 5m bars of some days; `fault` says by which name the fault is to be called.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar

import numpy as np

from btc_pipeline.backtest.lookahead import Fault
from btc_pipeline.market.intervals import Interval
from btc_pipeline.strategies.base import FLAT, LONG, SHORT, Input, Opinions, Strategy


class Peeking(Strategy):
    """Long where `up` says so, else short."""

    description = "Has a fault."
    fault = Fault.LOOK_AHEAD

    def inputs(self, p):
        return {"average": Input("sma", {"period": 5})}

    def decide(self, view, p):
        up = self.up(view.bars, view["average"])
        target = np.where(up, LONG, SHORT).astype(np.int8)
        return Opinions(target, np.full(len(target), 0.5), [(up == True, "up")])  # noqa: E712 some are not of bool

    def up(self, bars, average):
        raise NotImplementedError


class NextClose(Peeking):
    """The candle that comes next."""

    def up(self, bars, average):
        return np.append(bars.close[1:], bars.close[-1:]) > bars.close


class NextOpen(Peeking):
    """Only the open of the next candle, and only where it gaps."""

    def up(self, bars, average):
        later = np.append(bars.open[1:], bars.close[-1:])
        return np.where(np.abs(later - bars.close) > 0.02, later > bars.close, bars.close > average)


class CentredWindow(Peeking):
    """A smoothing that reaches two bars to either side."""

    def up(self, bars, average):
        return bars.close > np.convolve(bars.close, np.full(5, 0.2), mode="same")


class ScoreOverAll(Peeking):
    """A z-score with the mean and the deviation of all data."""

    def up(self, bars, average):
        return bars.close - bars.close.mean() > 0.5 * bars.close.std()


class CloseOfTheDay(Peeking):
    """The close of the day whose bar is forming still."""

    def up(self, bars, average):
        hour = Interval.parse("1h").slot(bars.time)
        last = np.searchsorted(hour, hour, side="right") - 1
        return bars.close[last] > bars.close


class HighestOfAll(Peeking):
    """Long until the highest high of all, short behind it."""

    def up(self, bars, average):
        return np.arange(len(bars)) < np.argmax(bars.high)


class ReversedSum(Peeking):
    """What is still to come, summed up from the end."""

    def up(self, bars, average):
        change = np.diff(bars.close, prepend=bars.close[:1])
        return np.cumsum(change[::-1])[::-1] > change


class FilledBackwards(Peeking):
    """Where there is no signal, the next one."""

    def up(self, bars, average):
        signal = np.where(bars.close % 0.07 < 0.01, np.sign(bars.close - average), np.nan)
        filled = signal.copy()
        for at in range(len(filled) - 2, -1, -1):
            filled[at] = filled[at + 1] if np.isnan(filled[at]) else filled[at]
        return filled > 0


class RolledRound(Peeking):
    """np.roll the wrong way: the last value comes first, and every other one a bar early."""

    def up(self, bars, average):
        return np.roll(bars.close, -1) > average


class RolledWrap(Peeking):
    """np.roll the right way, which still brings the last close to the first bar."""

    def up(self, bars, average):
        return np.roll(bars.close, 1) > bars.close

    def inputs(self, p):
        return {"average": Input("sma", {"period": 5}, required=False)}


class Interpolated(Peeking):
    """Every fourth close, and straight lines in between."""

    def up(self, bars, average):
        known = np.arange(0, len(bars), 4)
        return bars.close > np.interp(np.arange(len(bars)), known, bars.close[known])


class ShareOfRange(Peeking):
    """Where the close lies between the lowest and the highest of all."""

    def up(self, bars, average):
        return (bars.close - bars.low.min()) / (bars.high.max() - bars.low.min()) > 0.5


class Ranked(Peeking):
    """The rank among all closes."""

    def up(self, bars, average):
        return np.argsort(np.argsort(bars.close)) * 2 > len(bars)


class NextVolume(Peeking):
    """The volume of the next candle."""

    def up(self, bars, average):
        return np.append(bars.volume[1:], 0.0) > bars.volume


class MedianOfAll(Peeking):
    """The 50th percentile of all volumes."""

    def up(self, bars, average):
        return bars.volume > np.percentile(bars.volume, 50)


class LastBar(Peeking):
    """Closes at the end of the data, and so nowhere else."""

    def decide(self, view, p):
        opinions = super().decide(view, p)
        opinions.target[-1] = FLAT
        return opinions

    def up(self, bars, average):
        return bars.close > average


class RareLeak(Peeking):
    """Honest but for one bar of two hundred, where it looks at the next close."""

    def up(self, bars, average):
        honest = bars.close > average
        ahead = np.append(bars.close[1:] > average[1:], honest[-1:])
        return np.where(bars.slot % 200 == 7, ahead, honest)


class RareRise(Peeking):
    """Honest but where the next bar moves further than any usual one."""

    def up(self, bars, average):
        change = np.append(np.diff(bars.close), 0.0)
        return np.where(np.abs(change) > RARE_MOVE, change > 0, bars.close > average)


RARE_MOVE = 0.12


class InTheConfidence(Peeking):
    """Targets are honest; the confidence is not."""

    def decide(self, view, p):
        target = np.where(view.bars.close > view["average"], LONG, SHORT).astype(np.int8)
        later = np.append(view.bars.close[1:], view.bars.close[-1:])
        return Opinions(target, np.where(later > view.bars.close, 0.9, 0.1), [])


class InTheReason(Peeking):
    """Targets and confidence are honest; a sentence tells what comes."""

    def decide(self, view, p):
        target = np.where(view.bars.close > view["average"], LONG, SHORT).astype(np.int8)
        later = np.append(view.bars.close[1:], view.bars.close[-1:])
        return Opinions(target, np.ones(len(target)), [(later > view.bars.close, "it will rise")])


class ByLength(Peeking):
    """Splits the data into a part to learn from and a part to trade on."""

    def up(self, bars, average):
        return np.arange(len(bars)) * 10 > 7 * len(bars)


class RemembersByTime(Peeking):
    """Peeks, and keeps its answers under their times: asked again without the future, it still knows it."""

    known: ClassVar[dict] = {}

    def up(self, bars, average):
        ahead = np.append(bars.close[1:], bars.close[-1:]) > bars.close
        for at, time_ in enumerate(bars.time.tolist()):
            self.known.setdefault(time_, bool(ahead[at]))
        return np.array([self.known[time_] for time_ in bars.time.tolist()])


@lru_cache
def first_answer(time_, rises):
    return RISES.setdefault(time_, rises)


RISES: dict = {}


class RemembersInItsModule(Peeking):
    """The same with a cache of the module."""

    def up(self, bars, average):
        ahead = np.append(bars.close[1:], bars.close[-1:]) > bars.close
        return np.array([first_answer(t, bool(up)) for t, up in zip(bars.time.tolist(), ahead, strict=True)])


class FasterTargets(Peeking):
    """`targets`, which a sweep asks for, peeks; `decide` does not."""

    fault = Fault.TARGETS

    def targets(self, view, p):
        later = np.append(view.bars.close[1:], view.bars.close[-1:])
        return np.where(later > view["average"], LONG, SHORT).astype(np.int8)

    def up(self, bars, average):
        return bars.close > average


class WritesCloses(Peeking):
    """Moves the closes by a bar where they are."""

    fault = Fault.WRITES

    def up(self, bars, average):
        bars.close[:-1] = bars.close[1:]
        return bars.close > average


class WritesWhenSmall(Peeking):
    """Does so only where there are few bars, as in the live pipeline."""

    fault = Fault.WRITES

    def up(self, bars, average):
        if len(bars) < 50:
            bars.close[0] = 0.0
        return bars.close > average


class KeepsState(Peeking):
    """Holds what it said last, from one call to the next."""

    fault = Fault.MEMORY
    last = None

    def up(self, bars, average):
        up = bars.close > average
        if self.last is not None:
            up[0] = self.last
            up[-1:] = self.last
        self.last = bool(up[-1]) if len(up) else None
        return up


class HighestSeen(Peeking):
    """The highest close that it ever saw, in whatever call."""

    fault = Fault.MEMORY

    def __init__(self):
        self.highest = 0.0

    def up(self, bars, average):
        lowest = bars.close[-3:].min() if len(bars) else 0.0
        self.highest = max(self.highest, lowest)
        return (bars.close > average) ^ (np.full(len(bars), self.highest > lowest))


class Random(Peeking):
    """A coin."""

    fault = Fault.NOT_REPEATABLE

    def up(self, bars, average):
        return np.array([random.random() > 0.5 for _ in range(len(bars))])


class SeededByPosition(Peeking):
    """Random, and seeded, so that it repeats itself; but by position in the data, which the live pipeline cuts."""

    fault = Fault.LOOK_BACK

    def up(self, bars, average):
        return np.random.default_rng(7).random(len(bars)) > 0.5


class HourOfDay(Peeking):
    """The hour that it is, instead of the bar's."""

    fault = Fault.CLOCK

    def up(self, bars, average):
        return (bars.close > average) ^ (datetime.now(UTC).hour % 2 == 1)


class AgeOfBar(Peeking):
    """How long ago a bar was, seen from now."""

    fault = Fault.CLOCK

    def up(self, bars, average):
        days = (time.time() / 60 - bars.time) // 1440
        return days % 2 == 0


class LooksBackFurther(Peeking):
    """Ten bars back, with a declared look-back of three."""

    fault = Fault.LOOK_BACK
    lookback = 3

    def up(self, bars, average):
        before = np.concatenate((np.full(30, np.nan), bars.close))[: len(bars)]
        return bars.close > before


class RunningMean(Peeking):
    """The mean of all so far: no look-ahead, but the live pipeline has not all so far."""

    fault = Fault.LOOK_BACK

    def up(self, bars, average):
        return bars.close > np.cumsum(bars.close) / np.arange(1, len(bars) + 1)


class FailsOnFew(Peeking):
    """Takes for granted that there are a hundred bars."""

    fault = Fault.FAILS

    def up(self, bars, average):
        bars.close[99]
        return bars.close > average


def _named(cls):
    cls.name, cls.display_name = cls.__name__.lower(), cls.__name__
    return cls


PEEKING = [
    _named(cls)
    for cls in list(vars().values())
    if isinstance(cls, type) and issubclass(cls, Peeking) and cls is not Peeking
]
