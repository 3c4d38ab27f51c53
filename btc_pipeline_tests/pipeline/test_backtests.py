"""A run from request to rows: what is stored, how it ends when it is killed, what it looks back on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.market.intervals import Interval
from btc_pipeline.pipeline import backtests
from btc_pipeline.pipeline.backtest_data import Replay
from btc_pipeline.pipeline.backtest_request import account_of
from btc_pipeline.pipeline.backtests import BacktestRequest, backtest, new_run, prepare, run_backtest
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.settings import load_settings
from btc_pipeline.storage.backtests import Run, add_run, delete_run, read_part, read_run
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline.strategies.base import Exits
from btc_pipeline_tests.defs.worlds import DAYS, FIRST, OTHER, SYMBOL, made_minutes, store
from btc_pipeline_tests.pipeline.backtest_worlds import NOW, fill, order, user_settings

TABLES = ("backtest_runs", "backtest_trades", "backtest_equity")


def counts(database: Database) -> dict[str, int]:
    """Rows of the tables, decisions of runs among them."""
    found = {}
    with database.rows() as connection:
        for name in TABLES:
            row = connection.execute(f"SELECT count(*) AS n FROM {name}").fetchone()
            assert row is not None
            found[name] = int(row["n"])
        row = connection.execute("SELECT count(*) AS n FROM decisions WHERE backtest_id IS NOT NULL").fetchone()
        assert row is not None
        found["decisions"] = int(row["n"])
    return found


NOTHING = dict.fromkeys((*TABLES, "decisions"), 0)


def test_a_run_is_stored_with_all_that_belongs_to_it(database: Database, tmp_path: Path) -> None:
    fill(database)
    settings, told = user_settings(tmp_path), list[float]()
    stored = run_backtest(database, settings, order(), told.append, now=NOW)
    run = stored.run
    assert (run.status, run.progress, run.symbol, run.interval, run.strategy) == ("done", 1.0, SYMBOL, "37m", "above")
    assert told == sorted(told)
    assert told[-1] == 1.0
    prepared, result = backtest(database, settings, order(), now=NOW)
    assert run.result_hash == result.result_hash
    assert run.configuration == prepared.configuration
    assert run.results == result.results
    for what, table in (("trades", result.trades), ("equity", result.equity)):
        assert read_part(database, run.id, what).to_pylist() == table.to_pylist()
    equity = read_part(database, run.id, "equity")
    assert len(equity) == DAYS + 1
    assert equity["equity"][0].as_py() == 10_000.0
    assert BacktestRequest.of(run.configuration).given() == run.configuration


def test_a_request_with_a_fixed_value_is_made_again_of_what_it_says() -> None:
    fixed = order(notional=500, leverage=2)
    assert "size" not in fixed.given()
    assert BacktestRequest.of(fixed.given()) == fixed
    assert account_of(BacktestRequest.of(fixed.given()), load_settings(), Exits()).notional == 500
    most = account_of(order(notional=20_000, leverage=2), load_settings(), Exits())
    assert (most.notional, most.leverage * most.capital) == (20_000, 20_000)


def test_an_exit_of_0_is_none_and_one_that_is_left_out_is_the_strategys_own() -> None:
    own = Exits(stop=0.1, target=0.2, trailing=0.3)
    assert account_of(order(), load_settings(), own).exits == own
    none = order(stop=0, target=0.0, trailing=-0.0)
    assert account_of(none, load_settings(), own).exits == Exits()
    assert account_of(order(target=0.5), load_settings(), own).exits == Exits(0.1, 0.5, 0.3)


@pytest.mark.parametrize("interval", ["37m", "148m", "1d", "1m"])
def test_the_decisions_are_those_of_the_pipeline_where_the_target_changes(
    database: Database, tmp_path: Path, interval: str
) -> None:
    days = 60 if interval == "1d" else DAYS
    fill(database, days)
    settings = user_settings(
        tmp_path, strategies=[{"strategy": "above", "parameters": {"period": 5}, "intervals": [interval]}]
    )
    with database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
    Chain(database, build_catalogue(settings), settings.rule).refresh(instrument, range(FIRST, FIRST + days), NOW)
    run = run_backtest(database, settings, order(interval=interval, end=None), now=NOW).run
    columns = "time, target, type, confidence, reasons, indicator_snapshot, input_digest"
    with database.rows() as connection:
        logged = connection.execute(f"SELECT {columns} FROM current_decisions ORDER BY time").fetchall()
        ours = connection.execute(
            f"SELECT {columns} FROM decisions WHERE backtest_id = %s ORDER BY time", (run.id,)
        ).fetchall()
    # A bar across the first midnight belongs to the run before.
    logged = [row for row in logged if row["time"] >= ours[0]["time"]]
    changes = [row for at, row in enumerate(logged) if at == 0 or row["target"] != logged[at - 1]["target"]]
    assert len(ours) > 3
    assert ours == changes


def test_bars_lie_within_the_days_and_windows_reach_before_them(database: Database, tmp_path: Path) -> None:
    fill(database)
    with database.arrow() as cursor:
        prepared = prepare(cursor, user_settings(tmp_path), order(start="2016-01-03", end="2016-01-04"), now=NOW)
        replay = Replay.read(cursor, prepared.scope, user_settings(tmp_path).rule)
    bars, interval = replay.data.bars, Interval.parse("37m")
    start, end = (FIRST + 2) * 1440, (FIRST + 3) * 1440
    assert start <= bars.time[0] < start + 37
    assert end - 37 < bars.close_time[-1] <= end
    frame = replay.frames[interval]
    assert frame.time[-1] == bars.time[-1]
    # Five bars of the average and the slack of such a window before the first.
    assert len(frame) - len(bars) >= 5
    assert replay.own.minutes.time[0] == prepared.scope.own_days.start * 1440
    assert replay.own.minutes.time[-1] == end - 1


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"strategy": "abov"}, "strategy", "did you mean above?"),
        ({"parameters": {"perid": 5}}, "parameters.perid", "Did you mean period?"),
        ({"parameters": {"period": 4}}, "parameters.period", "period 4 is not valid: use a whole number from 5 to 500"),
        (
            {"parameters": {"period": 501}},
            "parameters.period",
            "period 501 is not valid: use a whole number from 5 to 500",
        ),
        ({"start": "2016-01-05", "end": "2016-01-05"}, "start", "start 2016-01-05 is not before end 2016-01-05"),
        ({"capital": 0}, "capital", "capital 0.0 is not valid: give one above 0, 1,000,000,000,000 at most"),
        ({"capital": float("nan")}, "capital", "capital nan is not valid"),
        ({"leverage": 40.5}, "leverage", "leverage 40.5 is not valid: give one above 0, 40 at most"),
        ({"notional": 500, "size": 1}, "notional", "notional 500 and size 1 exclude each other: give one of them."),
        (
            {"notional": 30_000.5, "leverage": 3},
            "notional",
            "notional 30000.5 is above leverage 3 x capital 10000: use 30000 at most, or raise leverage (at most 40).",
        ),
        ({"stop": -0.01}, "stop", "stop -0.01 is not valid: give one above 0, 1 at most, or 0 for none."),
        ({"target": 101}, "target", "target 101.0 is not valid: give one above 0, 100 at most, or 0 for none."),
        ({"start": "2014-01-01", "end": "2014-02-01"}, "start", "there are minutes from 2016-01-01 to 2016-01-04"),
        ({"start": "2016-02-01", "end": None}, "start", "there are minutes from 2016-01-01 to 2016-01-04"),
        ({"end": "2030-01-01"}, "end", "in the future"),
        ({"start": "0001-01-01"}, "start", "out of range: use a date from 1970 to 2199"),
        ({"symbol": "BTCUSD.BITFINX"}, "symbol", "Did you mean BTCUSD.BITFINEX?"),
        ({"interval": "37x"}, "interval", "Did you mean 37m?"),
        ({"start": "2016-01-01T00:00"}, "start", "'2016-01-01T00:00' is not a date: write 2016-01-31"),
        ({"intervall": "1h"}, "intervall", "field 'intervall' is unknown: did you mean interval?"),
        ({"colour": 1}, "colour", "field 'colour' is unknown: use symbol, interval, start, end, "),
    ],
)
def test_a_mistake_is_told_and_nothing_is_stored(
    database: Database, tmp_path: Path, changes: dict[str, Any], field: str, words: str
) -> None:
    fill(database)
    with pytest.raises(UserError, match=r"^[^\n]+$") as told:
        run_backtest(database, user_settings(tmp_path), order(**changes), now=NOW)
    assert told.value.field == field
    assert words in str(told.value)
    assert counts(database) == NOTHING


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"start": "2016-01-20", "end": "2016-02-20"},
            (
                f"start 2016-01-20: {SYMBOL} has no bar of 37m from then to 2016-02-19, a hole in its minutes from "
                "2016-01-01 to 2016-03-06: use another range."
            ),
        ),
        (
            {"start": "2016-01-01", "end": "2016-01-04", "interval": "1w"},
            "start 2016-01-01: no bar of 1w opens and closes from then to end 2016-01-04: use a longer range.",
        ),
        (
            {"start": "2015-12-24", "end": "2016-01-04", "interval": "1w"},
            (
                "start 2015-12-24: no bar of 1w opens and closes from 2016-01-01, where its minutes begin, to "
                "end 2016-01-04: use a longer range."
            ),
        ),
        (
            {"start": "2016-02-10", "end": None, "interval": "1M"},
            (
                "start 2016-02-10: no bar of 1M opens and closes from then to 2016-03-07, where the last closed day "
                "ends: use a longer range."
            ),
        ),
    ],
)
def test_where_there_is_no_bar_nothing_is_stored(
    database: Database, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    store(database, SYMBOL, made_minutes(FIRST, 3))
    store(database, SYMBOL, made_minutes(FIRST + 63, 3))
    with pytest.raises(UserError) as told:
        run_backtest(database, user_settings(tmp_path), order(**changes), now=NOW)
    assert (str(told.value), told.value.field) == (words, "start")
    assert counts(database) == NOTHING


def test_an_outage_of_sixty_days_is_no_mistake_but_is_said(database: Database, tmp_path: Path) -> None:
    store(database, SYMBOL, made_minutes(FIRST, 3))
    store(database, SYMBOL, made_minutes(FIRST + 63, 3))
    run = run_backtest(database, user_settings(tmp_path), order(end=None), now=NOW).run
    assert run.configuration["end"] == "2016-03-07"
    assert run.results is not None
    assert [line for line in run.results["head"] if "60.0 days" in line]
    cancelled = run.results["cancelled_orders"]
    assert run.results["cancelled"] == ({"hole": 1} if cancelled else {})
    assert cancelled in ([], [{"time": "2016-01-03T23:01:00+00:00", "reason": "hole"}])


def test_what_fails_while_it_runs_leaves_words_and_nothing_else(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    settings = user_settings(tmp_path)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    with monkeypatch.context() as patch:
        patch.setattr(backtests, "compute", broken)
        with pytest.raises(ZeroDivisionError):
            run_backtest(database, settings, order(), now=NOW)
    assert counts(database) == NOTHING | {"backtest_runs": 1}
    with database.rows() as connection:
        row = connection.execute("SELECT id, status, message FROM backtest_runs").fetchone()
    assert row is not None
    assert (row["status"], row["message"]) == ("failed", "ZeroDivisionError: division")
    again = run_backtest(database, settings, order(), backtest_id=row["id"], now=NOW)
    assert (again.run.status, again.run.message, again.from_store) == ("done", None, False)


def test_a_request_that_cannot_be_run_fails_the_row_that_waits(database: Database, tmp_path: Path) -> None:
    fill(database)
    settings = user_settings(tmp_path)
    with database.arrow() as cursor:
        waiting = new_run(prepare(cursor, settings, order(), now=NOW))
    with database.rows() as connection:
        run = add_run(connection, waiting)
    with pytest.raises(UserError):
        run_backtest(database, settings, order(strategy="gone"), backtest_id=run, now=NOW)
    assert read_run(database, run).status == "failed"
    assert "strategy 'gone' is unknown" in (read_run(database, run).message or "")


def test_a_row_that_waits_for_a_run_that_was_made_gets_all_of_it(database: Database, tmp_path: Path) -> None:
    fill(database)
    settings = user_settings(tmp_path)
    first = run_backtest(database, settings, order(), now=NOW)
    with database.arrow() as cursor:
        waiting = new_run(prepare(cursor, settings, order(), now=NOW))
    with database.rows() as connection:
        run = add_run(connection, waiting)
    second = run_backtest(database, settings, order(), backtest_id=run, dagster_run_id="dagster", now=NOW)
    assert (second.from_store, second.run.id, second.run.dagster_run_id) == (True, run, "dagster")
    assert (second.run.run_key, second.run.results) == (first.run.run_key, first.run.results)
    for what in ("trades", "equity", "decisions"):
        table = read_part(database, run, what)
        assert len(table)
        assert table.to_pylist() == read_part(database, first.run.id, what).to_pylist()


def test_a_run_that_is_deleted_while_it_runs_leaves_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    compute = backtests.compute

    def delete_meanwhile(*arguments: Any) -> Any:
        with database.rows() as connection:
            (row,) = connection.execute("SELECT id FROM backtest_runs").fetchall()
        delete_run(database, row["id"])
        return compute(*arguments)

    monkeypatch.setattr(backtests, "compute", delete_meanwhile)
    with pytest.raises(UserError, match="was deleted or given up while it ran; nothing of it is kept"):
        run_backtest(database, user_settings(tmp_path), order(), now=NOW)
    assert counts(database) == NOTHING


def test_of_two_equal_runs_at_once_both_are_done_and_the_first_can_be_found_meanwhile(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    settings, compute, keys, others = user_settings(tmp_path), backtests.compute, list[Any](), list[Run]()

    def lookup_keys() -> list[Any]:
        with database.rows() as connection:
            return [row["lookup_key"] for row in connection.execute("SELECT lookup_key FROM backtest_runs")]

    def compute_beside_another(*arguments: Any) -> Any:
        monkeypatch.setattr(backtests, "compute", compute)
        keys.extend(lookup_keys())
        others.append(run_backtest(database, settings, order(), now=NOW).run)
        return compute(*arguments)

    monkeypatch.setattr(backtests, "compute", compute_beside_another)
    run = run_backtest(database, settings, order(), now=NOW).run
    assert [run.status, others[0].status] == ["done", "done"]
    assert (run.id != others[0].id, run.result_hash) == (True, others[0].result_hash)
    assert len(keys) == 1
    assert lookup_keys() == keys * 2


def test_an_unknown_run_is_told_so(database: Database, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is unknown"):
        run_backtest(database, user_settings(tmp_path), order(), backtest_id=uuid4(), now=NOW)


KILLED = """
import os, signal, sys
from pathlib import Path
from btc_pipeline.pipeline import backtests
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.pipeline.backtest_worlds import NOW, order, user_settings

