"""What an indicator is: a name, parameters, a bounded window, and a pure function of bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from btc_pipeline.indicators.parameters import Parameter, Values
from btc_pipeline.market.candles import BoolArray, Candles, Float64Array
from btc_pipeline.market.intervals import Int64Array


@dataclass(frozen=True, slots=True)
class Series:
    """One output of an indicator, a value a bar.

    Attributes:
        value: float64[n], NaN where there is none.
        settled: bool[n], whether the value rests on its whole window W; false where there is no value.
    """

    value: Float64Array
    settled: BoolArray

    def __len__(self) -> int:
        return len(self.value)

    @classmethod
    def of(cls, value: Float64Array, bars_used: Int64Array, window: int) -> Self:
        """The values where `usable_bars` found a window (int64[n], 0 where none), NaN elsewhere."""
        return cls(np.where(bars_used > 0, value, np.nan), bars_used == window)


def _no_check(_: Values) -> None: ...


@dataclass(frozen=True, slots=True)
class Indicator:
    """The description of an indicator and its function.

    The callables take resolved parameters (`parameters.resolve`), never a user's raw input.

    Attributes:
        outputs: names of what it computes; the first or only one is "value".
        overlay: it is drawn on the price.
        warm_up: the fewest bars that give a value.
        window: W, the most bars that a value depends on.
        compute: a `Series` as long as the bars for each output.
        check: raises UserError where parameters, each within its bounds, do not go together.
    """

    name: str
    display_name: str
    description: str
    parameters: tuple[Parameter, ...]
    outputs: tuple[str, ...]
    overlay: bool
    warm_up: Callable[[Values], int]
    window: Callable[[Values], int]
    compute: Callable[[Candles, Values], dict[str, Series]]
    check: Callable[[Values], None] = _no_check
