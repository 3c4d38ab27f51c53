"""Disk: one synthetic year in which every minute traded, all that is derived from it, and Dagster's own database."""

from __future__ import annotations

from typing import Final

from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.market import DAYS_A_YEAR, FIRST_DAY, store_synthetic
from btc_pipeline_tests.bench.workspace import DAGSTER, EMPTY, PRODUCT, Workspace

ASKED: Final = 10**9
TABLES: Final = """
SELECT relname, pg_total_relation_size(c.oid) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname = 'public' ORDER BY bytes DESC LIMIT 4
"""


def run(space: Workspace) -> list[Figure]:
    database = space.reset_product(EMPTY)
    empty = space.size(PRODUCT)
    store_synthetic(database, FIRST_DAY, DAYS_A_YEAR)
    minutes = space.size(PRODUCT)
    space.command("materialize", "--start", "2015-01-01", "--end", "2016-01-01")
    product, dagster = space.size(PRODUCT), space.size(DAGSTER)
    with database.rows() as connection:
        largest = [f"{row['relname']} {_mb(row['bytes'])}" for row in connection.execute(TABLES)]
    return [
        Figure(
            "disk: one year of 1m with all derived tables, and Dagster's own",
            f"{_mb(product)} + {_mb(dagster)}",
            "below 1 GB",
            product + dagster < ASKED,
            [
                f"minutes alone: {_mb(minutes - empty)} ({DAYS_A_YEAR * 1440:,} rows); an empty schema: {_mb(empty)}",
                f"largest tables with their indexes: {', '.join(largest)}",
            ],
        )
    ]


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
