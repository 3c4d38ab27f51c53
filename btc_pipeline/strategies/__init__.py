"""Strategies: pure functions from bars and indicators to a target position, and the decisions that follow from it.

Belongs here: the base class, the built-in strategies, their registry, decision types. Does not belong here: orders,
positions and money (those are accounts', in `backtest`), reading and storage.
"""
