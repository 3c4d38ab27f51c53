"""The asset graph as text, so that every change of it shows in a diff.

Renew the checked-in text with `python -m btc_pipeline_tests.defs.asset_graph`, and read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from btc_pipeline.defs.build import build_definitions
from btc_pipeline.settings import CONFIG_VARIABLE, Settings

SNAPSHOT = Path(__file__).with_name("asset_graph.txt")


def describe(definitions: dg.Definitions) -> str:
    """Assets with groups, kinds, dependencies, look-backs and checks; jobs; schedules; sensors. No code versions."""
    graph = definitions.resolve_asset_graph()
    partitions = sorted({repr(graph.get(key).partitions_def) for key in graph.get_all_asset_keys()})
    policies = sorted({str(graph.get(key).backfill_policy) for key in graph.get_all_asset_keys()})
    lines = [f"partitions: {', '.join(partitions)}", f"backfill: {', '.join(policies)}"]
    for key in graph.toposorted_asset_keys:
        lines += ["", *_asset(graph, key)]
    lines.append("")
    for job in sorted(definitions.resolve_all_job_defs(), key=lambda one: one.name):
        if not job.name.startswith("__"):
            lines.append(f"job {job.name}: {len(job.asset_layer.executable_asset_keys)} assets")
    for schedule in definitions.schedules or []:
        assert isinstance(schedule, dg.ScheduleDefinition)
        lines.append(
            f"schedule {schedule.name}: {schedule.cron_schedule} {schedule.execution_timezone}, job "
            f"{schedule.job_name}, {schedule.default_status.value}"
        )
    for sensor in definitions.sensors or []:
        assert isinstance(sensor, dg.SensorDefinition)
        jobs = ", ".join(f"job {target.job_name}" for target in sensor.targets) or "no job"
        lines.append(
            f"sensor {sensor.name}: every {sensor.minimum_interval_seconds} s, {jobs}, {sensor.default_status.value}"
        )
    return "\n".join(lines) + "\n"


def _asset(graph: dg.AssetGraph, key: dg.AssetKey) -> Iterator[str]:  # type: ignore[name-defined]
    node = graph.get(key)
    yield f"{key.to_user_string()}: group {node.group_name}, kinds {', '.join(sorted(node.kinds))}"
    for parent in sorted(node.parent_keys):
        mapping = node.partition_mappings.get(parent)
        if node.partitions_def is None:
            yield f"  < {parent.to_user_string()}, any days"
        elif mapping is None:
            yield f"  < {parent.to_user_string()}, the same day"
        else:
            assert isinstance(mapping, dg.TimeWindowPartitionMapping)
            assert mapping.allow_nonexistent_upstream_partitions
            unit = "months, their days" if graph.get(parent).partitions_def != node.partitions_def else "days"
            yield f"  < {parent.to_user_string()}, {unit} {mapping.start_offset} to {mapping.end_offset}"
    yield f"  checks: {', '.join(sorted(check.name for check in node.check_keys))}"


if __name__ == "__main__":
    os.environ[CONFIG_VARIABLE] = os.devnull
    SNAPSHOT.write_text(describe(build_definitions(Settings(strategies_folder=Path("/nonexistent")))))
