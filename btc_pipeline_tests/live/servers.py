"""A PostgreSQL of a test's own, to be stopped, killed and started again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.migrate import migrate
from btc_pipeline.storage.server import EmbeddedServer


@contextmanager
def own_server(suffix: str = "") -> Iterator[tuple[EmbeddedServer, Database]]:
    """A server in a folder of its own, and its migrated database; ended at the end, whatever was done to it.

    Args:
        suffix: of the folder's name.
    """
    # Not pytest's tmp_path: its parents are closed to other users, and a server started by root is another user's.
    folder = Path(tempfile.mkdtemp(prefix="btc-test-", suffix=suffix))
    folder.chmod(0o755)
    server = EmbeddedServer(folder)
    try:
        database = Database(server.ensure_running())
        migrate(database)
        yield server, database
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
