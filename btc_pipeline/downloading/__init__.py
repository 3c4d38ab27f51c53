"""Fetching a venue's past: files of its public archive, verified and kept, then its REST for what is in no file yet.

Belongs here: what is fetched in which order, resuming, checksums, progress. Does not belong here: a venue's addresses
and formats (`exchanges`), reading candle files (`importing`), how minutes are stored (`pipeline.imports`, `storage`).
"""
