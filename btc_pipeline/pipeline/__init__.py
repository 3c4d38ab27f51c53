"""The bodies of the assets: read a window, compute, compare, write. No orchestrator.

Belongs here: which inputs a day of an asset is made from, what is stale, and the one transaction that writes it. Does
not belong here: formulas (pure packages), SQL (`storage`), Dagster (`defs`).
"""
