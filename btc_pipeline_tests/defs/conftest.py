"""Fixtures for runs: an environment that leads to a database with four days of two symbols, an instance in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.environment import database_variables, own_environment, small_pipeline
from btc_pipeline_tests.defs.worlds import DAYS, FIRST, HOLE, OTHER, SYMBOL, made_minutes, store


@pytest.fixture
def own_settings(tmp_path: Path) -> Iterator[None]:
    """Nothing of the developer's own settings; few intervals."""
    with own_environment(tmp_path):
        os.environ.update(small_pipeline(tmp_path))
        yield


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def world(database: Database, own_settings: None) -> Database:
    """Four days of one symbol, with a hole and a jump at midnight, and the second of them of another."""
    os.environ.update(database_variables(database.uri))
    store(database, SYMBOL, made_minutes(FIRST, DAYS, without=HOLE))
    store(database, OTHER, made_minutes(FIRST + 1, 1, seed=8))
    return database
