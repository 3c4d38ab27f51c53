"""Fixtures that every test may use: a server for the session, a fresh migrated database for a test or a module."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline_tests.databases import SERVER_VARIABLE, migrated_database, timescale_uri

# Hypothesis times every example by default; how fast a machine is, is no property of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def server_uri() -> Iterator[str]:
    """The address of a server for this session: `TEST_DATABASE_URL`, or an embedded one in a folder of its own."""
    given = os.environ.get(SERVER_VARIABLE)
    if given:
        yield given
        return
    # Not pytest's tmp_path: its parents are closed to other users, and a server started by root is another user's.
    folder = Path(tempfile.mkdtemp(prefix="btc-test-"))
    folder.chmod(0o755)
    server = EmbeddedServer(folder)
    try:
        yield server.ensure_running()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server_uri: str) -> Iterator[str]:
    """The name of a migrated, empty database on that server, to be copied."""
    with migrated_database(server_uri) as database:
        yield urlsplit(database.uri).path.removeprefix("/")


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh migrated database for one test; of tests marked `timescale` on TEST_TIMESCALE_URL where that is set."""
    yield from _fresh(request)


@pytest.fixture(scope="module")
def module_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh migrated database for one module, whose `pytestmark` decides the server as a test's mark does."""
    yield from _fresh(request)


def _fresh(request: pytest.FixtureRequest) -> Iterator[Database]:
    timescale = timescale_uri() if request.node.get_closest_marker("timescale") else None
    if timescale:
        # Migrated anew: Timescale's workers connect to a template, and what others use cannot be copied.
        with migrated_database(timescale) as database:
            yield database
    else:
        with migrated_database(request.getfixturevalue("server_uri"), request.getfixturevalue("template")) as database:
            yield database
