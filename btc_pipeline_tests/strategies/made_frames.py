"""Bars of several intervals made from one torn history of minutes, and small strategies to try on them."""

from __future__ import annotations

import random

import numpy as np

from btc_pipeline.market.candles import Candles, Scale
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline.strategies.base import FLAT, LONG, NO_OPINION, SHORT, Direction, Input, Opinions, Parameter, Strategy
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline_tests.market.brute_force import Row
from btc_pipeline_tests.market.made_minutes import frame

SCALE = Scale(2, 2)


def torn_minutes(seed: int, length: int, start: int = 100_000, step: int = 3) -> Candles:
    """Minutes with a few holes of every length; a price that moves so little that averages are often met exactly."""
    rng = random.Random(seed)
    holes: set[int] = set()
    for _ in range(rng.randint(0, 6)):
        first = start + rng.randrange(length)
        holes |= set(range(first, first + rng.choice((1, 1, 2, 5, 12, 40, 150))))
    rows, price = [], 10_000
    for minute in range(start, start + length):
        close = max(100, price + rng.randint(-step, step))
        if minute not in holes:
            rows.append(Row(minute, price, max(price, close), min(price, close), close, rng.randint(1, 50)))
        price = close
    return frame(rows, SCALE)


def bars_of(minutes: Candles, interval: Interval, now: int | None = None) -> Candles:
    """All bars of the minutes that are closed by `now`, by the last minute if that is not told."""
    start, end = int(minutes.time[0]), int(minutes.time[-1]) + 1
    return resample(minutes, interval, range(interval.slot(start), interval.slot(end if now is None else now)))


def frames_of(minutes: Candles, one: StrategyOnInterval, now: int | None = None) -> dict[Interval, Candles]:
    return {interval: bars_of(minutes, interval, now) for interval in one.lookbacks()}


class Crossing(Strategy):
    """Two averages of its own interval, one of another, an optional one; flat sometimes; sides by parameter."""

    name = "crossing"
    display_name = "Crossing"
    description = "Long, short or flat by three averages."
    parameters = (Parameter("fast", int, 2, 2, 50, "bars"), Parameter("slow", int, 3, 2, 50, "bars"))

    def inputs(self, p):
        return {
            "fast": Input("sma", {"period": p["fast"]}),
            "slow": Input("sma", {"period": p["slow"]}),
            "trend": Input("sma", {"period": 2}, interval="12m"),
            "extra": Input("ema", {"period": 2}, required=False),
        }

    def decide(self, view, p):
        up = view["fast"] > view["slow"]
        against = view["trend"] > view.bars.close
        target = np.where(up & ~against, LONG, np.where(~up & against, SHORT, FLAT))
        target = np.where(view["extra"] == view["fast"], NO_OPINION, target).astype(np.int8)
        return Opinions(target, np.full(len(target), 0.5), [(up, "fast above slow"), (against, "below the trend")])


class LongOnly(Crossing):
    name = "long_only"
    direction = Direction.LONG


class ShortOnly(Crossing):
    name = "short_only"
    direction = Direction.SHORT


class LooksBack(Strategy):
    """Compares with the close of so many bars ago, as its lookback allows, on bars and on another interval's input."""

    name = "looks_back"
    display_name = "Looks back"
    description = "Long if higher than so many bars ago."
    lookback = 4
    other = "12m"

    def inputs(self, p):
        return {"other": Input("sma", {"period": 2}, interval=self.other), "own": Input("sma", {"period": 2})}

    def decide(self, view, p):
        def before(values):
            return np.concatenate((np.full(self.lookback, np.nan), values))[: len(values)]

        up = view.bars.close > before(view.bars.close)
        higher = view["other"] > before(view["other"])
        steeper = view["own"] > before(view["own"])
        target = np.where(up, LONG, np.where(higher, SHORT, FLAT)).astype(np.int8)
        return Opinions(target, np.where(steeper, 1.0, 0.25), [(higher, "the other interval is higher")])
