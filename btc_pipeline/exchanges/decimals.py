"""Decimal numbers as venues write them: as text, so that nothing is lost on the way to a double."""

from __future__ import annotations

import re
from typing import Final

from btc_pipeline.market.candles import MAX_SIGNIFICANT_DIGITS

_DECIMAL: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def read_decimal(text: object, name: str) -> tuple[float, int]:
    """The double of a decimal number, and how many decimals it has, trailing zeros aside.

    Raises:
        ValueError: no plain decimal number, or one that a double does not hold exactly enough.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{name} {text!r:.40} is no decimal number")
    fraction = (match[3] or "").rstrip("0")
    if len((match[2] + fraction).strip("0")) > MAX_SIGNIFICANT_DIGITS:
        raise ValueError(f"{name} {text!r:.40} has more than {MAX_SIGNIFICANT_DIGITS} significant digits")
    return float(match[0]), len(fraction)
