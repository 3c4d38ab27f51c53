"""The shared fixtures themselves."""

from __future__ import annotations

import pytest

from btc_pipeline.storage.connection import Database


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_has_an_empty_database_with_the_schema(database: Database, attempt: int) -> None:
    with database.rows() as connection:
        assert connection.execute("SELECT count(*) AS n FROM instruments").fetchone() == {"n": 0}
        connection.execute(
            "INSERT INTO instruments VALUES ('BTC', 'HYPERLIQUID', 'BTC', 0, 0, 0)",
        )


def test_a_module_shares_its_database_and_has_it_apart_from_tests(
    module_database: Database, database: Database
) -> None:
    assert module_database.uri != database.uri
