"""A store over a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from btc_pipeline.collector.store import MinuteStore
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.collector.made_landings import SCALE, SYMBOL


@pytest.fixture
async def store(database: Database) -> AsyncIterator[MinuteStore]:
    """The collector's road to the test's database, the symbol declared."""
    store = MinuteStore(database.uri)
    await store.declare_instrument(SYMBOL, SCALE)
    yield store
    await store.close()
