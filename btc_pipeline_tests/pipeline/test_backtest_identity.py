"""Equal runs are answered from the store; whatever can change a result makes another run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from btc_pipeline.market.candles import Candles
from btc_pipeline.pipeline import backtest_identity, backtests
from btc_pipeline.pipeline.backtests import StoredRun, run_backtest
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline_tests.defs.worlds import FIRST, HOLE, SCALE, SYMBOL, edit_minute, made_minutes, store
from btc_pipeline_tests.pipeline.backtest_worlds import NOW, fill, order, user_settings

INSIDE = (FIRST + 1) * 1440 + 700


class World:
    """A database, a folder, and a run over them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.settings: dict[str, Any] = {}
        self.request: dict[str, Any] = {}
        fill(database)

    def run(self) -> StoredRun:
        return run_backtest(self.database, user_settings(self.folder, **self.settings), order(**self.request), now=NOW)


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


def one_row(world: World, _: pytest.MonkeyPatch) -> None:
    edit_minute(world.database, INSIDE)


def one_row_by_hand(world: World, _: pytest.MonkeyPatch) -> None:
    with world.database.rows() as connection:
        connection.execute(
            "UPDATE candles SET close = low WHERE interval = '1m' AND time = to_timestamp(%s)", (INSIDE * 60,)
        )


def a_filled_gap(world: World, _: pytest.MonkeyPatch) -> None:
    whole: Candles = made_minutes(FIRST, 1)
    store(world.database, SYMBOL, whole.between(HOLE.start, HOLE.start + 1))


def a_row_of_the_look_back(world: World, _: pytest.MonkeyPatch) -> None:
    edit_minute(world.database, FIRST * 1440 + 1435)


def a_helper_module(world: World, _: pytest.MonkeyPatch) -> None:
    (world.folder / "strategies" / "_helper.py").write_text("FACTOR = 2\n")


def a_module_in_a_subfolder(world: World, _: pytest.MonkeyPatch) -> None:
    (world.folder / "strategies" / "parts").mkdir()
    (world.folder / "strategies" / "parts" / "more.py").write_text("FACTOR = 3\n")


def a_parameter(world: World, _: pytest.MonkeyPatch) -> None:
    world.request = {**world.request, "parameters": {"period": 6}}


def the_fee_table(world: World, _: pytest.MonkeyPatch) -> None:
    world.settings = {"backtest": {"fees": {"BITFINEX": [{"valid_from": "2013-01-01", "taker_bps": 19}]}}}


def a_fee_table_of_later(world: World, _: pytest.MonkeyPatch) -> None:
    rows = [
        {"valid_from": "2013-01-01", "taker_bps": 20, "maker_bps": 10},
        {"valid_from": "2030-01-01", "taker_bps": 1},
    ]
    world.settings = {"backtest": {"fees": {"BITFINEX": rows}}}


def the_engine(_: World, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backtest_identity, "ENGINE_VERSION", 1_000)


def the_engines_code(_: World, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(backtest_identity, "code_digest", lambda *packages: "other " + " ".join(packages))


def the_interval(world: World, _: pytest.MonkeyPatch) -> None:
    world.request = {**world.request, "interval": "36m"}


def a_pinned_library(_: World, patch: pytest.MonkeyPatch) -> None:
    known = backtest_identity.version
    patch.setattr(backtest_identity, "version", lambda name: "0.1" if name == "numba" else known(name))


def the_usability_rule(world: World, _: pytest.MonkeyPatch) -> None:
    world.settings = {"usability": {"minimum_coverage_percent": 98}}


def the_decimals(world: World, _: pytest.MonkeyPatch) -> None:
    with world.database.arrow() as cursor:
        upsert_instrument(cursor, SYMBOL, type(SCALE)(SCALE.price + 1, SCALE.volume))


def the_slippage(world: World, _: pytest.MonkeyPatch) -> None:
    world.settings = {"backtest": {"slippage_bps": {SYMBOL: 3}}}


def the_end(world: World, _: pytest.MonkeyPatch) -> None:
    world.request = {**world.request, "end": "2016-01-04"}


def minutes_vouched_for(world: World, _: pytest.MonkeyPatch) -> None:
    import numpy as np

    from btc_pipeline.storage.vouched import replace_vouched

    with world.database.arrow() as cursor:
        replace_vouched(cursor, SYMBOL, np.array(HOLE[:5]), np.array([FIRST]), source="test")


MUTATIONS: list[Callable[[World, pytest.MonkeyPatch], None]] = [
    one_row, one_row_by_hand, a_filled_gap, a_helper_module, a_module_in_a_subfolder, a_parameter, the_fee_table,
    a_fee_table_of_later, the_engine, the_engines_code, the_interval, a_pinned_library, the_usability_rule,
    the_decimals, the_slippage, the_end, minutes_vouched_for,
]  # fmt: skip


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda one: one.__name__)
def test_whatever_can_change_a_result_makes_another_run(
    world: World, monkeypatch: pytest.MonkeyPatch, mutate: Callable[[World, pytest.MonkeyPatch], None]
) -> None:
    before = world.run()
    mutate(world, monkeypatch)
    after = world.run()
    assert not after.from_store
    assert after.run.run_key != before.run.run_key
    assert world.run().from_store


def test_a_row_of_the_look_back_counts_and_one_behind_the_end_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.request = {"start": "2016-01-02", "end": "2016-01-03"}
    before = world.run()
    edit_minute(world.database, (FIRST + 3) * 1440 + 5)
    assert world.run().from_store
    a_row_of_the_look_back(world, monkeypatch)
    assert world.run().run.run_key != before.run.run_key


def test_running_again_without_change_computes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.run()
    assert not first.from_store

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(backtests, "compute", never)
    monkeypatch.setattr(backtests.Replay, "read", never)
    again = world.run()
    assert again.from_store
    assert again.run == first.run


def test_the_run_key_finds_a_run_where_the_database_digests_otherwise(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.run()
    with world.database.rows() as connection:
        connection.execute("UPDATE backtest_runs SET lookup_key = 'of another version of PostgreSQL'")

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(backtests, "compute", never)
    again = world.run()
    assert (again.from_store, again.run.id) == (True, first.run.id)


def test_equal_inputs_have_an_equal_key_and_hash_in_another_database(
    world: World, server_uri: str, template: str
) -> None:
    from btc_pipeline_tests.databases import migrated_database

    first = world.run()
    with migrated_database(server_uri, template) as other:
        elsewhere = World(other, world.folder).run()
    assert not elsewhere.from_store
    assert (elsewhere.run.run_key, elsewhere.run.result_hash) == (first.run.run_key, first.run.result_hash)
    assert elsewhere.run.results == first.run.results