point = sys.argv[3]

def told(share):
    if share >= float(point):
        os.kill(os.getpid(), signal.SIGKILL)

backtests.run_backtest(Database(sys.argv[1]), user_settings(Path(sys.argv[2])), order(), told, now=NOW)
"""


@pytest.mark.parametrize("point", ["0.2", "0.6", "0.9"])
def test_a_killed_run_is_failed_stores_nothing_and_can_be_launched_again(
    database: Database, tmp_path: Path, point: str
) -> None:
    fill(database)
    settings = user_settings(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, database.uri, str(tmp_path), point],
        check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=120,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert counts(database) == NOTHING | {"backtest_runs": 1}
    with database.rows() as connection:
        (row,) = connection.execute("SELECT id FROM backtest_runs").fetchall()
    # The server notices at once that the connection is gone, but not in the same instant.
    run = next(found for _ in range(1_000) for found in [read_run(database, row["id"])] if found.status == "failed")
    assert run.message == "the process that ran it ended before it was done; launch it again"
    again = run_backtest(database, settings, order(), backtest_id=run.id, now=NOW)
    assert (again.run.status, again.from_store) == ("done", False)


def test_windows_reach_back_to_the_warm_ups_source_as_in_the_pipeline(database: Database, tmp_path: Path) -> None:
    store(database, OTHER, made_minutes(FIRST - 3, 3 + DAYS, seed=3))
    store(database, SYMBOL, made_minutes(FIRST, DAYS))
    strategies = [{"strategy": "above", "parameters": {"period": 44}, "intervals": ["37m"]}]
    settings = user_settings(tmp_path, warmup={SYMBOL: f"{OTHER} until 2016-01-01"}, strategies=strategies)
    chain = Chain(database, build_catalogue(settings), settings.rule)
    with database.arrow() as cursor:
        instruments = [find_instrument(cursor, symbol) for symbol in (OTHER, SYMBOL)]
    for instrument in instruments:
        chain.refresh(instrument, range(FIRST - 3, FIRST + DAYS), NOW)
    request = order(parameters={"period": 44})
    run = run_backtest(database, settings, request, now=NOW).run
    assert run.results is not None
    # Of the 43 bars that lack some of the 44, the first lies across the midnight before, and is not traded.
    assert run.results["warmed"] == 42
    assert "42 decisions saw bars of another venue (warm-up)." in run.results["head"]
    with database.rows() as connection:
        columns = "time, target, input_digest, warmed"
        logged = connection.execute(
            f"SELECT {columns} FROM current_decisions WHERE symbol = %s ORDER BY time", (SYMBOL,)
        ).fetchall()
        ours = connection.execute(
            f"SELECT {columns} FROM decisions WHERE backtest_id = %s ORDER BY time", (run.id,)
        ).fetchall()
    known = {row["time"]: row for row in logged}
    assert len(ours) > 3
    assert all(row == known[row["time"]] for row in ours)

    # Its minutes are among those that the key is made of, and those that no window sees are not.
    day = np.int64(FIRST - 1)
    source = made_minutes(int(day), 1, seed=99)
    store(database, OTHER, source.take(slice(1200, 1201)))
    changed = run_backtest(database, settings, request, now=NOW).run
    assert changed.run_key != run.run_key
    store(database, OTHER, made_minutes(FIRST + 1, 1, seed=99).take(slice(0, 1)))
    assert run_backtest(database, settings, request, now=NOW).run.id == changed.id
