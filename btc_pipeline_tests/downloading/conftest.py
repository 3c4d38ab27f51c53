from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.environment import own_environment
from btc_pipeline_tests.downloading.fake_binance import FakeBinance, serving
from btc_pipeline_tests.downloading.worlds import World


@pytest.fixture
def binance() -> Iterator[FakeBinance]:
    """A local Binance: a month's file, eight days' files, and thirty hours that REST alone has."""
    with serving(FakeBinance()) as served:
        yield served


@pytest.fixture
def world(binance: FakeBinance, database: Database, tmp_path: Path) -> Iterator[World]:
    """A fresh database, and that Binance."""
    with own_environment(tmp_path):
        yield World(database, tmp_path, binance)
