"""Exchanges: wire formats and REST of each venue, turned into minutes; `replay` is an exchange served from a file.

Belongs here: what a venue says and how it must be asked (limits, errors). Does not belong here: what becomes of
minutes (`collector`), storage.
"""
