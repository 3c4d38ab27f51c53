"""Decimal numbers as venues write them: as text, so that nothing is lost on the way to a double."""

from __future__ import annotations

import math
import re
import time
from typing import Final

import structlog

from btc_pipeline.market.candles import MAX_SIGNIFICANT_DIGITS

log = structlog.get_logger(__name__)

SAID_AGAIN_SECONDS: Final = 3_600.0

_DECIMAL: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def read_decimal(text: object, name: str) -> tuple[float, int]:
    """The double of a decimal number, and how many decimals it has, trailing zeros aside.

    Raises:
        ValueError: no plain decimal number, or one that a double does not hold exactly enough.
    """
    value, decimals, digits = _read(text, name)
    if digits > MAX_SIGNIFICANT_DIGITS:
        raise ValueError(f"{name} {text!r:.40} has more than {MAX_SIGNIFICANT_DIGITS} significant digits")
    return value, decimals


def read_quote(text: object, name: str) -> tuple[float, int]:
    """The same of a quote volume, which in busy minutes has too many digits for a double: then it is not told, NaN.

    Raises:
        ValueError: no plain decimal number.
    """
    value, decimals, digits = _read(text, name)
    if digits <= MAX_SIGNIFICANT_DIGITS:
        return value, decimals
    QUOTES_LEFT_OUT.say(f"{text!s:.40}")
    return math.nan, 0


class QuotesLeftOut:
    """Says once an hour that quote volumes are not stored: minutes come every few seconds, and their reason is one."""

    def __init__(self) -> None:
        self._said_at: float | None = None

    def say(self, value: str) -> None:
        """One of them was `value`."""
        now = time.monotonic()
        if self._said_at is None or now - self._said_at >= SAID_AGAIN_SECONDS:
            self._said_at = now
            log.warning(f"a quote volume has more than {MAX_SIGNIFICANT_DIGITS} digits: it is not stored", value=value)


QUOTES_LEFT_OUT: Final = QuotesLeftOut()


def decimals_of_step(text: object, name: str) -> int:
    """How many decimals a tick or a step has: 5 for 0.00001000.

    Raises:
        ValueError: no plain decimal number.
    """
    return _read(text, name)[1]


def _read(text: object, name: str) -> tuple[float, int, int]:
    """The double, its decimals, its significant digits."""
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{name} {text!r:.40} is no decimal number")
    fraction = (match[3] or "").rstrip("0")
    return float(match[0]), len(fraction), len((match[2] + fraction).strip("0"))
