"""Schema migrations: the `.sql` files beside this module, applied in order by yoyo."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Final

from btc_pipeline.storage.connection import Database

# Not yoyo's own lock: that one is a row, and a kill -9 while it is held would block every later start.
_LOCK: Final = 0x6274_635F_6D69_6772


def migrate(database: Database) -> list[str]:
    """Applies the migrations that are missing, one process at a time; returns their names."""
    folder = files("btc_pipeline.storage") / "migrations"
    wanted = {entry.name.removesuffix(".sql") for entry in folder.iterdir() if entry.name.endswith(".sql")}
    if wanted <= applied(database):
        return []
    from yoyo import get_backend, read_migrations

    with database.rows() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        backend = get_backend(database.uri.replace("postgresql://", "postgresql+psycopg://", 1))
        try:
            with as_file(folder) as path:
                missing = backend.to_apply(read_migrations(str(path)))
                backend.apply_migrations(missing)
            return [migration.id for migration in missing]
        finally:
            backend.connection.close()


def applied(database: Database) -> set[str]:
    """The names of the migrations that the database has."""
    with database.rows() as connection:
        table = connection.execute("SELECT to_regclass('_yoyo_migration') AS name").fetchone()
        if table is None or table["name"] is None:
            return set()
        return {row["migration_id"] for row in connection.execute("SELECT migration_id FROM _yoyo_migration")}
