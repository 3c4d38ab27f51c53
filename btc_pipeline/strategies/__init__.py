"""Strategies: pure functions from bars and indicators to a target position, and the decisions that follow from it.

Belongs here: the base class, the built-in strategies, their registry, decision types. Does not belong here: orders,
positions and money (those are accounts', in `backtest`), reading and storage.
"""

from btc_pipeline.indicators.parameters import Parameter
from btc_pipeline.strategies.base import (
    FLAT,
    LONG,
    NO_OPINION,
    SHORT,
    Direction,
    Exits,
    Input,
    Opinions,
    Parameters,
    Strategy,
    View,
)

__all__ = [
    "FLAT",
    "LONG",
    "NO_OPINION",
    "SHORT",
    "Direction",
    "Exits",
    "Input",
    "Opinions",
    "Parameter",
    "Parameters",
    "Strategy",
    "View",
]
