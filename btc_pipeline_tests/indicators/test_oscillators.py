"""What is particular about the oscillators."""

from __future__ import annotations

import numpy as np
import talib

from btc_pipeline.indicators.oscillators import rsi, rsi_window, stochastic
from btc_pipeline_tests.indicators.made_bars import bars_of, random_walk


def standing_still(n):
    return bars_of(dict.fromkeys(("open", "high", "low", "close", "volume"), np.full(n, 5_000)))


def test_rsi_of_a_market_that_never_moved_is_0_as_in_talib():
    bars = standing_still(500)
    assert set(rsi(bars, 14).value[14:].tolist()) == {0.0} == set(talib.RSI(bars.close, 14)[14:].tolist())


def test_rsi_of_a_market_that_only_rises_is_100_and_that_only_falls_is_0():
    rising = np.arange(5_000, 5_500)
    up = bars_of(dict.fromkeys(("open", "high", "low", "close", "volume"), rising))
    down = bars_of(dict.fromkeys(("open", "high", "low", "close", "volume"), rising[::-1].copy()))
    assert set(rsi(up, 14).value[14:].tolist()) == {100.0}
    assert set(rsi(down, 14).value[14:].tolist()) == {0.0}


def test_rsi_forgets_moves_outside_its_window():
    before, window = random_walk(300, 5), rsi_window(14)
    ticks = np.concatenate((before.close_ticks, np.full(window - 1, before.close_ticks[-1])))
    value = rsi(bars_of(dict.fromkeys(("open", "high", "low", "close", "volume"), ticks)), 14).value
    assert value[-1] == 0.0
    assert value[-2] > 0.0


def test_stochastic_without_a_range_is_0_as_in_talib():
    bars = standing_still(40)
    theirs = talib.STOCH(bars.high, bars.low, bars.close, 14, 3, 0, 3, 0)
    for ours, other in zip(stochastic(bars, 14, 3, 3).values(), theirs, strict=True):
        assert set(ours.value[17:].tolist()) == {0.0} == set(other[17:].tolist())
