"""Strategies without fault that a careless proof would find one in: every indicator, other intervals, look-backs,
caches, answers by the bar's own time, sides, an own `targets`.
"""

from __future__ import annotations

import random
from functools import cache
from typing import ClassVar

import numpy as np

from btc_pipeline.strategies.base import FLAT, LONG, NO_OPINION, SHORT, Direction, Exits, Input, Opinions, Strategy
from btc_pipeline.strategies.moving_average import MA44, MovingAverage
from btc_pipeline_tests.strategies.made_frames import Crossing, LongOnly, LooksBack, ShortOnly


class Honest(Strategy):
    """Long where `up` says so, else short."""

    description = "Has no fault."
    reads = ("sma", {"period": 5})
    interval = None

    def inputs(self, p):
        return {"one": Input(*self.reads, interval=self.interval)}

    def decide(self, view, p):
        up = self.up(view)
        target = np.where(up, LONG, SHORT).astype(np.int8)
        return Opinions(target, np.full(len(target), 0.5), [(up, "up")])

    def up(self, view):
        return view.bars.close > view["one"]


class Exponential(Honest):
    reads = ("ema", {"period": 4})


class Momentum(Honest):
    reads = ("rsi", {"period": 4})

    def up(self, view):
        return view["one"] > 50


class Convergence(Honest):
    reads = ("macd", {"fast": 2, "slow": 4, "signal": 3})

    def up(self, view):
        return view["one"] > view["one", "signal"]


class Bands(Honest):
    reads = ("bollinger", {"period": 6})

    def up(self, view):
        return view.bars.close > view["one", "upper"]


class TrueRange(Honest):
    reads = ("atr", {"period": 4})

    def up(self, view):
        return view["one"] > 0.1


class Stochastic(Honest):
    reads = ("stochastic", {})

    def up(self, view):
        return view["one"] > 50


class Volume(Honest):
    reads = ("volume_average", {"period": 5})

    def up(self, view):
        return view.bars.volume > view["one"]


class HalfHours(Honest):
    interval = "30m"


class Minutes(Honest):
    interval = "1m"


class Neighbour(Honest):
    interval = "7m"
    lookback = 6

    def up(self, view):
        before = np.concatenate((np.full(6, np.nan), view["one"]))[: len(view.bars)]
        return view["one"] > before


class ByTheBarsTime(Honest):
    def up(self, view):
        return (view.bars.time // 60 % 24 > 12) & (view.bars.day % 7 < 5)


class ByLot(Honest):
    """Random, but by the bar."""

    def up(self, view):
        return np.array([random.Random(time).random() > 0.5 for time in view.bars.time.tolist()], np.bool_)


class Caches(Honest):
    """Keeps what it worked out, under all that it depends on."""

    known: ClassVar[dict] = {}

    def up(self, view):
        key = view.bars.close.tobytes()
        self.known.setdefault(key, view.bars.close > view["one"])
        return self.known[key]


@cache
def is_even(ticks):
    return ticks % 2 == 0


class CachesInItsModule(Honest):
    def up(self, view):
        return np.array([is_even(ticks) for ticks in view.bars.close_ticks.tolist()], np.bool_)


class Quick(Honest):
    def targets(self, view, p):
        return np.where(view.bars.close > view["one"], np.int8(LONG), np.int8(SHORT))


class Sparing(Honest):
    """No opinion most of the time, flat at times; with exits."""

    exits = Exits(stop=0.02, trailing=0.01)

    def decide(self, view, p):
        phase = view.bars.slot % 5
        target = np.where(phase == 0, LONG, np.where(phase == 3, FLAT, NO_OPINION)).astype(np.int8)
        return Opinions(target, np.where(target == NO_OPINION, 0.0, 1.0), [(phase == 0, "fifth bar")])


class LongSided(Honest):
    direction = Direction.LONG


class LongWindow(Honest):
    reads = ("sma", {"period": 120})


class Copies(Honest):
    """Writes, but into a copy."""

    def up(self, view):
        close = view.bars.close.copy()
        close[:1] = 0.0
        close[view.bars.usable] *= 2
        return close > view["one"] * 2


class AnswersEveryBar(Honest):
    """An input that is not required, and values that are not there."""

    def inputs(self, p):
        return {"one": Input("sma", {"period": 60}, required=False)}


class PlainAverage(MovingAverage):
    name = "plain"


def _named(cls):
    cls.name, cls.display_name = cls.__name__.lower(), cls.__name__
    return cls


HONEST = [MA44, PlainAverage, Crossing, LongOnly, ShortOnly, LooksBack] + [
    _named(cls)
    for cls in list(vars().values())
    if isinstance(cls, type) and issubclass(cls, Honest) and cls is not Honest
]
