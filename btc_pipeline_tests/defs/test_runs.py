"""Runs of the job: what they write, what they tell the UI, what their checks find, and how they fail."""

from __future__ import annotations

import os

import dagster as dg
import pytest

from btc_pipeline.pipeline.checks import CheckReport
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.environment import database_variables
from btc_pipeline_tests.defs.worlds import (
    DAYS,
    FIRST,
    HOLE,
    OTHER,
    SMALL,
    SYMBOL,
    checks_of,
    edit_minute,
    metadata_of,
    problems_of,
    run,
)

RANGE = range(FIRST, FIRST + DAYS)
TABLES = ("candles", "indicators", "decisions", "partition_digests", "data_quality")


def rows_of(database: Database) -> dict[str, list[str]]:
    """Every row of every table with the transaction that wrote it."""
    with database.rows() as connection:
        return {
            table: [
                row["line"]
                for row in connection.execute(f"SELECT xmin::text || t::text AS line FROM {table} t ORDER BY 1")
            ]
            for table in TABLES
        }


def count(database: Database, statement: str) -> int:
    with database.rows() as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return int(next(iter(row.values())))


def test_a_range_run_materialises_everything_and_says_what_it_did(
    world: Database, instance: dg.DagsterInstance
) -> None:
    result = run(instance, RANGE)
    assert result.success
    told = metadata_of(result)
    assert set(told) == set(SMALL)

    minutes = told["candles_1m"]
    assert minutes["dagster/row_count"] == (DAYS + 1) * 1440 - len(HOLE)
    assert minutes["days"] == DAYS
    assert minutes["days_recomputed"] == minutes["days_written"] == DAYS + 1
    assert minutes["last_time"] == (FIRST + DAYS) * 86_400 - 60
    assert minutes[f"written/{SYMBOL}"] == "2016-01-01, 2016-01-02, 2016-01-03, 2016-01-04"
    assert minutes[f"written/{OTHER}"] == "2016-01-02"

    bars = told["candles_37m"]
    assert bars["dagster/row_count"] == count(world, "SELECT count(*) FROM candles WHERE interval = '37m'") > 150
    assert told["indicators_37m"]["dagster/row_count"] == count(world, "SELECT count(*) FROM indicators") > 100
    assert told["decisions_37m"]["dagster/row_count"] == count(world, "SELECT count(*) FROM current_decisions") > 150


def test_every_day_of_a_range_counts_as_materialised(world: Database, instance: dg.DagsterInstance) -> None:
    assert run(instance, RANGE).success
    for name in SMALL:
        done = instance.get_materialized_partitions(dg.AssetKey(name))
        assert done == {"2016-01-01", "2016-01-02", "2016-01-03", "2016-01-04"}, name


def test_checks_say_what_they_found(world: Database, instance: dg.DagsterInstance) -> None:
    checks = checks_of(run(instance, RANGE))
    failed = {key for key, check in checks.items() if not check.passed}
    assert failed == {("candles_1m", "coverage"), ("candles_1m", "continuity_across_midnight")}
    assert len(checks) == 5 + 2 + 2 + 1 + 2

    coverage = checks["candles_1m", "coverage"]
    assert coverage.severity == dg.AssetCheckSeverity.WARN
    assert coverage.description == (
        f"{SYMBOL}: 120 minutes missing in 1 gaps; {OTHER}: every minute is present or quiet"
    )
    assert problems_of(coverage) == [
        {
            "symbol": SYMBOL,
            "start_time": "2016-01-01 10:00",
            "end_time": "2016-01-01 12:00",
            "reason": "unknown",
            "minutes": 120,
        }
    ]
    (jump,) = problems_of(checks["candles_1m", "continuity_across_midnight"])
    assert (jump["symbol"], jump["midnight"]) == (SYMBOL, "2016-01-03 00:00")
    assert float(jump["jump_percent"]) > 5  # type: ignore[arg-type]
    assert "bars equal DuckDB's recount" in str(checks["candles_37m", "duckdb_recount"].description)
    assert "1 inputs equal the stored indicators" in str(
        checks["decisions_37m", "snapshots_equal_indicators"].description
    )


