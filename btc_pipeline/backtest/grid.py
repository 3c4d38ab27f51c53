"""Grids of parameters: ranges, steps and lists as a user writes them, and the sets that a strategy accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import product
from math import prod
from typing import Final

from btc_pipeline.errors import UserError
from btc_pipeline.indicators.parameters import Number
from btc_pipeline.market.intervals import Interval
from btc_pipeline.strategies.base import Strategy
from btc_pipeline.strategies.decisions import StrategyOnInterval

MOST_SETS: Final = 100_000
LEAST, MOST = Decimal("1e-12"), Decimal("1e15")
"""Sizes of numbers beyond which nothing that a strategy knows lies."""
SHAPES: Final = "write period=5..500, period=5..500:5 or period=20,50,100"


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter and the values it takes, in order."""

    name: str
    values: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Sets of parameters, resolved and accepted by the strategy; the last axis varies fastest.

    Attributes:
        axes: those with more than one value.
        refused: how many combinations the strategy does not accept, each value being within its bounds.
        refusal: what it said of the first of them.
    """

    axes: tuple[Axis, ...]
    sets: tuple[Mapping[str, Number], ...]
    refused: int = 0
    refusal: str = ""

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def pair(self) -> tuple[Axis, Axis]:
        """The two axes of a map.

        Raises:
            UserError: there are fewer, or more.
        """
        if len(self.axes) != 2:
            varied = ", ".join(axis.name for axis in self.axes) or "none"
            raise UserError(f"heatmap needs two parameters that vary: there is {varied}.", field="heatmap")
        return self.axes[0], self.axes[1]

    def part(self, number: int, parts: int) -> range:
        """Which sets are in one of so many parts, counted from 1; all parts together are the whole, none overlap.

        Raises:
            UserError: there is no such part.
        """
        if not 1 <= number <= parts:
            raise UserError(f"part {number} of {parts} is not valid: use 1 to {max(parts, 1)}.", field="part")
        return range(len(self) * (number - 1) // parts, len(self) * number // parts)


def parse_axis(text: str) -> Axis:
    """`period=5..500`, `period=5..500:5` (a step), `slow=20,50,100` or `period=44`; ranges include both ends.

    Raises:
        UserError: anything else, or more than MOST_SETS values.
    """
    name, equals, written = text.partition("=")
    if not name or not equals or not written:
        raise UserError(f"parameter {text!r:.60} is not NAME=VALUES: {SHAPES}.", field="param")
    if ".." in written:
        bounds, _, step = written.partition(":")
        first, _, last = bounds.partition("..")
        values = _stepped(text, _number(text, first), _number(text, last), _number(text, step or "1"))
    else:
        values = tuple(_plain(_number(text, one)) for one in written.split(","))
    if len(set(values)) < len(values):
        raise UserError(f"parameter {text!r:.60} has a value twice.", field=name)
    return Axis(name, values)


def build_grid(strategy: Strategy, interval: Interval, axes: Sequence[Axis]) -> Grid:
    """Every combination that the strategy accepts; parameters without an axis have their defaults.

    Raises:
        UserError: a parameter is unknown or there twice, a value is out of its bounds, there are too many combinations,
            or none is accepted.
    """
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"parameter {name} is given twice.", field=name)
    # Each value by itself: what is out of its bounds is a mistake, not a combination to leave out.
    for axis in axes:
        for value in axis.values:
            strategy.resolve({axis.name: value})
    combinations = prod(len(axis.values) for axis in axes)
    if combinations > MOST_SETS:
        raise UserError(
            f"{combinations:,} combinations are too many: use {MOST_SETS:,} at most, by larger steps.", field="param"
        )
    sets, refusals = [], []
    for values in product(*(axis.values for axis in axes)):
        resolved = strategy.resolve(dict(zip(names, values, strict=True)))
        try:
            StrategyOnInterval(strategy, resolved, interval).specs()
        except UserError as error:
            refusals.append(str(error))
        else:
            sets.append(resolved)
    if not sets:
        raise UserError(f"strategy {strategy.name} accepts none of the combinations: {refusals[0]}", field="param")
    varied = tuple(axis for axis in axes if len(axis.values) > 1)
    return Grid(varied, tuple(sets), len(refusals), refusals[0] if refusals else "")


def _number(text: str, written: str) -> Decimal:
    try:
        number = Decimal(written.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or (number and not LEAST <= abs(number) <= MOST):
        raise UserError(f"parameter {text!r:.60}: {written!r:.40} is not a number to use; {SHAPES}.", field="param")
    return number


def _stepped(text: str, first: Decimal, last: Decimal, step: Decimal) -> tuple[Number, ...]:
    if step <= 0 or last < first:
        raise UserError(f"parameter {text!r:.60} has no values: {SHAPES}.", field="param")
    count = int((last - first) / step) + 1
    if count > MOST_SETS:
        raise UserError(f"parameter {text!r:.60} has {count:,} values: use {MOST_SETS:,} at most.", field="param")
    return tuple(_plain(first + step * at) for at in range(count))


def _plain(number: Decimal) -> Number:
    return int(number) if number == number.to_integral_value() else float(number)
