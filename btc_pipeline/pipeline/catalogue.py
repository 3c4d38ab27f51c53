"""The assets: which there are, which days of which others a day of each is made from, and with which code.

Dagster's definitions, staleness and the bodies all follow this one table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Final

from btc_pipeline.indicators.registry import IndicatorSpec
from btc_pipeline.market.candles import Scale
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Interval
from btc_pipeline.market.resampling import UsabilityRule
from btc_pipeline.market.warm_up import WarmUp
from btc_pipeline.pipeline.content import EMPTY, combined_digest
from btc_pipeline.settings import Settings
from btc_pipeline.strategies.decisions import StrategyOnInterval

MINUTES_ASSET: Final = "candles_1m"
OTHER_BARS_ASSET: Final = "candles_other"


@dataclass(frozen=True, slots=True)
class DayInputs:
    """The days [first, day] of an upstream asset that one day is made from."""

    upstream: str
    first_day: int


@dataclass(frozen=True)
class BarsAsset:
    """Bars of one or several intervals, made from minutes."""

    name: str
    intervals: tuple[Interval, ...]
    recipe: str

    @property
    def upstream(self) -> tuple[str, ...]:
        return (MINUTES_ASSET,)

    def inputs(self, day: int) -> Iterator[DayInputs]:
        """Minutes from the open of the earliest bar that closes in the day."""
        opens = [
            interval.open(slots.start)
            for interval in self.intervals
            for slots in [interval.slots_closing_in(day, day + 1)]
            if len(slots)
        ]
        if opens:
            yield DayInputs(MINUTES_ASSET, min(opens) // MINUTES_PER_DAY)

    def cut(self, day: int, now: int) -> str:
        """Which bars of a day that is not over are closed by now; nothing for a day that is."""
        if (day + 1) * MINUTES_PER_DAY <= now:
            return ""
        return ",".join(str(interval.slot(now)) for interval in self.intervals)

    def warm_days(self, warm_up: WarmUp, wanted: DayInputs, day: int) -> range:  # noqa: ARG002
        """None: bars are made of a symbol's own minutes alone."""
        return range(0)


@dataclass(frozen=True)
class IndicatorsAsset:
    """The stored indicators of one interval, made from its bars."""

    name: str
    interval: Interval
    specs: Mapping[str, IndicatorSpec]
    recipe: str

    @property
    def upstream(self) -> tuple[str, ...]:
        return (bars_asset_name(self.interval),)

    @property
    def lookback_slots(self) -> int:
        return max(spec.lookback_slots for spec in self.specs.values())

    def inputs(self, day: int) -> Iterator[DayInputs]:
        slots = self.interval.slots_closing_in(day, day + 1)
        if len(slots):
            first = slots.start - self.lookback_slots + 1
            yield DayInputs(bars_asset_name(self.interval), _day_of(self.interval, first))

    def cut(self, day: int, now: int) -> str:  # noqa: ARG002 bars that are not closed are not there
        return ""

    def warm_days(self, warm_up: WarmUp, wanted: DayInputs, day: int) -> range:
        """The source's days that a day is made from, too."""
        return warm_up.days(wanted.first_day, day)


@dataclass(frozen=True)
class DecisionsAsset:
    """The decisions of one interval's strategies, made from bars of every interval that they look at."""

    name: str
    interval: Interval
    strategies: tuple[StrategyOnInterval, ...]
    recipe: str

    @property
    def upstream(self) -> tuple[str, ...]:
        return tuple(bars_asset_name(interval) for interval in self.lookbacks)

    @cached_property
    def lookbacks(self) -> dict[Interval, int]:
        """Slots of every interval that must be read, up to and including the last closed one."""
        slots: dict[Interval, int] = {}
        for strategy in self.strategies:
            for interval, n in strategy.lookbacks().items():
                slots[interval] = max(slots.get(interval, 1), n)
        return slots

    def first_slot(self, interval: Interval, slots: range) -> int:
        """The earliest slot of an interval that decisions at `slots` look at."""
        if interval == self.interval:
            return slots.start - self.lookbacks[interval] + 1
        # Its last slot closed when the bar before the first decision closed, whose target gives the type.
        return interval.slot(self.interval.open(slots.start)) - self.lookbacks[interval]

    def inputs(self, day: int) -> Iterator[DayInputs]:
        slots = self.interval.slots_closing_in(day, day + 1)
        if len(slots):
            for interval in self.lookbacks:
                first = _day_of(interval, self.first_slot(interval, slots))
                yield DayInputs(bars_asset_name(interval), first)

    def cut(self, day: int, now: int) -> str:  # noqa: ARG002 bars that are not closed are not there
        return ""

    def warm_days(self, warm_up: WarmUp, wanted: DayInputs, day: int) -> range:
        """The source's days that a day is made from, too."""
        return warm_up.days(wanted.first_day, day)


DerivedAsset = BarsAsset | IndicatorsAsset | DecisionsAsset


