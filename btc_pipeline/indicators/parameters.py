"""Typed parameters with bounds: what an indicator or a strategy lets its user choose, and the check of the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

from btc_pipeline.errors import UserError

Number = int | float
Values = Mapping[str, Number]
"""Resolved parameters: every declared name, each with a value of its type within its bounds."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that may be chosen, from `low` to `high`, both included.

    Example:
        >>> Parameter("period", int, 14, 2, 200, "Bars averaged.").validate(20, of="rsi")
        20
    """

    name: str
    type: type[int] | type[float]
    default: Number
    low: Number
    high: Number
    description: str

    def validate(self, value: object, *, of: str) -> Number:
        """The value as this parameter's type.

        Whole numbers are welcome where a float is wanted, never the other way round; text and booleans are no numbers.

        Args:
            value: what the user gave.
            of: whose parameter it is, for the message.

        Raises:
            UserError: the value has another type or lies outside the bounds.
        """
        accepted = Integral if self.type is int else Real
        number: Any = value
        # Compared before it is converted: a whole number may be too large for a float, and NaN fails every comparison.
        if isinstance(value, accepted) and not isinstance(value, bool) and self.low <= number <= self.high:
            return self.type(number)
        raise UserError(f"{of}: {self.name} {_shown(value)} is not valid: use {self._wanted()}.", field=self.name)

    def _wanted(self) -> str:
        kind = "a whole number" if self.type is int else "a number"
        return f"{kind} from {self.low} to {self.high}"


def resolve(parameters: Sequence[Parameter], given: Mapping[str, object], *, of: str) -> dict[str, Number]:
    """Every declared parameter with the given value, or else its default; in declared order.

    Example:
        >>> resolve([Parameter("period", int, 14, 2, 200, "Bars averaged.")], {}, of="rsi")
        {'period': 14}

    Raises:
        UserError: a name is not declared (the message offers the nearest), or a value is not valid.
    """
    names = [parameter.name for parameter in parameters]
    for name in given:
        if name not in names:
            raise UserError(_unknown(str(name), names, of), field=str(name))
    return {p.name: p.validate(given[p.name], of=of) if p.name in given else p.default for p in parameters}


def _unknown(name: str, names: list[str], of: str) -> str:
    if not names:
        return f"{of}: parameter {_shown(name)} is unknown: {of} has none."
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{of}: parameter {_shown(name)} is unknown: use {', '.join(names)}.{hint}"


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 200:
        return "(a huge number)"  # Python refuses to write out integers of more than 4,300 digits.
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."
