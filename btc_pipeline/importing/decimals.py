"""Numbers as written: text to the nearest double, and proof that the double is exactly what was written.

Belongs here: decimal texts, significant digits, decimals. Does not belong here: what a price may be (`checks`).

The trap: 322.3100000000000227 reads as the same double as 322.31. A value is accepted only if its *text* has at most
15 significant digits, for then text and double determine each other. Texts of 15 characters cannot have more, so only
longer ones are looked at.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from btc_pipeline.importing.arrow_arrays import to_mask, to_numpy
from btc_pipeline.market.candles import MAX_SIGNIFICANT_DIGITS, BoolArray, Float64Array
from btc_pipeline.market.intervals import Int64Array

TOO_FINE: Final = MAX_SIGNIFICANT_DIGITS + 1
"""What `count_decimals` says of a value that needs more decimals than a scale can have."""

_SAMPLE: Final = 1000
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[+-]?(nan(\(.*\))?|inf|infinity)", re.IGNORECASE)


def explain_number(text: str) -> str | None:
    """What is wrong with a number's text; None if nothing is. The rule that `parse_numbers` applies to columns."""
    if _NUMBER.fullmatch(text):
        return _explain_value(text)
    if not text:
        return "is an empty field; a number belongs here"
    if _NOT_FINITE.fullmatch(text):
        return "is not a finite number"
    return "is not a number; write decimals as 43251.07"


def _explain_value(text: str) -> str | None:
    digits = significant_digits(text)
    if not np.isfinite(float(text)):
        return "is beyond every number that can be stored"
    if digits > MAX_SIGNIFICANT_DIGITS:
        return f"has {digits} significant digits; at most {MAX_SIGNIFICANT_DIGITS} can be kept exactly"
    if float(text) == 0 and digits:
        return "is too close to zero to be stored"
    return None


def significant_digits(text: str) -> int:
    """Significant digits of a decimal text as written; zeros that end the fraction do not count.

    Example:
        >>> [significant_digits(text) for text in ("0.0120", "322.3100000000000227", "100", "1.50e3")]
        [2, 19, 3, 2]
    """
    mantissa = re.split("[eE]", text.lstrip("+-"))[0]
    if "." in mantissa:
        mantissa = mantissa.rstrip("0")
    return len(mantissa.replace(".", "").lstrip("0"))


def parse_numbers(texts: Any) -> tuple[Float64Array, BoolArray]:
    """Doubles of a column of texts, and which of them may not be used (`explain_number` says why).

    Args:
        texts: Arrow string column of n rows, trimmed.

    Returns:
        float64[n], NaN where the text is not a number; bool[n].
    """
    try:
        values: Float64Array = to_numpy(texts.cast(pa.float64()))
    except pa.ArrowInvalid:
        values = np.array([float(t) if _NUMBER.fullmatch(t) else np.nan for t in texts.to_pylist()], dtype=np.float64)
    wrong = ~np.isfinite(values)
    long = to_numpy(pc.binary_length(texts)) > MAX_SIGNIFICANT_DIGITS
    if long.any():
        wrong[long] |= _has_too_many_digits(texts.filter(to_mask(long)))
    zero = values == 0
    if zero.any():
        written = texts.filter(to_mask(zero))
        underflown = [text for text in pc.unique(written).to_pylist() if significant_digits(text)]
        if underflown:
            wrong[zero] |= to_numpy(pc.is_in(written, value_set=pa.array(underflown)))
    return values + 0.0, wrong  # + 0.0: no negative zeros


def _has_too_many_digits(texts: Any) -> BoolArray:
    """Which texts of numbers have more significant digits than a double holds, bool[n]."""
    if pc.any(pc.match_substring_regex(texts, r"[^0-9.+\-]")).as_py():  # exponents, or not a number at all
        digits = [significant_digits(text) for text in texts.to_pylist()]
        return np.array(digits, dtype=np.int64) > MAX_SIGNIFICANT_DIGITS
    has_point = pc.match_substring(texts, ".")
    trimmed = pc.if_else(has_point, pc.ascii_rtrim(texts, "0"), texts)
    trimmed = pc.ascii_ltrim(trimmed, "+-0.")
    count = pc.subtract(pc.binary_length(trimmed), pc.count_substring(trimmed, "."))
    too_many: BoolArray = to_numpy(pc.greater(count, MAX_SIGNIFICANT_DIGITS))
    return too_many


def count_decimals(values: Float64Array) -> Int64Array:
    """The fewest decimals that write each value, int64[n]; TOO_FINE where 15 do not suffice.

    Exact for values of at most 15 significant digits: no two such decimals share a double.
    """
    decimals = np.full(len(values), TOO_FINE, dtype=np.int64)
    rest = np.arange(len(values))
    left = values
    for d in range(TOO_FINE):
        fits = np.rint(left * 10.0**d) / 10.0**d == left
        decimals[rest[fits]] = d
        rest, left = rest[~fits], left[~fits]
        if not len(rest):
            break
    return decimals


def most_decimals(values: Float64Array) -> int:
    """The fewest decimals that write all values: the largest of `count_decimals`, found in one pass mostly."""
    guess = int(count_decimals(values[:_SAMPLE]).max(initial=0))
    if guess == TOO_FINE:
        return guess
    misfits = values[np.rint(values * 10.0**guess) / 10.0**guess != values]
    return max(guess, int(count_decimals(misfits).max(initial=0)))


def count_integer_digits(values: Float64Array) -> Int64Array:
    """Digits before the point, int64[n]; none for values below 1."""
    return np.searchsorted(10.0 ** np.arange(MAX_SIGNIFICANT_DIGITS + 1), values, side="right").astype(np.int64)