@dataclass(frozen=True)
class SourceContents:
    """What a symbol's warm-up comes from: the source's scale, and its content digests by asset and day."""

    warm_up: WarmUp
    scale: Scale | None
    contents: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Catalogue:
    """Every derived asset in an order in which each follows its upstream; and which symbols have a warm-up."""

    bars: tuple[BarsAsset, ...]
    indicators: tuple[IndicatorsAsset, ...]
    decisions: tuple[DecisionsAsset, ...]
    rule: UsabilityRule
    warm_ups: Mapping[str, WarmUp]

    @property
    def derived(self) -> tuple[DerivedAsset, ...]:
        return (*self.bars, *self.indicators, *self.decisions)

    @property
    def materialized(self) -> tuple[Interval, ...]:
        """The intervals whose bars are stored, 1m aside."""
        return tuple(interval for asset in self.bars for interval in asset.intervals)

    @property
    def names(self) -> tuple[str, ...]:
        return (MINUTES_ASSET, *(asset.name for asset in self.derived))


def build_catalogue(settings: Settings) -> Catalogue:
    """The assets that the settings ask for."""
    indicators: dict[Interval, dict[str, IndicatorSpec]] = {}
    for name, chosen in settings.indicators.items():
        for interval_name in chosen.intervals:
            indicators.setdefault(Interval.parse(interval_name), {})[name] = chosen.spec
    strategies: dict[Interval, list[StrategyOnInterval]] = {}
    for at_work in settings.strategies_at_work:
        strategies.setdefault(at_work.interval, []).append(at_work)

    looked_at = {*indicators, *strategies} | {i for s in settings.strategies_at_work for i in s.lookbacks()}
    own = sorted(looked_at - {MINUTE}, key=_length)
    standard = {Interval.parse(name) for name in settings.standard_intervals}
    other = sorted(standard - {*own, MINUTE}, key=_length)

    market, rule = code_digest("market"), repr(settings.rule)
    bars = [BarsAsset(bars_asset_name(interval), (interval,), combined_digest(market, rule)) for interval in own]
    if other:
        names = ",".join(interval.name for interval in other)
        bars.append(BarsAsset(OTHER_BARS_ASSET, tuple(other), combined_digest(market, rule, names)))
    formulas = code_digest("market", "indicators")
    deciding = code_digest("market", "indicators", "strategies")
    return Catalogue(
        bars=tuple(bars),
        indicators=tuple(
            IndicatorsAsset(
                f"indicators_{interval}", interval, specs, combined_digest(formulas, repr(sorted(specs.items())))
            )
            for interval, specs in sorted(indicators.items(), key=lambda item: _length(item[0]))
        ),
        decisions=tuple(
            DecisionsAsset(
                f"decisions_{interval}",
                interval,
                tuple(chosen),
                combined_digest(deciding, settings.registry.sources, *map(strategy_key, chosen)),
            )
            for interval, chosen in sorted(strategies.items(), key=lambda item: _length(item[0]))
        ),
        rule=settings.rule,
        warm_ups=settings.warm_ups,
    )


def inputs_digest(
    asset: DerivedAsset,
    day: int,
    contents: Mapping[str, Mapping[int, str]],
    scale: Scale,
    now: int,
    source: SourceContents | None = None,
) -> str:
    """The digest of all that a day of an asset is made from: code, settings, scale, the content of its inputs.

    Args:
        source: of a symbol with a warm-up; a day that does not reach back to it has the same digest without.
    """
    texts = [asset.recipe, repr(scale), asset.cut(day, now)]
    for wanted in asset.inputs(day):
        texts += _told(contents, wanted.upstream, range(wanted.first_day, day + 1))
        warm = range(0) if source is None else asset.warm_days(source.warm_up, wanted, day)
        if source is not None and warm:
            texts += [repr(source.warm_up), repr(source.scale), *_told(source.contents, wanted.upstream, warm)]
    return combined_digest(*texts)


def bars_asset_name(interval: Interval) -> str:
    """The asset that holds an interval's bars when the interval has one of its own."""
    return f"candles_{interval}"


def strategy_key(at_work: StrategyOnInterval) -> str:
    """One text for a strategy with its parameters."""
    return f"{at_work.strategy.name} {at_work.parameters_json}"


@lru_cache
def code_digest(*packages: str) -> str:
    """The digest of packages' source: when it changes, results may, so all that it made is looked at again."""
    digest = hashlib.blake2b(digest_size=16)
    for package in packages:
        modules = sorted(
            (entry for entry in files(f"btc_pipeline.{package}").iterdir() if entry.name.endswith(".py")),
            key=lambda entry: entry.name,
        )
        for module in modules:
            digest.update(module.name.encode() + b"\0" + module.read_bytes())
    return digest.hexdigest()


def _told(contents: Mapping[str, Mapping[int, str]], upstream: str, days: range) -> tuple[str, str]:
    known = contents.get(upstream, {})
    return upstream, " ".join([known.get(day, EMPTY) for day in days])


def _day_of(interval: Interval, slot: int) -> int:
    return (interval.close(slot) - 1) // MINUTES_PER_DAY


def _length(interval: Interval) -> int:
    return interval.minutes if interval.minutes else 31 * MINUTES_PER_DAY
