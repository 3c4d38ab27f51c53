"""What users may choose, and what they are told when it does not fit."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.indicators.parameters import Parameter, resolve

PERIOD = Parameter("period", int, 44, 5, 500, "Bars averaged.")
DEVIATIONS = Parameter("deviations", float, 2.0, 0.1, 10.0, "Standard deviations.")


def test_defaults_fill_what_is_not_given_in_declared_order():
    resolved = resolve((PERIOD, DEVIATIONS), {"deviations": 3}, of="bands")
    assert list(resolved.items()) == [("period", 44), ("deviations", 3.0)]
    assert isinstance(resolved["deviations"], float)


@pytest.mark.parametrize("value", [5, 500, np.int64(44)])
def test_whole_numbers_within_bounds_pass(value):
    result = PERIOD.validate(value, of="ma")
    assert result == value
    assert type(result) is int


@pytest.mark.parametrize("value", [0.1, 10, np.float64(2.5)])
def test_numbers_within_bounds_pass(value):
    result = DEVIATIONS.validate(value, of="bands")
    assert result == value
    assert type(result) is float


@pytest.mark.parametrize(
    "value",
    [
        4,
        501,
        -44,
        44.0,
        "44",
        True,
        None,
        float("nan"),
        [44],
        pytest.param(10**5000, id="huge"),
        np.True_,
        Decimal(44),
        "x" * 1000,
    ],
)
def test_anything_else_is_no_whole_number_within_bounds(value):
    with pytest.raises(UserError, match=r"ma: period .* is not valid: use a whole number from 5 to 500\.") as error:
        PERIOD.validate(value, of="ma")
    assert error.value.field == "period"
    assert len(str(error.value)) < 150


@pytest.mark.parametrize(
    "value", [0.0, 10.1, float("nan"), float("inf"), -float("inf"), "2", True, None, 10**400, 2j, Decimal(2)]
)
def test_anything_else_is_no_number_within_bounds(value):
    with pytest.raises(UserError, match=r"deviations .* use a number from 0\.1 to 10\.0\."):
        DEVIATIONS.validate(value, of="bands")


def test_the_message_names_the_field_and_the_value():
    with pytest.raises(UserError, match="ma: period '44' is not valid"):
        resolve((PERIOD,), {"period": "44"}, of="ma")


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(
        UserError, match=r"ma: parameter 'perod' is unknown: use period\. Did you mean period\?"
    ) as error:
        resolve((PERIOD,), {"perod": 44}, of="ma")
    assert error.value.field == "perod"


def test_a_parameter_of_something_without_any_is_refused():
    with pytest.raises(UserError, match=r"ma44: parameter 'period' is unknown: ma44 has none\."):
        resolve((), {"period": 44}, of="ma44")
