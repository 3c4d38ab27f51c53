"""Jobs: one that materialises everything over a day or a range of days, one a backtest, one a part of a sweep."""

from __future__ import annotations

from typing import Final

import dagster as dg

from btc_pipeline.defs.queue import BACKTEST, BACKTESTS, RUN_TAGS, SWEEP_ROWS
from btc_pipeline.defs.sweeps import SWEEP

MATERIALIZE: Final = "materialize"


def build_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """The jobs of the pipeline; a job has the partitions of its assets."""
    return [
        dg.define_asset_job(
            MATERIALIZE,
            selection=dg.AssetSelection.all() - dg.AssetSelection.groups(BACKTESTS),
            description=(
                "Validates minutes and brings candles, indicators and decisions up to date, for a day or a range of "
                "days. Days that are up to date are verified and left alone."
            ),
        ),
        dg.define_asset_job(
            BACKTEST,
            selection=dg.AssetSelection.assets(BACKTESTS),
            tags=RUN_TAGS,
            description="One backtest over a range of months; strategy, parameters and account are its configuration.",
        ),
        dg.define_asset_job(
            SWEEP,
            selection=dg.AssetSelection.assets(SWEEP_ROWS),
            tags=RUN_TAGS,
            description="One part of a sweep; what is swept, and which part, is its configuration.",
        ),
    ]
