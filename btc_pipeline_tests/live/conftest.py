"""Fixtures of the live tests."""

from __future__ import annotations

import sys

import pytest

from btc_pipeline.collector import service
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.pipeline.worlds import query


@pytest.fixture(autouse=True)
def no_search_for_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpcore asks for trio at every request; where it is not installed each time is a search of the disk."""
    try:
        import trio  # noqa: F401
    except ImportError:
        monkeypatch.setitem(sys.modules, "trio", None)


@pytest.fixture
def hasty_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database that does not wait for its disk, and that collectors send fewer heartbeats to.

    Where nobody kills the server, waiting for it is most of a test's time.
    """
    monkeypatch.setattr(service, "HEARTBEAT_SECONDS", 20.0)
    name = database.uri.split("?")[0].rpartition("/")[2]
    query(database, f"ALTER DATABASE {name} SET synchronous_commit = off")
    return database
