"""The indicators by name, and one of them with its parameters chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Self, cast

from btc_pipeline.errors import UnknownNameError
from btc_pipeline.indicators import moving_averages, oscillators, volatility, volume
from btc_pipeline.indicators.base import Indicator, Series
from btc_pipeline.indicators.parameters import Number, resolve
from btc_pipeline.indicators.windows import lookback_slots, reaches_first, usable_bars, without_window
from btc_pipeline.market.candles import BoolArray, Candles
from btc_pipeline.market.intervals import Int64Array

INDICATORS: Final[Mapping[str, Indicator]] = MappingProxyType(
    {
        indicator.name: indicator
        for indicator in (
            moving_averages.SMA,
            moving_averages.EMA,
            moving_averages.MACD,
            oscillators.RSI,
            oscillators.STOCHASTIC,
            volatility.BOLLINGER,
            volatility.ATR,
            volume.VOLUME_AVERAGE,
        )
    }
)


def get_indicator(name: str) -> Indicator:
    """The indicator of that name.

    Raises:
        UnknownNameError: there is none; the message offers the nearest name and lists all.
    """
    if name in INDICATORS:
        return INDICATORS[name]
    near = get_close_matches(name, INDICATORS, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    shown = name if len(name) <= 40 else name[:40] + "..."
    raise UnknownNameError(f"indicator {shown!r} is unknown: use {', '.join(INDICATORS)}.{hint}", field="indicator")


@dataclass(frozen=True, slots=True)
class IndicatorSpec:
    """An indicator with its parameters, complete and checked; equal specs are one key of a dictionary.

    Attributes:
        indicator: its name.
        parameters: (name, value) of every parameter, sorted by name. What is left out of the constructor's gets its
            default.

    Example:
        >>> IndicatorSpec.of("macd", {"fast": 8}).label
        'macd_8_26_9'

    Raises:
        UnknownNameError: there is no such indicator.
        UserError: a parameter is unknown or not valid.
    """

    indicator: str
    parameters: tuple[tuple[str, Number], ...] = ()

    def __post_init__(self) -> None:
        definition = get_indicator(self.indicator)
        values = resolve(definition.parameters, dict(self.parameters), of=self.indicator)
        definition.check(values)
        object.__setattr__(self, "parameters", tuple(sorted(values.items())))

    @classmethod
    def of(cls, indicator: str, given: Mapping[str, object] | None = None) -> Self:
        """The spec from a user's parameters, as a configuration file or a request has them."""
        return cls(indicator, cast("tuple[tuple[str, Number], ...]", tuple((given or {}).items())))

    @property
    def definition(self) -> Indicator:
        """The indicator itself."""
        return INDICATORS[self.indicator]

    @property
    def label(self) -> str:
        """A name that tells one spec from another: the indicator and its values in declared order, `sma_44`."""
        values = dict(self.parameters)
        shown = (repr(values[p.name]).removesuffix(".0") for p in self.definition.parameters)
        return "_".join((self.indicator, *shown))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it computes."""
        return self.definition.outputs

    @property
    def warm_up(self) -> int:
        """The fewest bars that give a value."""
        return self.definition.warm_up(dict(self.parameters))

    @property
    def window(self) -> int:
        """W, the most bars that a value depends on."""
        return self.definition.window(dict(self.parameters))

    @property
    def lookback_slots(self) -> int:
        """How many slots up to and including a bar's own must be read to have its value."""
        return lookback_slots(self.window)

    def compute(self, bars: Candles) -> dict[str, Series]:
        """A `Series` as long as the bars for each output."""
        return self.definition.compute(bars, dict(self.parameters))

    def without_value(self, bars: Candles) -> Int64Array:
        """The rows where `compute` gives no value, ascending, at less cost."""
        return without_window(bars, self.window, self.warm_up)

    def reaches_first(self, bars: Candles, first: int) -> BoolArray:
        """Which of its values rest on one of the `first` bars, bool[n]."""
        return reaches_first(usable_bars(bars, self.window, self.warm_up), first)
