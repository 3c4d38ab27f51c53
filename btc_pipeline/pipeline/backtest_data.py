"""What strategies are replayed on: minutes read once, and every interval's bars made of them in memory.

Nothing here depends on what is materialised. Belongs here: which minutes a replay over some days looks at, reading
them, making bars. Does not belong here: deciding and trading (`backtests`, `sweeps`, `parity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from btc_pipeline.backtest.market_data import MarketData, Minutes, marks_of
from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Interval
from btc_pipeline.market.resampling import UsabilityRule, resample
from btc_pipeline.market.spans import Spans
from btc_pipeline.market.warm_up import WarmBars, WarmUp
from btc_pipeline.pipeline.content import EMPTY
from btc_pipeline.pipeline.refresh import read_minutes
from btc_pipeline.storage.times import to_date

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor


@dataclass(frozen=True, slots=True)
class Source:
    """Another venue's minutes that windows reach back to: its instrument, the warm-up, the days (since 1970-01-01)."""

    instrument: Instrument
    warm_up: WarmUp
    days: range


@dataclass(frozen=True)
class Scope:
    """Which minutes a replay looks at.

    Attributes:
        interval: the strategy's own.
        lookbacks: slots of every interval up to and including the last closed one (`StrategyOnInterval.lookbacks`; of
            several strategies the longest).
        days: those that are traded, since 1970-01-01.
        stored: the days from the symbol's first stored minute to its last.
        warm_up: the symbol's, if it has one; `source`: its instrument, if anything is stored under it.
    """

    instrument: Instrument
    interval: Interval
    lookbacks: Mapping[Interval, int]
    days: range
    stored: range
    warm_up: WarmUp | None = None
    source: Instrument | None = None

    @property
    def slots(self) -> range:
        """Slots of the bars that open and close within the days."""
        end = self.interval.slot(self.days.stop * MINUTES_PER_DAY)
        first = self.interval.slot(self.days.start * MINUTES_PER_DAY - 1) + 1
        return range(first, max(first, end))

    def slots_of(self, interval: Interval, first: int) -> range:
        """Slots of an interval that decisions from the slot `first` of the own one look at."""
        end = interval.slot(self.days.stop * MINUTES_PER_DAY)
        if interval == self.interval:
            start = first - self.lookbacks[interval] + 1
        else:
            # Its last slot closed when the bar before the first decision closed, whose target gives the type.
            start = interval.slot(self.interval.open(first)) - self.lookbacks[interval]
        return range(start, max(start, end))

    @property
    def traded(self) -> range:
        """Epoch minutes of the bars that open and close within the days."""
        return range(self.interval.open(self.slots.start), self.interval.open(self.slots.stop))

    @property
    def own_days(self) -> range:
        """The symbol's days that are read."""
        return range(max(self._first_day(self.slots.start), min(self.stored.start, self.days.start)), self.days.stop)

    @property
    def warm(self) -> Source | None:
        """What is read of the warm-up's source; None where no window reaches back behind its end."""
        if self.warm_up is None or self.source is None:
            return None
        until = self.warm_up.until
        # The first bar that may see it is the first one that closes later.
        first = self._first_day(max(self.slots.start, self.interval.slot(until)))
        if until >= self.days.stop * MINUTES_PER_DAY or first * MINUTES_PER_DAY >= until:
            return None
        return Source(self.source, self.warm_up, range(max(first, 0), (until - 1) // MINUTES_PER_DAY + 1))

    @property
    def minutes(self) -> list[tuple[str, range]]:
        """Symbols and their days that are read."""
        warm = self.warm
        own = (self.instrument.symbol, self.own_days)
        return [own] if warm is None else [own, (warm.instrument.symbol, warm.days)]

    def _first_day(self, first: int) -> int:
        opens = [interval.open(self.slots_of(interval, first).start) for interval in self.lookbacks]
        return min(opens) // MINUTES_PER_DAY


def no_bar(scope: Scope) -> UserError:
    """That nothing was traded in any bar of the days, or none has room in them."""
    first, last, *stored = map(to_date, (scope.days[0], scope.days[-1], scope.stored[0], scope.stored[-1]))
    if not scope.slots:
        said = f"no bar of {scope.interval} opens and closes from then to {last}: use a longer range."
    else:
        said = (
            f"{scope.instrument.symbol} has no bar of {scope.interval} from then to {last}, a hole in its minutes from "
            f"{stored[0]} to {stored[1]}: use another range."
        )
    return UserError(f"start {first}: {said}", field="start")


@dataclass(frozen=True)
class Told:
    """Minutes of whole days as they are stored, those vouched for, and the content digest of every day that has any."""

    minutes: Candles
    vouched: Spans
    digests: Mapping[int, str]

    @classmethod
    def read(cls, cursor: Cursor, instrument: Instrument, days: range) -> Told:
        minutes, vouched, digests = read_minutes(cursor, instrument, days)
        return cls(minutes, Spans.of_minutes(vouched), {day: one for day, one in digests.items() if one != EMPTY})


@dataclass(frozen=True)
class Replay:
    """What a scope's strategies see and an account trades, made of minutes in memory.

    Attributes:
        own, warm: the minutes of the symbol, and of its warm-up's source.
        rule: when a bar is usable.
    """

    scope: Scope
    own: Told
    warm: Told | None
    rule: UsabilityRule

    @classmethod
    def read(cls, cursor: Cursor, scope: Scope, rule: UsabilityRule) -> Replay:
        """Reads the minutes of a scope in one transaction."""
        source = scope.warm
        own = Told.read(cursor, scope.instrument, scope.own_days)
        warm = None if source is None else Told.read(cursor, source.instrument, source.days)
        return cls(scope, own, warm, rule)

    @cached_property
    def frames(self) -> dict[Interval, Candles]:
        """Bars of every interval, look-back included; those of the own one end with the bars of `data`."""
        slots = {one: self.scope.slots_of(one, self.scope.slots.start) for one in self.scope.lookbacks}
        return {one: _bars(self.own, one, wanted, self.rule) for one, wanted in slots.items()}

    @cached_property
    def warm_bars(self) -> WarmBars | None:
        """The source's bars by interval."""
        source = self.scope.warm
        if source is None or self.warm is None:
            return None
        bars = {}
        for one in self.scope.lookbacks:
            slots = range(one.slot(source.days.start * MINUTES_PER_DAY - 1) + 1, one.slot(source.warm_up.until))
            bars[one] = _bars(self.warm, one, slots, self.rule)
        return WarmBars(source.warm_up, bars)

    @cached_property
    def data(self) -> MarketData:
        """What an account trades.

        Raises:
            UserError: there is no bar in the days.
        """
        scope, own = self.scope, self.frames[self.scope.interval]
        bars = own.between(scope.interval.open(scope.slots.start), scope.days.stop * MINUTES_PER_DAY)
        if not len(bars):
            raise no_bar(scope)
        return MarketData(
            bars, scope.days, marks_of(self.own.minutes, scope.days), lambda: Minutes.of(self.own.minutes)
        )


def _bars(told: Told, interval: Interval, slots: range, rule: UsabilityRule) -> Candles:
    return resample(told.minutes, interval, slots, vouched=told.vouched, rule=rule)
