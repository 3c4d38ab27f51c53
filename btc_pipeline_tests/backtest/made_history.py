"""Torn made-up minutes as a history: bars of several intervals, exits on minutes, another venue's bars in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from btc_pipeline.backtest.history import History
from btc_pipeline.backtest.market_data import MarketData, Minutes, marks_of
from btc_pipeline.backtest.sweep import longest_lookbacks
from btc_pipeline.indicators.parameters import Parameter
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.warm_up import WarmBars, WarmUp
from btc_pipeline.strategies.base import Parameters, Strategy
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.strategies.made_frames import Crossing, LongOnly, LooksBack, ShortOnly, bars_of, torn_minutes

OWN = Interval.parse("4m")
FIRST_DAY, DAYS = 69, 4
START = FIRST_DAY * 1440


class Oscillator(Crossing):
    """An input whose warm-up is shorter than its window, and one of another interval that need not be there."""

    name = "oscillator"
    parameters = (Parameter("fast", int, 3, 2, 20, "bars"), Parameter("slow", int, 5, 2, 20, "bars"))

    def inputs(self, p):
        mine = super().inputs(p)
        return {
            **mine,
            "fast": replace(mine["fast"], indicator="ema"),
            "trend": replace(mine["trend"], required=False),
        }


PAIRS = [{"fast": fast, "slow": slow} for fast in (2, 3, 7) for slow in (4, 9, 20)]
CASES: list[tuple[Strategy, Sequence[Parameters]]] = [
    (MovingAverage(), [{"period": period} for period in (5, 6, 7, 8, 20, 44, 125, 126, 500)]),
    (Crossing(), PAIRS),
    (LongOnly(), PAIRS),
    (ShortOnly(), PAIRS),
    (Oscillator(), PAIRS),
    (LooksBack(), [{}]),
]


def made_history(seed: int, strategy: Strategy, sets: Sequence[Parameters], *, until: int | None = None) -> History:
    """Four days of 4m bars; their own minutes begin at `until` where it is given, and another venue's end there."""
    minutes = torn_minutes(seed, DAYS * 1440, START, step=40)
    intervals = list(longest_lookbacks(strategy, sets, OWN))
    if until is None:
        return history_of(minutes, intervals)
    source = torn_minutes(seed + 1, DAYS * 1440, START, step=40)
    warm = WarmBars(WarmUp("BTC.ELSEWHERE", until), {one: bars_of(source, one) for one in intervals})
    return replace(history_of(minutes.take(minutes.time >= until), intervals), warm_bars=warm)


def history_of(minutes: Candles, intervals: Sequence[Interval], days: int = DAYS) -> History:
    """All bars of the minutes; those that open and close within the days are traded."""
    traded = range(FIRST_DAY, FIRST_DAY + days)
    # By the end of the days every bar in them is closed, also one whose last minutes are in a hole.
    frames = {one: bars_of(minutes, one, traded.stop * 1440) for one in intervals}
    own = frames[OWN]
    data = MarketData(own, traded, marks_of(minutes, traded), lambda: Minutes.of(minutes))
    return History(OWN, frames, data)
