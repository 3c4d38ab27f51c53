"""TA-Lib as the yardstick: prices within 1e-9 of price, oscillators within 1e-7."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import talib

from btc_pipeline.indicators.registry import INDICATORS, IndicatorSpec
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.gaps import classify_holes
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline_tests.indicators.made_bars import bars_of, random_walk
from btc_pipeline_tests.real_data import binanceus_minutes, bitfinex_minutes, needs_real_data

OSCILLATORS = ("rsi", "stochastic")
SPECS = (
    *(IndicatorSpec.of(name) for name in INDICATORS),
    IndicatorSpec.of("sma", {"period": 125}),
    IndicatorSpec.of("ema", {"period": 2}),
    IndicatorSpec.of("ema", {"period": 200}),
    IndicatorSpec.of("macd", {"fast": 5, "slow": 10, "signal": 60}),
    IndicatorSpec.of("rsi", {"period": 2}),
    IndicatorSpec.of("rsi", {"period": 50}),
    IndicatorSpec.of("stochastic", {"k_period": 5, "k_smoothing": 1, "d_period": 8}),
    IndicatorSpec.of("bollinger", {"period": 125, "deviations": 1.5}),
    IndicatorSpec.of("atr", {"period": 100}),
)
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)


def yardstick(spec: IndicatorSpec, bars: Candles) -> dict[str, np.ndarray]:
    p, close = dict(spec.parameters), bars.close
    match spec.indicator:
        case "sma":
            return {"value": talib.SMA(close, p["period"])}
        case "ema":
            return {"value": talib.EMA(close, p["period"])}
        case "macd":
            return dict(zip(spec.outputs, talib.MACD(close, p["fast"], p["slow"], p["signal"]), strict=True))
        case "rsi":
            return {"value": talib.RSI(close, p["period"])}
        case "stochastic":
            periods = (p["k_period"], p["k_smoothing"], 0, p["d_period"], 0)
            return dict(zip(spec.outputs, talib.STOCH(bars.high, bars.low, close, *periods), strict=True))
        case "bollinger":
            upper, middle, lower = talib.BBANDS(close, p["period"], p["deviations"], p["deviations"])
            # TA-Lib's mean of squares minus squared mean cancels where a window hardly moves: no yardstick there.
            moving = (upper - middle) / p["deviations"] > 1e-4 * close
            return {
                "value": middle,
                "upper": np.where(moving, upper, np.nan),
                "lower": np.where(moving, lower, np.nan),
            }
        case "atr":
            return {"value": talib.ATR(bars.high, bars.low, close, p["period"])}
        case "volume_average":
            return {"value": talib.SMA(bars.volume, p["period"])}
    raise AssertionError(spec)


def compare(spec: IndicatorSpec, bars: Candles) -> None:
    ours = spec.compute(bars)
    for name, theirs in yardstick(spec, bars).items():
        known = ~np.isnan(theirs)
        value = ours[name].value
        if spec.indicator != "bollinger":
            assert known.tolist() == (~np.isnan(value)).tolist(), "warm-up"
        assert known.sum() >= 0.5 * (~np.isnan(value)).sum() > 0
        price = bars.volume.max() if spec.indicator == "volume_average" else bars.close
        allowed = 1e-7 if spec.indicator in OSCILLATORS else 1e-9 * price
        error = np.abs(value - theirs)
        assert (error <= allowed)[known].all(), float((error / allowed)[known].max())
        # Before the window is full it reaches back to the first bar, as TA-Lib does: equal up to rounding.
        early = known & ~ours[name].settled
        rounding = 1e-9 if spec.indicator in OSCILLATORS else 1e-12 * price
        assert (error <= rounding)[early].all(), float((error / rounding)[early].max())


@lru_cache
def real_bars(source: str, interval: str) -> Candles:
    """Real bars as if none were missing: TA-Lib knows no slots."""
    minutes = binanceus_minutes() if source == "binanceus" else bitfinex_minutes(int(source))
    holes = classify_holes(minutes.time, vouch=True, outage_after=180)
    wanted = Interval.parse(interval)
    slots = range(wanted.slot(int(minutes.time[0])), wanted.slot(int(minutes.time[-1])) + 1)
    bars = resample(minutes, wanted, slots, vouched=holes.quiet)
    gapless = wanted.open(np.arange(len(bars), dtype=np.int64))
    columns = {"time": gapless, "usable": np.ones(len(bars), dtype=np.bool_)}
    return Candles(**{name: columns.get(name, getattr(bars, name)) for name in Candles.__dataclass_fields__})


@each_spec
@pytest.mark.parametrize("seed", range(3))
def test_random_walks(spec, seed):
    compare(spec, random_walk(6_000, seed))


@each_spec
def test_a_price_that_falls_to_a_tenth_and_then_hardly_moves(spec):
    """The hardest case the windows are made for: what is forgotten was ten times as high, its moves a thousandfold."""
    rng = np.random.default_rng(1)
    fall = np.linspace(10**7, 10**6, 60).astype(np.int64)
    close = np.concatenate((np.full(2_000, 10**7), fall, np.full(6_000, 10**6))) + rng.integers(-300, 301, 8_060)
    open_ = np.concatenate((close[:1], close[:-1]))
    ticks = {"open": open_, "high": np.maximum(open_, close) + 20, "low": np.minimum(open_, close) - 20}
    compare(spec, bars_of({**ticks, "close": close, "volume": close}))


@needs_real_data
@each_spec
@pytest.mark.parametrize(
    ("source", "interval"),
    [("2015", "37m"), ("2016", "37m"), ("2016", "148m"), ("2015", "1d"), ("binanceus", "15m"), ("binanceus", "1m")],
)
def test_real_bars(spec, source, interval):
    bars = real_bars(source, interval)
    if spec.warm_up < len(bars):
        compare(spec, bars)
