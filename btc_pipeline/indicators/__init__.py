"""Indicators: pure functions of bars whose value at a bar depends on a bounded window of bars up to it.

Belongs here: formulas, their parameters, warm-up and window, and the registry that names them. Does not belong here:
reading bars, opinions about them (`strategies`), storage.
"""
