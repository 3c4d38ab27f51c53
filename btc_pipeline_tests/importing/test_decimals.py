"""The rule for columns is the rule for one text, and decimals are counted as `Decimal` counts them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.importing.decimals import (
    TOO_FINE,
    count_decimals,
    count_integer_digits,
    explain_number,
    most_decimals,
    parse_numbers,
    significant_digits,
)

DECIMALS = st.decimals(min_value=0, max_value=10**12, places=6, allow_nan=False, allow_infinity=False)
NUMBER_TEXTS = st.one_of(
    st.from_regex(r"[+-]?[0-9]{1,12}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"0{0,3}\.0{0,6}[0-9]{1,16}0{0,6}", fullmatch=True),
    st.text(alphabet="0123456789.eE+-xXnaifty_ ", max_size=20),
    st.sampled_from(
        ["", "nan", "-inf", "Infinity", "nan(1)", "0e5", "1e-400", "1e400", "5e-324", ".", "+", "1.", ".5"]
    ),
)


def arrow(texts: list[str]):
    return pa.chunked_array([pa.array(texts[:1], pa.string()), pa.array(texts[1:], pa.string())])


@given(st.lists(NUMBER_TEXTS, min_size=1, max_size=30))
def test_a_column_follows_the_rule_for_one_text(texts):
    values, wrong = parse_numbers(arrow(texts))
    assert wrong.tolist() == [explain_number(text) is not None for text in texts]
    for text, value in zip(texts, values.tolist(), strict=True):
        if explain_number(text) is None:
            assert value == float(text)
            assert value < 1e-300 or Decimal(f"{value:.15g}") == Decimal(text)  # 1e-310 is too fine for any scale


@given(NUMBER_TEXTS)
def test_a_column_of_one_text_that_arrow_alone_would_judge(text):
    _, wrong = parse_numbers(arrow([text]))
    assert wrong.tolist() == [explain_number(text) is not None]


@given(st.lists(st.tuples(st.integers(0, 10**15 - 1), st.integers(0, 15)), min_size=1, max_size=20))
def test_decimals_and_digits_are_those_of_decimal(pairs):
    decimals = [Decimal(ticks).scaleb(-places) for ticks, places in pairs]
    values = np.array([float(d) for d in decimals])
    expected = [max(0, -int(d.normalize().as_tuple().exponent)) for d in decimals]
    assert count_decimals(values).tolist() == expected
    assert most_decimals(values) == max(expected)
    late = np.concatenate((np.ones(2000), values))  # the finest behind the sample
    assert most_decimals(late) == max(expected)
    assert count_integer_digits(values).tolist() == [len(str(int(d))) if d >= 1 else 0 for d in decimals]


@pytest.mark.parametrize("value", [1e-16, 0.1 + 0.2, 5e-324])
def test_values_finer_than_any_scale_are_too_fine(value):
    assert count_decimals(np.array([value])).tolist() == [TOO_FINE]


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("322.3100000000000227", 19),
        ("322.3100000000000000", 5),
        ("0.0120", 2),
        ("100", 3),
        ("1.50e3", 2),
        ("0.00", 0),
        ("-7", 1),
    ],
)
def test_significant_digits(text, digits):
    assert significant_digits(text) == digits
