"""What a strategy may answer with: columns that are as long as the bars, of values that mean something.

Lists and other array-likes are taken where they are what they should be.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from btc_pipeline.errors import StrategyError
from btc_pipeline.market.candles import BoolArray
from btc_pipeline.strategies.base import FLAT, LONG, NO_OPINION, SHORT, Input, Opinions, TargetArray


def checked_inputs(inputs: object, name: str) -> Mapping[str, Input]:
    """What `inputs` of the strategy of that name gave.

    Raises:
        StrategyError: it is no mapping of names to `Input`.
    """
    if isinstance(inputs, Mapping) and all(isinstance(one, Input) for one in inputs.values()):
        return inputs
    raise StrategyError(f"strategy {name!r}: inputs gave {_kind(inputs)}; wanted is a dict of names to Input.")


def checked_opinions(opinions: Opinions, n: int, name: str) -> Opinions:
    """What `decide` of the strategy of that name gave for n bars, in arrays.

    Raises:
        StrategyError: target, confidence or a reason is not what it should be; the message says which, and what would
            be right.
    """
    target = checked_target(opinions.target, n, name)
    confidence = _column(opinions.confidence, n, name, "confidence")
    if confidence.dtype.kind not in "fiu":
        raise StrategyError(f"strategy {name!r}: confidence is {confidence.dtype}; wanted are numbers from 0 to 1.")
    reasons = [_reason(one, n, name) for one in opinions.reasons]
    return Opinions(target, confidence.astype(np.float64, copy=False), reasons)


def checked_target(target: object, n: int, name: str) -> TargetArray:
    """Targets for n bars, int8[n].

    Raises:
        StrategyError: there is not one for every bar, or one that means nothing.
    """
    column = _column(target, n, name, "target")
    if column.dtype.kind not in "fiu":
        raise StrategyError(f"strategy {name!r}: target is {column.dtype}; wanted is int8: -1, 0, 1 or NO_OPINION.")
    allowed = np.isin(column, (SHORT, FLAT, LONG, NO_OPINION))
    if not allowed.all():
        raise StrategyError(f"strategy {name!r} wants target {column[~allowed][0]}: use -1, 0, 1 or NO_OPINION.")
    return column.astype(np.int8, copy=False)


def _reason(reason: object, n: int, name: str) -> tuple[BoolArray, str]:
    if not isinstance(reason, tuple | list) or len(reason) != 2 or not isinstance(reason[1], str):
        raise StrategyError(f"strategy {name!r}: a reason is {_kind(reason)}; wanted is (bool of n bars, sentence).")
    mask = _column(reason[0], n, name, f"the bars of reason {reason[1]!r:.60}")
    if mask.dtype.kind != "b":
        raise StrategyError(f"strategy {name!r}: the bars of reason {reason[1]!r:.60} are {mask.dtype}, not bool.")
    return mask.astype(np.bool_, copy=False), reason[1]


def _column(values: object, n: int, name: str, what: str) -> NDArray[np.generic]:
    try:
        column = np.asarray(values)
    except ValueError as error:
        raise StrategyError(f"strategy {name!r}: {what} is no column of numbers: {error}") from error
    if column.ndim != 1:
        raise StrategyError(f"strategy {name!r}: {what} is {_kind(values)} of shape {column.shape}; wanted is ({n},).")
    if len(column) != n:
        raise StrategyError(f"strategy {name!r} answered for {len(column)} bars instead of {n}: {what}.")
    return column


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