def test_an_unchanged_range_writes_nothing(world: Database, instance: dg.DagsterInstance) -> None:
    assert run(instance, RANGE).success
    before = rows_of(world)
    again = run(instance, RANGE)
    assert again.success
    assert rows_of(world) == before
    for name, told in metadata_of(again).items():
        assert (told["days_recomputed"], told["days_written"]) == (0, 0), name
        assert not [key for key in told if key.startswith("written/")], name


def test_one_partition_is_one_day_with_its_digests(world: Database, instance: dg.DagsterInstance) -> None:
    result = run(instance, partition="2016-01-02")
    assert result.success
    told = metadata_of(result)
    with world.rows() as connection:
        stored = {
            (row["asset"], row["symbol"]): row["content_digest"]
            for row in connection.execute("SELECT * FROM partition_digests WHERE day = '2016-01-02'")
        }
    for name in SMALL:
        assert told[name]["days"] == 1
        for symbol in (SYMBOL, OTHER):
            assert told[name][f"digest/{symbol}"] == stored[name, symbol]
    assert told["candles_1m"]["dagster/row_count"] == 2 * 1440
    assert instance.get_materialized_partitions(dg.AssetKey("decisions_37m")) == {"2016-01-02"}


def test_two_symbols_of_a_day_keep_apart(world: Database, instance: dg.DagsterInstance) -> None:
    assert run(instance, range(FIRST + 1, FIRST + 2)).success
    with world.rows() as connection:
        sums = connection.execute(
            "SELECT symbol, interval, round(sum(volume)::numeric, 3) AS volume, sum(minutes) AS minutes FROM candles "
            "WHERE interval IN ('1m', '5m') AND time >= '2016-01-02' AND time < '2016-01-03' GROUP BY 1, 2"
        ).fetchall()
    volume = {(row["symbol"], row["interval"]): (row["volume"], row["minutes"]) for row in sums}
    for symbol in (SYMBOL, OTHER):
        assert volume[symbol, "5m"] == volume[symbol, "1m"]
    assert volume[SYMBOL, "5m"] != volume[OTHER, "5m"]
    assert count(world, "SELECT count(DISTINCT symbol) FROM decisions") == 2


def test_symbols_narrow_a_run(world: Database, instance: dg.DagsterInstance) -> None:
    assert run(instance, RANGE, symbols=[OTHER]).success
    with world.rows() as connection:
        rows = connection.execute("SELECT DISTINCT symbol FROM candles WHERE interval <> '1m'").fetchall()
    assert rows == [{"symbol": OTHER}]


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("BTCUSD.BITFINX", "symbol 'BTCUSD.BITFINX' has no data here. Did you mean BTCUSD.BITFINEX?"),
        ("bitcoin", "symbol 'bitcoin' is not valid: use BTC"),
    ],
)
def test_an_unknown_symbol_fails_in_one_line(
    world: Database, instance: dg.DagsterInstance, symbol: str, words: str
) -> None:
    result = run(instance, range(FIRST, FIRST + 1), symbols=[symbol], assets=["candles_1m"])
    assert not result.success
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert str(failure.user_failure_data.description).startswith(words)
    assert "\n" not in str(failure.user_failure_data.description)


def test_days_without_data_are_empty_and_no_error(world: Database, instance: dg.DagsterInstance) -> None:
    candles = count(world, "SELECT count(*) FROM candles")
    result = run(instance, range(FIRST + 30, FIRST + 32))
    assert result.success
    for name, told in metadata_of(result).items():
        assert (told["dagster/row_count"], told["days_written"]) == (0, 0), name
        assert "last_time" not in told
    assert all(check.passed for check in checks_of(result).values())
    assert count(world, "SELECT count(*) FROM candles") == candles
    assert count(world, "SELECT count(*) FROM data_quality") == 0


