"""Clocks, and event loops on which they run faster or without waiting.

Belongs here: what time it is and how to wait for it, for everything live. Does not belong here: calendars and grids
(`market.intervals`).
"""
