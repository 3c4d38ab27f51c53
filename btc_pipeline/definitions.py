"""What Dagster loads, and nothing else."""

from btc_pipeline.defs.build import build_definitions

defs = build_definitions()
