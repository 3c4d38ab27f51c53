"""Backtests: what an account would have made of a strategy's targets, and figures that describe it.

Belongs here: fees, accounts, the simulation, metrics, sweeps, proofs against look-ahead. Pure: arrays in, arrays out.
Does not belong here: targets (`strategies`), reading bars and keeping results (`pipeline`, `storage`), how a report
looks (`cli`).

The simulation is compiled (numba), strict IEEE arithmetic in a fixed order: the same inputs give the same bits in every
process and on every machine. One function simulates a single run and every row of a sweep.
"""
