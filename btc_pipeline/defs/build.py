"""One assembly of Definitions, for production and for tests."""

from __future__ import annotations

import dagster as dg

from btc_pipeline.defs.assets import build_assets
from btc_pipeline.defs.backtests import build_backtests
from btc_pipeline.defs.jobs import build_jobs
from btc_pipeline.defs.partitions import daily_partitions
from btc_pipeline.defs.resources import RESOURCE_KEY, PipelineResource
from btc_pipeline.defs.retention import build_retention
from btc_pipeline.defs.schedules import nightly
from btc_pipeline.defs.sensors import build_sensors
from btc_pipeline.defs.sweeps import build_sweeps
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.settings import Settings, load_settings


def build_definitions(settings: Settings | None = None, pipeline: PipelineResource | None = None) -> dg.Definitions:
    """Everything Dagster loads, from the settings (the process's own by default)."""
    settings = settings or load_settings()
    partitions, catalogue = daily_partitions(settings.start_date), build_catalogue(settings)
    clean_up, nightly_clean_up = build_retention()
    return dg.Definitions(
        assets=[*build_assets(catalogue, partitions), build_backtests(settings.start_date), build_sweeps()],
        jobs=[*build_jobs(), clean_up],
        schedules=[nightly, nightly_clean_up],
        sensors=build_sensors(settings, catalogue),
        resources={RESOURCE_KEY: pipeline or PipelineResource()},
        # One process a run: a step's own process would cost more than its work (28 s instead of 5 for four assets).
        executor=dg.in_process_executor,
    )
