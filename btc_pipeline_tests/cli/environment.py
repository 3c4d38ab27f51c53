"""An environment for tests of processes: nothing of the developer's own settings, a database, small intervals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg.conninfo

from btc_pipeline.settings import Settings

OURS = ("BTC_PIPELINE_", "DB_", "DAGSTER_")


@contextmanager
def own_environment(folder: Path) -> Iterator[None]:
    """Without the developer's settings, `.env` included; every change of `os.environ` inside is undone."""
    saved, here, files = dict(os.environ), Path.cwd(), Settings.model_config["env_file"]
    Settings.model_config["env_file"] = ".env"
    for name in list(os.environ):
        if name.startswith(OURS):
            del os.environ[name]
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        Settings.model_config["env_file"] = files
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
    """Variables of a pipeline in a folder with few intervals, so that a run is quick.

    They say whatever a developer's `.env` could, for a process of its own would read that: no test may reach a
    database that somebody needs.
    """
    (folder / "strategies").mkdir(exist_ok=True)
    config = folder / "pipeline.yaml"
    config.write_text(
        "standard_intervals: [5m]\n"
        "indicators:\n  ma5: {indicator: sma, parameters: {period: 5}, intervals: [37m]}\n"
        "strategies:\n  - {strategy: ma, parameters: {period: 5}, intervals: [37m]}\n"
    )
    return {
        "DB_HOST": "",
        "BTC_PIPELINE_START_DATE": "2015-01-01",
        "BTC_PIPELINE_CONFIG": str(config),
        "BTC_PIPELINE_DATA_DIR": str(folder / "data"),
        "BTC_PIPELINE_STRATEGIES_FOLDER": str(folder / "strategies"),
    }
