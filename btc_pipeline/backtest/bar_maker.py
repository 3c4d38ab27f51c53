"""Bars made again from minutes that end earlier, or that go on differently: what a proof against look-ahead replays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from btc_pipeline.market.candles import Candles
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import DEFAULT_USABILITY, UsabilityRule, resample
from btc_pipeline.market.spans import NO_SPANS, Spans


@dataclass(frozen=True)
class BarMaker:
    """What bars of several intervals are made of.

    Attributes:
        minutes: 1m candles.
        vouched: minutes without a row in which nothing traded.
        slots: of each interval that the strategy looks at, the slots whose bars are wanted.
    """

    minutes: Candles
    slots: Mapping[Interval, range]
    vouched: Spans = NO_SPANS
    rule: UsabilityRule = DEFAULT_USABILITY

    def frames(self) -> dict[Interval, Candles]:
        """The bars."""
        return self._made(self.minutes, self.slots)

    def known_at(self, now: int) -> dict[Interval, Candles]:
        """The bars that are closed at an epoch minute, made of the minutes before it."""
        end = int(np.searchsorted(self.minutes.time, now))
        closed = {i: range(s.start, max(s.start, min(s.stop, i.slot(now)))) for i, s in self.slots.items()}
        return self._made(self.minutes.take(slice(0, end)), closed)

    def with_another_future(self, now: int) -> dict[Interval, Candles]:
        """The bars as they would be if from an epoch minute on everything had come differently, that one included."""
        later = self.minutes.time >= now
        factor = np.where(later, np.where(self.minutes.time // 7 % 2, 3.0, 1 / 3), 1.0)
        changed = {name: getattr(self.minutes, name) * factor for name in ("open", "high", "low", "close", "volume")}
        return self._made(replace(self.minutes, **changed), self.slots)

    def _made(self, minutes: Candles, slots: Mapping[Interval, range]) -> dict[Interval, Candles]:
        return {
            interval: resample(minutes, interval, wanted, vouched=self.vouched, rule=self.rule)
            for interval, wanted in slots.items()
        }
