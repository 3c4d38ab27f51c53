"""The market's own words: intervals, instruments, candles, resampling, gaps.

Belongs here: pure functions and small frozen types over NumPy arrays. Does not belong here: reading, writing,
orchestration, opinions about price (those are `indicators` and `strategies`).

Time is counted in whole **epoch minutes** (minutes since 1970-01-01T00:00Z, int64): every bar boundary is one, and
integers neither drift nor carry a time zone. Conversion to timestamps happens at the edges (`storage`, `api`).
"""
