"""What a strategy is: what it declares, what it sees, what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from btc_pipeline.errors import StrategyError
from btc_pipeline.indicators.base import Series
from btc_pipeline.indicators.parameters import Parameter, resolve
from btc_pipeline.market.candles import BoolArray, Candles, Float64Array

TargetArray = NDArray[np.int8]

SHORT: Final = -1
FLAT: Final = 0
LONG: Final = 1
NO_OPINION: Final = -128
"""Keeps whatever is held; NULL in the database."""

Parameters = Mapping[str, int | float]


class Direction(StrEnum):
    """Which sides a strategy, or an account, may take; a target on the other side becomes flat."""

    LONG = "long"
    SHORT = "short"
    BOTH = "both"

    def admitted(self, targets: TargetArray) -> TargetArray:
        """A copy of targets, int8[n], in which those on a side that it does not take are flat."""
        if self is Direction.BOTH:
            return targets.copy()
        taken = targets != (SHORT if self is Direction.LONG else LONG)
        admitted: TargetArray = targets * taken.view(np.int8)
        return admitted


@dataclass(frozen=True, slots=True)
class Exits:
    """Exits that an account applies inside a bar, as fractions of the entry price; None: not used."""

    stop: float | None = None
    target: float | None = None
    trailing: float | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """An indicator that a strategy reads.

    Attributes:
        indicator: its name in the registry.
        parameters: given to it.
        interval: the interval it is computed on; None is the strategy's own. On another interval it is seen as of
            that interval's last closed bar.
        required: without its value the strategy has no opinion.
    """

    indicator: str
    parameters: Mapping[str, int | float] = field(default_factory=dict)
    interval: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy sees: n closed bars and, aligned with them, its inputs.

    `view["name"]` is the first output of an input, `view["name", "upper"]` a named one: float64[n], NaN where there
    is no value.
    """

    bars: Candles
    series: Mapping[str, Mapping[str, Series]]

    def __getitem__(self, name: str | tuple[str, str]) -> Float64Array:
        key, output = name if isinstance(name, tuple) else (name, "value")
        return self.series[key][output].value


@dataclass(frozen=True, slots=True)
class Opinions:
    """A strategy's answer for each of the n bars it sees.

    Attributes:
        target: int8[n], SHORT, FLAT, LONG or NO_OPINION.
        confidence: float64[n], 0 to 1.
        reasons: which bars (bool[n]) each sentence is true of.
    """

    target: TargetArray
    confidence: Float64Array
    reasons: Sequence[tuple[BoolArray, str]]


class Strategy(ABC):
    """A pure function from bars and indicators to targets, with what a user must know about it.

    The opinion at bar t may use that bar, its inputs and the `lookback` bars before it, and nothing else: the pipeline
    cuts the past at that length, so what looks further back changes with the cut and fails the parity tests. Where so
    many bars are not there, or a hole longer than a window's slack is among them, there is no opinion.

    Example:
        >>> class AboveAverage(Strategy):
        ...     name = "above"
        ...     display_name = "Above the average"
        ...     description = "Long above the simple average, flat below."
        ...     parameters = (Parameter("period", int, 20, 5, 500, "bars of the average"),)
        ...     def inputs(self, p):
        ...         return {"average": Input("sma", {"period": p["period"]})}
        ...     def decide(self, view, p):
        ...         above = view.bars.close > view["average"]
        ...         target = np.where(above, LONG, FLAT).astype(np.int8)
        ...         return Opinions(target, np.ones(len(target)), [(above, "close above the average")])
    """

    name: ClassVar[str]
    display_name: ClassVar[str]
    description: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    fixed: ClassVar[Parameters] = {}
    """Parameters that a preset has settled."""
    direction: ClassVar[Direction] = Direction.BOTH
    exits: ClassVar[Exits] = Exits()
    plots: ClassVar[tuple[str, ...]] = ()
    """Inputs that belong on a chart."""
    lookback: ClassVar[int] = 0

    @abstractmethod
    def inputs(self, p: Parameters) -> Mapping[str, Input]:
        """The indicators it reads, by the names it gives them."""

    @abstractmethod
    def decide(self, view: View, p: Parameters) -> Opinions:
        """The opinion at the close of every bar of the view."""

    def targets(self, view: View, p: Parameters) -> TargetArray:
        """The targets of `decide` alone, int8[n]. A sweep asks for these; override it where they cost less."""
        return self.opinions(view, p).target

    def opinions(self, view: View, p: Parameters) -> Opinions:
        """What `decide` answers.

        Raises:
            StrategyError: it is something else.
        """
        answer: object = self.decide(view, p)
        if not isinstance(answer, Opinions):
            raise StrategyError(
                f"strategy {self.name!r} answered with {type(answer).__name__} instead of Opinions: "
                "does decide return them?"
            )
        return answer

    @classmethod
    def resolve(cls, given: Mapping[str, object]) -> dict[str, int | float]:
        """All parameters, defaults and fixed ones included; what it gives can be given again.

        Raises:
            UserError: an unknown name (the nearest is offered), a wrong type, a value out of bounds.
        """
        free = {name: value for name, value in given.items() if name not in cls.fixed or value != cls.fixed[name]}
        return {**resolve(cls.parameters, free, of=f"strategy {cls.name}"), **cls.fixed}
