"""The moving-average strategy and its presets: long above the average, short below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np

from btc_pipeline.indicators.moving_averages import sma_side
from btc_pipeline.indicators.parameters import Parameter
from btc_pipeline.strategies.base import NO_OPINION, Input, Opinions, Parameters, Strategy, TargetArray, View

FULL_CONFIDENCE_DISTANCE: Final = 0.02
"""Distance of the close from the average, as a share of it, from which confidence is 1."""


class MovingAverage(Strategy):
    """Close against the simple average of the last `period` closes, that bar's included.

    The side is decided in integers (`close * period > sum`), so that equality is equality.
    """

    name = "ma"
    display_name = "Moving average"
    description = "Long while the close is above the simple moving average, short below, no opinion at equality."
    parameters: ClassVar[tuple[Parameter, ...]] = (Parameter("period", int, 44, 5, 500, "bars of the average"),)
    plots = ("ma",)

    def inputs(self, p: Parameters) -> Mapping[str, Input]:
        return {"ma": Input("sma", {"period": p["period"]})}

    def targets(self, view: View, p: Parameters) -> TargetArray:
        return _opinions_of(sma_side(view.bars, int(p["period"])))

    def decide(self, view: View, p: Parameters) -> Opinions:
        side = sma_side(view.bars, int(p["period"]))
        average = view["ma"]
        distance = np.abs(view.bars.close - average) / average
        confidence = np.minimum(distance / FULL_CONFIDENCE_DISTANCE, 1.0)
        return Opinions(
            target=_opinions_of(side.copy()),
            confidence=np.where(side == 0, 0.0, confidence),
            reasons=[
                (side > 0, "close above the average"),
                (side < 0, "close below the average"),
                (side == 0, "close equals the average"),
            ],
        )


def _opinions_of(side: TargetArray) -> TargetArray:
    """The sides themselves, int8[n], changed in place: no opinion where they are 0."""
    np.copyto(side, NO_OPINION, where=side == 0)
    return side


class MA44(MovingAverage):
    """`ma` with a period of 44, under the name the accumulation bot knew it by."""

    name = "ma44"
    display_name = "MA 44"
    description = "The moving-average strategy with a period of 44."
    parameters = ()
    fixed: ClassVar[Parameters] = {"period": 44}


class MA125(MovingAverage):
    """`ma` with a period of 125."""

    name = "ma125"
    display_name = "MA 125"
    description = "The moving-average strategy with a period of 125."
    parameters = ()
    fixed: ClassVar[Parameters] = {"period": 125}
