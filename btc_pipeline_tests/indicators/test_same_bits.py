"""Invariant 2: a value depends on its window alone. Compared with ==: cut in every way, and with plain Python."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.indicators import recursions
from btc_pipeline.indicators.registry import INDICATORS, IndicatorSpec
from btc_pipeline_tests.indicators import reference
from btc_pipeline_tests.indicators.made_bars import bars_of, random_walk, torn_bars, walk

# Short periods, so that windows fill within a hundred bars.
CASES = {
    IndicatorSpec.of("sma", {"period": 7}): lambda m, w: reference.sma(m, 7),
    IndicatorSpec.of("ema", {"period": 3}): lambda m, w: reference.ema(m, 3, w),
    IndicatorSpec.of("macd", {"fast": 2, "slow": 3, "signal": 2}): lambda m, w: reference.macd(m, 2, 3, 2, w),
    IndicatorSpec.of("rsi", {"period": 2}): lambda m, w: reference.rsi(m, 2, w),
    IndicatorSpec.of("stochastic", {"k_period": 5}): lambda m, w: reference.stochastic(m, 5, 3, 3),
    IndicatorSpec.of("bollinger", {"period": 6}): lambda m, w: reference.bollinger(m, 6, 2.0, 1.5),
    IndicatorSpec.of("atr", {"period": 2}): lambda m, w: reference.atr(m, 2, w),
    IndicatorSpec.of("volume_average", {"period": 4}): lambda m, w: reference.volume_average(m, 4),
}
DEFAULTS = tuple(IndicatorSpec.of(name) for name in INDICATORS)

each_case = pytest.mark.parametrize("spec", CASES, ids=lambda spec: spec.label)


def bits(series, rows=slice(None)):
    """Values as integers, so that == compares every bit, NaN included."""
    return series.value[rows].view(np.int64).tolist(), series.settled[rows].tolist()


def test_every_indicator_has_a_case():
    assert {spec.indicator for spec in CASES} == set(INDICATORS)


@each_case
@settings(max_examples=100)
@given(bars=torn_bars())
def test_values_equal_a_computation_bar_by_bar(spec, bars):
    rows = CASES[spec](reference.Market(bars), spec.window)
    for name, series in spec.compute(bars).items():
        expected = [row.get(name, (np.nan, False)) for row in rows]
        assert bits(series) == (
            np.array([value for value, _ in expected], dtype=np.float64).view(np.int64).tolist(),
            [settled for _, settled in expected],
        )


@each_case
@settings(max_examples=60)
@given(bars=torn_bars(), extra=st.integers(0, 30), later=st.integers(0, 30))
def test_values_are_the_same_bits_however_the_bars_are_cut(spec, bars, extra, later):
    whole = spec.compute(bars)
    slot = bars.slot
    for t in range(len(bars)):
        first = int(np.searchsorted(slot, slot[t] - spec.lookback_slots + 1))
        first = max(first - extra, 0)
        part = spec.compute(bars.take(slice(first, t + 1 + later)))
        for name, series in whole.items():
            assert bits(part[name], slice(t - first, t - first + 1)) == bits(series, slice(t, t + 1))


@pytest.mark.parametrize("spec", DEFAULTS, ids=lambda spec: spec.label)
def test_default_parameters_give_the_same_bits_in_pieces_of_a_torn_year(spec):
    rng = np.random.default_rng(7)
    n = 14_000
    slots = np.cumsum(1 + (rng.random(n) < 0.002) * rng.integers(1, 40, n))
    bars = bars_of(walk(n, 7), slots, rng.random(n) > 0.003)
    whole = spec.compute(bars)
    cuts = [0, *sorted(rng.integers(1, n, 12).tolist()), n]
    for begin, end in pairwise(cuts):
        first = int(np.searchsorted(bars.slot, bars.slot[begin] - spec.lookback_slots + 1))
        part = spec.compute(bars.take(slice(first, end)))
        for name, series in whole.items():
            assert bits(part[name], slice(begin - first, None)) == bits(series, slice(begin, end))
    assert any(series.settled.any() for series in whole.values())


@pytest.mark.parametrize("spec", DEFAULTS, ids=lambda spec: spec.label)
def test_one_slot_less_than_the_lookback_would_not_do(spec):
    """The lookback is as short as the window allows: with all its slack missing, the first slot read is needed."""
    gap = spec.lookback_slots - spec.window
    n = spec.window + 30
    slots = np.arange(n)
    slots[-5:] += gap
    bars = bars_of(walk(n, 3), slots)
    settled = spec.compute(bars)[spec.outputs[-1]].settled
    assert settled[-1]
    short = bars.take(bars.slot > bars.slot[-1] - spec.lookback_slots + 1)
    assert not spec.compute(short)[spec.outputs[-1]].settled[-1]


@pytest.mark.parametrize("spec", DEFAULTS, ids=lambda spec: spec.label)
def test_blocks_of_bars_do_not_show(spec, monkeypatch):
    bars = random_walk(1_500, 11)
    whole = spec.compute(bars)
    monkeypatch.setattr(recursions, "BLOCK_BARS", 97)
    for name, series in spec.compute(bars).items():
        assert bits(series) == bits(whole[name])


@pytest.mark.parametrize("spec", DEFAULTS, ids=lambda spec: spec.label)
def test_the_first_value_comes_with_the_warm_up_and_the_first_settled_one_with_the_window(spec):
    bars = random_walk(spec.window + 5, 2)
    value = spec.compute(bars)["value"]
    last = spec.compute(bars)[spec.outputs[-1]]
    assert int(np.flatnonzero(~np.isnan(value.value))[0]) == spec.warm_up - 1
    assert int(np.flatnonzero(last.settled)[0]) == spec.window - 1


@pytest.mark.parametrize("spec", DEFAULTS, ids=lambda spec: spec.label)
@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_bars_give_no_value(spec, n):
    for series in spec.compute(random_walk(n, 1)).values():
        assert len(series) == n
        assert np.isnan(series.value).all()
        assert not series.settled.any()
