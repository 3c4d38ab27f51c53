"""Candle files: finding out how a file is laid out, reading it exactly, and saying what is wrong with it.

Belongs here: layouts, time units, decimals, row errors. Does not belong here: writing to the database (`pipeline`).
"""