def test_a_database_without_instruments_is_no_error(
    database: Database, own_settings: None, instance: dg.DagsterInstance
) -> None:
    os.environ.update(database_variables(database.uri))
    result = run(instance, RANGE)
    assert result.success
    assert checks_of(result)["candles_37m", "duckdb_recount"].description == "nothing is stored yet"


def test_some_assets_can_be_run_without_the_others(world: Database, instance: dg.DagsterInstance) -> None:
    assert run(instance, RANGE, assets=["candles_1m", "candles_37m"]).success
    assert count(world, "SELECT count(*) FROM candles WHERE interval = '37m'") > 150
    assert count(world, "SELECT count(*) FROM candles WHERE interval = '5m'") == 0
    result = run(instance, RANGE, assets=["decisions_37m"])
    assert set(metadata_of(result)) == {"decisions_37m"}
    assert count(world, "SELECT count(*) FROM current_decisions") > 150


def test_bars_of_edited_minutes_that_nobody_looked_at_are_called_stale(
    world: Database, instance: dg.DagsterInstance
) -> None:
    assert run(instance, RANGE).success
    edit_minute(world, (FIRST + 1) * 1440 + 30)
    result = run(instance, RANGE, assets=["candles_37m"])
    stale = checks_of(result)["candles_37m", "staleness"]
    assert not stale.passed
    assert stale.severity == dg.AssetCheckSeverity.WARN
    assert {row["day"] for row in problems_of(stale)} == {"2016-01-02", "2016-01-03"}, "a bar crosses midnight"
    assert all(check.passed for check in checks_of(run(instance, RANGE)).values() if check.check_name == "staleness")


def test_an_edited_minute_reaches_exactly_what_rests_on_it(world: Database, instance: dg.DagsterInstance) -> None:
    assert run(instance, RANGE).success
    edit_minute(world, (FIRST + 1) * 1440 + 30)
    told = metadata_of(run(instance, RANGE))
    written = {name: values.get(f"written/{SYMBOL}", "") for name, values in told.items()}
    assert written["candles_1m"] == written["candles_37m"] == written["candles_other"] == "2016-01-02"
    assert written["indicators_37m"] == "", "closes did not move, so averages did not"
    assert all(values.get(f"written/{OTHER}") is None for values in told.values())


def test_what_only_the_pipeline_can_get_wrong_is_an_error_with_its_rows(
    world: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"interval": "37m", "time": None, "problem": "differs", "stored": "1 2", "recounted": "1 3"}
    wrong = CheckReport(False, "1 bars differ from the recount", [row])
    monkeypatch.setattr("btc_pipeline.defs.assets.recount_bars", lambda *_: wrong)
    result = run(instance, RANGE, symbols=[SYMBOL], assets=["candles_1m", "candles_37m"])
    check = checks_of(result)["candles_37m", "duckdb_recount"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert problems_of(check) == [{"symbol": SYMBOL, **row}]


def test_a_row_that_breaks_the_schema_is_quarantined_and_shown(world: Database, instance: dg.DagsterInstance) -> None:
    with world.rows() as connection:
        connection.execute(
            "UPDATE candles SET low = high + 1 WHERE symbol = %s AND interval = '1m' AND time = to_timestamp(%s)",
            (SYMBOL, (FIRST * 1440 + 61) * 60),
        )
    result = run(instance, range(FIRST, FIRST + 1), symbols=[SYMBOL], assets=["candles_1m", "candles_37m"])
    assert result.success
    check = checks_of(result)["candles_1m", "quarantine"]
    assert not check.passed
    (row,) = problems_of(check)
    assert row["start_time"] == "2016-01-01 01:01"
    assert "low" in str(row["reason"])
    assert metadata_of(result)["candles_1m"]["dagster/row_count"] == 1440 - len(HOLE) - 1
    assert checks_of(result)["candles_37m", "duckdb_recount"].passed
