"""Dagster: assets, checks, partitions, jobs, schedules, sensors and resources.

Belongs here: what the orchestrator needs to know. Does not belong here: how anything is
computed or stored (`pipeline`).
"""
