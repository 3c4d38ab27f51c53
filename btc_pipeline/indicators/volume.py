"""How much is traded: the volume average."""

from __future__ import annotations

from typing import Final

from btc_pipeline.indicators.base import Indicator, Series
from btc_pipeline.indicators.parameters import Parameter
from btc_pipeline.indicators.windows import trailing_mean, usable_bars
from btc_pipeline.market.candles import Candles, to_ticks


def volume_average(bars: Candles, period: int) -> Series:
    """The mean of the last `period` volumes, base currency; exact as `moving_averages.sma` is."""
    mean = trailing_mean(to_ticks(bars.volume, bars.scale.volume), period, bars.scale.volume)
    return Series.of(mean, usable_bars(bars, period, period), period)


VOLUME_AVERAGE: Final = Indicator(
    name="volume_average",
    display_name="Volume average",
    description="The mean of the last volumes, in base currency.",
    parameters=(Parameter("period", int, 20, 2, 500, "Bars averaged."),),
    outputs=("value",),
    overlay=False,
    warm_up=lambda p: int(p["period"]),
    window=lambda p: int(p["period"]),
    compute=lambda bars, p: {"value": volume_average(bars, int(p["period"]))},
)
