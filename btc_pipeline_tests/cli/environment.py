"""An environment for tests of processes: nothing of the developer's own settings, a database, small intervals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg.conninfo

OURS = ("BTC_PIPELINE_", "DB_", "DAGSTER_")


@contextmanager
def own_environment(folder: Path) -> Iterator[None]:
    """Without the developer's settings, in a folder without `.env`; every change of `os.environ` inside is undone."""
    saved, here = dict(os.environ), Path.cwd()
    for name in list(os.environ):
        if name.startswith(OURS):
            del os.environ[name]
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(saved)


def database_variables(uri: str) -> dict[str, str]:
    """The variables that lead to a database."""
    parts = psycopg.conninfo.conninfo_to_dict(uri)
    return {
        "DB_HOST": str(parts["host"]),
        "DB_PORT": str(parts.get("port") or 5432),
        "DB_NAME": str(parts["dbname"]),
        "DB_USER": str(parts["user"]),
        "DB_PASSWORD": str(parts.get("password") or ""),
    }


def small_pipeline(folder: Path) -> dict[str, str]:
    """Variables of a pipeline in a folder with few intervals, so that a run is quick."""
    (folder / "strategies").mkdir(exist_ok=True)
    config = folder / "pipeline.yaml"
    config.write_text(
        "standard_intervals: [5m]\n"
        "indicators:\n  ma5: {indicator: sma, parameters: {period: 5}, intervals: [37m]}\n"
        "strategies:\n  - {strategy: ma, parameters: {period: 5}, intervals: [37m]}\n"
    )
    return {
        "BTC_PIPELINE_CONFIG": str(config),
        "BTC_PIPELINE_DATA_DIR": str(folder / "data"),
        "BTC_PIPELINE_STRATEGIES_FOLDER": str(folder / "strategies"),
    }
