"""What Dagster loads: the graph, partitions that share a run, what the UI shows, and that loading it is light."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from btc_pipeline.defs.build import build_definitions
from btc_pipeline.defs.partitions import lookback
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.settings import CONFIG_VARIABLE, Settings, load_settings
from btc_pipeline_tests.cli.environment import own_environment
from btc_pipeline_tests.defs.asset_graph import SNAPSHOT, describe

HEAVY = ("pandas", "pandera", "duckdb", "pyarrow.dataset", "sqlalchemy", "fastapi")


@pytest.fixture
def shipped(tmp_path: Path) -> Iterator[Settings]:
    """The settings that the code comes with."""
    with own_environment(tmp_path):
        os.environ[CONFIG_VARIABLE] = str(tmp_path / "none.yaml")
        yield Settings(strategies_folder=tmp_path)


def test_the_asset_graph_is_the_one_that_was_reviewed(shipped: Settings) -> None:
    assert describe(build_definitions(shipped)) == SNAPSHOT.read_text(), "renew it: see defs/asset_graph.py"


def test_the_definitions_are_loadable(shipped: Settings) -> None:
    dg.Definitions.validate_loadable(build_definitions(shipped))


def test_all_assets_agree_in_partitions_and_policy_so_that_a_backfill_is_one_run(shipped: Settings) -> None:
    graph = build_definitions(shipped).resolve_asset_graph()
    nodes = [node for key in graph.get_all_asset_keys() if (node := graph.get(key)).group_name != "backtests"]
    assert {node.backfill_policy for node in nodes} == {dg.BackfillPolicy.single_run()}
    assert len({node.partitions_def for node in nodes}) == 1


def test_partitions_are_utc_days_from_the_settings_to_today(shipped: Settings) -> None:
    graph = build_definitions(shipped).resolve_asset_graph()
    partitions = graph.get(dg.AssetKey("candles_1m")).partitions_def
    assert partitions is not None
    keys = partitions.get_partition_keys()
    assert keys[0] == "2015-01-01"
    assert keys[-1] == time.strftime("%Y-%m-%d", time.gmtime())


def test_every_asset_tells_its_meaning_columns_units_and_code_version(shipped: Settings) -> None:
    graph = build_definitions(shipped).resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        schema = node.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert all(column.description for column in schema.columns), key
        assert node.description, key
        assert node.code_version, key
    volume = next(column for column in schema_of(graph, "candles_37m").columns if column.name == "volume")
    assert volume.description == "traded, base currency"


def test_shown_columns_are_the_columns_of_the_table(shipped: Settings, database) -> None:  # type: ignore[no-untyped-def]
    graph = build_definitions(shipped).resolve_asset_graph()
    with database.rows() as connection:
        for asset, table in (
            ("candles_37m", "candles"),
            ("indicators_37m", "indicators"),
            ("decisions_37m", "decisions"),
            ("backtests", "backtest_runs"),
            ("sweep_rows", "sweep_rows"),
        ):
            rows = connection.execute(
                "SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0",
                (table,),
            ).fetchall()
            stored = {row["name"]: row["type"].replace("timestamp with time zone", "timestamptz") for row in rows}
            for column in schema_of(graph, asset).columns:
                assert stored.get(column.name) == column.type, (table, column.name)


def test_lineage_reaches_as_far_back_as_any_day_needs(shipped: Settings) -> None:
    first = 16_000
    for asset in build_catalogue(shipped).derived:
        for upstream in asset.upstream:
            offset = lookback(asset, upstream).start_offset
            reaches = [
                day - wanted.first_day
                for day in range(first, first + 1500)
                for wanted in asset.inputs(day)
                if wanted.upstream == upstream
            ]
            assert max(reaches) == -offset, (asset.name, upstream)


def test_settings_make_the_assets(shipped: Settings, tmp_path: Path) -> None:
    settings = Settings(
        strategies_folder=tmp_path,
        standard_intervals=("1h",),
        indicators={},
        strategies=({"strategy": "ma44", "intervals": ("41m",)},),  # type: ignore[arg-type]
    )
    graph = build_definitions(settings).resolve_asset_graph()
    chain = [key for key in graph.get_all_asset_keys() if graph.get(key).group_name != "backtests"]
    assert {key.to_user_string() for key in chain} == {"candles_1m", "candles_41m", "candles_other", "decisions_41m"}


def test_a_strategy_that_looks_at_another_interval_depends_on_its_bars(own_settings: None) -> None:
    Path("strategies/filtered.py").write_text(
        "import numpy as np\n"
        "from btc_pipeline.strategies import FLAT, Input, Opinions, Strategy\n"
        "class Filtered(Strategy):\n"
        "    name = 'filtered'\n    display_name = 'Filtered'\n    description = 'Flat.'\n"
        "    def inputs(self, p):\n"
        "        return {'day': Input('sma', {'period': 20}, interval='1d')}\n"
        "    def decide(self, view, p):\n"
        "        n = len(view.bars)\n"
        "        return Opinions(np.full(n, FLAT, np.int8), np.ones(n), [])\n"
    )
    settings = load_settings(strategies=({"strategy": "filtered", "intervals": ("37m",)},))
    graph = build_definitions(settings).resolve_asset_graph()
    node = graph.get(dg.AssetKey("decisions_37m"))
    assert {key.to_user_string() for key in node.parent_keys} == {"candles_37m", "candles_1d", "indicators_37m"}
    mapping = node.partition_mappings[dg.AssetKey("candles_1d")]
    assert isinstance(mapping, dg.TimeWindowPartitionMapping)
    assert mapping.start_offset <= -20


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    code = f"import sys, btc_pipeline.definitions; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def schema_of(graph: dg.AssetGraph, asset: str) -> dg.TableSchema:  # type: ignore[name-defined]
    schema = graph.get(dg.AssetKey(asset)).metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    return schema
