"""What a candle must be: the rules, once, for whole columns and for one minute as it comes.

Belongs here: rules on the values of one candle, and their names. Does not belong here: rules between candles (ascending
times), and what becomes of an offender.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np

from btc_pipeline.market.candles import MAX_SIGNIFICANT_DIGITS, UNKNOWN_TRADES, Scale

PRICE_POSITIVE: Final = "price is a positive number"
VOLUME_NOT_NEGATIVE: Final = "volume is not negative"
HIGH_HIGHEST: Final = "high is the highest"
LOW_LOWEST: Final = "low is the lowest"
TAKER_BUY_PART: Final = "taker buy volume is part of the volume"
TRADES_COUNTED: Final = f"trades are {UNKNOWN_TRADES} (not told) or a count"
DIGITS_HELD: Final = f"at most {MAX_SIGNIFICANT_DIGITS} significant digits"

Values = Any
"""float64[n], a column of doubles, or one float; the answer is bool[n] or one truth likewise."""


class OneCandle(Protocol):
    """The values of one candle; NaN and UNKNOWN_TRADES where the venue does not tell."""

    @property
    def open(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def close(self) -> float: ...
    @property
    def volume(self) -> float: ...
    @property
    def quote_volume(self) -> float: ...
    @property
    def taker_buy_volume(self) -> float: ...
    @property
    def trades(self) -> int: ...


def is_price(value: Values) -> Values:
    """Finite and above 0."""
    return np.isfinite(value) & (value > 0)


def is_amount(value: Values) -> Values:
    """Finite and not below 0."""
    return np.isfinite(value) & (value >= 0)


def is_optional_amount(value: Values) -> Values:
    """An amount, or NaN where the venue does not tell."""
    return np.isnan(value) | is_amount(value)


def high_is_highest(open_: Values, high: Values, low: Values, close: Values) -> Values:
    """NaN among the others is another rule's to find."""
    return high >= np.fmax(np.fmax(open_, close), low)


def low_is_lowest(open_: Values, high: Values, low: Values, close: Values) -> Values:
    """NaN among the others is another rule's to find."""
    return low <= np.fmin(np.fmin(open_, close), high)


def taker_buy_is_part(taker_buy_volume: Values, volume: Values) -> Values:
    """Holds where either is not told."""
    return np.logical_not(taker_buy_volume > volume)


def is_trade_count(trades: Values) -> Values:
    """A count, or UNKNOWN_TRADES."""
    return trades >= UNKNOWN_TRADES


def fits_digits(value: Values, decimals: int) -> Values:
    """Whether a value with that many decimals has few enough significant digits for a double to give them back."""
    return np.abs(value) * 10.0**decimals < 10.0**MAX_SIGNIFICANT_DIGITS


def offences(candle: OneCandle, scale: Scale | None = None) -> tuple[str, ...]:
    """The rules that one candle breaks, by name, in a fixed order.

    Args:
        scale: the decimals it will be stored with; without them digits are not counted.
    """
    prices = (candle.open, candle.high, candle.low, candle.close)
    amounts = (candle.quote_volume, candle.taker_buy_volume)
    rules: list[tuple[str, Callable[[], bool]]] = [
        (PRICE_POSITIVE, lambda: all(is_price(price) for price in prices)),
        (VOLUME_NOT_NEGATIVE, lambda: bool(is_amount(candle.volume)) and all(map(is_optional_amount, amounts))),
        (HIGH_HIGHEST, lambda: bool(high_is_highest(*prices))),
        (LOW_LOWEST, lambda: bool(low_is_lowest(*prices))),
        (TAKER_BUY_PART, lambda: bool(taker_buy_is_part(candle.taker_buy_volume, candle.volume))),
        (TRADES_COUNTED, lambda: bool(is_trade_count(candle.trades))),
        (DIGITS_HELD, lambda: scale is None or _digits_held(candle, scale)),
    ]
    return tuple(name for name, holds in rules if not holds())


def _digits_held(candle: OneCandle, scale: Scale) -> bool:
    values = (
        *((price, scale.price) for price in (candle.open, candle.high, candle.low, candle.close)),
        *((amount, scale.volume) for amount in (candle.volume, candle.taker_buy_volume)),
        (candle.quote_volume, scale.quote),
    )
    return all(not math.isfinite(value) or bool(fits_digits(value, decimals)) for value, decimals in values)
