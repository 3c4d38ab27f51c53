"""What strategies are replayed on and an account trades, and any days of it as if nothing came after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from btc_pipeline.backtest.market_data import MarketData
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Interval
from btc_pipeline.market.warm_up import WarmBars


@dataclass(frozen=True, slots=True)
class History:
    """Some days of a symbol.

    Attributes:
        interval: the strategy's own.
        frames: bars of every interval that is looked at, look-back included; those of `interval` end with the bars of
            `data`.
        data: what an account trades.
        warm_bars: another venue's bars that windows reach back to.
    """

    interval: Interval
    frames: Mapping[Interval, Candles]
    data: MarketData
    warm_bars: WarmBars | None = None

    def within(self, days: range, lookbacks: Mapping[Interval, int]) -> History:
        """Some of the days: bars that open and close within them, and so many slots of each interval before these.

        A bar that closes behind the days is not in it, on whatever interval.

        Args:
            lookbacks: as `StrategyOnInterval.lookbacks` has them.
        """
        start, end = days.start * MINUTES_PER_DAY, days.stop * MINUTES_PER_DAY
        first = self.interval.slot(start - 1) + 1
        frames = {}
        for interval, bars in self.frames.items():
            if interval == self.interval:
                since = interval.open(first - lookbacks[interval] + 1)
            else:
                since = interval.open(interval.slot(self.interval.open(first)) - lookbacks[interval])
            frames[interval] = _closed(bars, since, end)
        data, offset = self.data, days.start - self.data.days.start
        return History(
            self.interval,
            frames,
            MarketData(
                _closed(data.bars, self.interval.open(first), end),
                days,
                data.mark[offset : offset + len(days)],
                lambda: data.minutes,
                data.funding,
            ),
            self.warm_bars,
        )


def _closed(bars: Candles, since: int, end: int) -> Candles:
    """The bars that open at `since` or later and close by `end`, epoch minutes."""
    first = np.searchsorted(bars.time, since)
    return bars.take(slice(int(first), int(np.searchsorted(bars.close_time, end, side="right"))))
