"""The environment that every Dagster process needs, wherever it is started."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from btc_pipeline.settings import PROJECT, Settings
from btc_pipeline.storage.address import DAGSTER_DATABASE, database_uri
from btc_pipeline.storage.connection import Database

STORAGE_URL: Final = "BTC_PIPELINE_DAGSTER_STORAGE"
FILES: Final = "BTC_PIPELINE_DAGSTER_FILES"

# A ranged run writes an event for each asset and partition when it is created: 22.7 s for three assets over a year.
# With these two it is 2.5 s. The price: a failed range does not mark its partitions failed.
FAST_RANGES: Final = {
    "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "true",
    "DAGSTER_EVENT_BATCH_SIZE": "1000",
}

# Otherwise `python -m` imports what lies in the folder that it is started in, a user's `queue.py` for one.
SAFE_PATH: Final = {"PYTHONSAFEPATH": "1"}


def dagster_environment(settings: Settings) -> dict[str, str]:
    """Variables for `DAGSTER_HOME/dagster.yaml`, fast ranges and safe imports; creates Dagster's database and folders.

    Raises:
        UserError: the database does not answer.
    """
    if settings.db_host:
        _create_dagster_database(settings)
    # SQLAlchemy 2.1 reads `postgresql://` as psycopg 3, which dagster-postgres does not speak: name the driver.
    url = database_uri(settings, DAGSTER_DATABASE).replace("postgresql://", "postgresql+psycopg2://", 1)
    files = settings.data_dir / "dagster"
    files.mkdir(parents=True, exist_ok=True)
    home = os.environ.get("DAGSTER_HOME") or str(PROJECT / "dagster_home")
    return {"DAGSTER_HOME": str(Path(home).resolve()), STORAGE_URL: url, FILES: str(files), **FAST_RANGES, **SAFE_PATH}


def _create_dagster_database(settings: Settings) -> None:
    with Database(database_uri(settings)).rows(autocommit=True) as connection:
        there = connection.execute("SELECT FROM pg_database WHERE datname = %s", (DAGSTER_DATABASE,)).fetchone()
        if there is None:
            # Services start at once, and another may have been faster.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(f"CREATE DATABASE {DAGSTER_DATABASE}")
