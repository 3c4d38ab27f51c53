"""Indicators by name, and specs."""

from __future__ import annotations

import pickle

import pytest

from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.indicators.registry import INDICATORS, IndicatorSpec, get_indicator
from btc_pipeline_tests.indicators.made_bars import random_walk


@pytest.mark.parametrize("name", INDICATORS)
def test_every_indicator_describes_itself_truthfully(name):
    indicator = get_indicator(name)
    assert indicator.name == name
    assert indicator.display_name
    assert indicator.description.endswith(".")
    assert indicator.outputs[0] == "value"
    for parameter in indicator.parameters:
        assert parameter.validate(parameter.default, of=name) == parameter.default
        assert type(parameter.default) is parameter.type
        assert parameter.description.endswith(".")
    spec = IndicatorSpec.of(name)
    assert tuple(spec.compute(random_walk(50, 1))) == spec.outputs == indicator.outputs


@pytest.mark.parametrize("name", INDICATORS)
@pytest.mark.parametrize("end", ["low", "high"])
def test_every_indicator_computes_at_the_ends_of_its_bounds(name, end):
    values = {p.name: getattr(p, end) for p in INDICATORS[name].parameters}
    spec = IndicatorSpec.of(name, values)
    bars = random_walk(1_000, 1)
    assert 1 <= spec.warm_up <= spec.window < spec.lookback_slots
    assert (spec.compute(bars)["value"].value[spec.warm_up - 1 :] > -1e9).all()


def test_an_unknown_indicator_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"indicator 'stochastik' is unknown: .* Did you mean stochastic\?"):
        get_indicator("stochastik")
    with pytest.raises(UnknownNameError, match="use sma, ema, macd"):
        IndicatorSpec("?")


def test_specs_with_the_same_meaning_are_equal_and_one_key():
    spelt = IndicatorSpec.of("bollinger", {"deviations": 2, "period": 20})
    assert spelt == IndicatorSpec.of("bollinger") == IndicatorSpec("bollinger", (("period", 20),))
    assert len({spelt, IndicatorSpec.of("bollinger")}) == 1
    assert spelt.parameters == (("deviations", 2.0), ("keltner_multiple", 1.5), ("period", 20))
    assert pickle.loads(pickle.dumps(spelt)) == spelt


def test_labels_tell_specs_apart():
    assert IndicatorSpec.of("sma").label == "sma_44"
    assert IndicatorSpec.of("bollinger", {"deviations": 2.5}).label == "bollinger_20_2.5_1.5"


def test_a_spec_cannot_be_made_of_bad_parameters():
    with pytest.raises(UserError, match="sma: period 501 is not valid: use a whole number from 2 to 500"):
        IndicatorSpec.of("sma", {"period": 501})
    with pytest.raises(UserError, match="sma: parameter 'length' is unknown: use period"):
        IndicatorSpec("sma", (("length", 44),))


def test_the_lookback_covers_window_and_slack():
    assert IndicatorSpec.of("sma", {"period": 125}).lookback_slots == 131
