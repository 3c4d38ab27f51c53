"""`health`: an exit code, one line when the database is away, the API's truth as JSON, REPLAY before numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.conftest import REPOSITORY, Run
from btc_pipeline_tests.cli.environment import database_variables
from btc_pipeline_tests.databases import new_database


def collect(database: Database, seconds_ago: int, feed: str = "live") -> None:
    """A collector that was alive just now, and knows of minutes up to so long ago."""
    now = datetime.now(UTC)
    until = now - timedelta(seconds=seconds_ago)
    with database.rows() as connection:
        connection.execute("INSERT INTO instruments VALUES ('BTC', 'HYPERLIQUID', 'BTC', 1, 5, 8)")
        connection.execute(
            "INSERT INTO collector_state (symbol, feed, process, connection, message, started_at, heartbeat_at, "
            "accounted_until) VALUES ('BTC', %s, 'nas/17', 'streaming', 'streaming', %s, %s, %s)",
            (feed, now, now, until),
        )
        connection.execute(
            "INSERT INTO candles VALUES (%s, 'BTC', '1m', 1, 1, 1, 1, 1, NULL, NULL, NULL, 1, 0, 1, true, 'confirmed')",
            (until.replace(second=0, microsecond=0) - timedelta(minutes=1),),
        )


def test_an_empty_database_is_well(run: Run) -> None:
    ended = run("health")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("ok at 20")
    assert "nothing is stored yet" in ended.out


def test_a_live_collector_is_code_0_and_says_what_strategies_wait_for(run: Run, database: Database) -> None:
    collect(database, 10)
    ended = run("health")
    assert (ended.code, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    assert ["BTC", "live"] in lines
    assert ["spool", "empty"] in lines
    (strategy,) = (line for line in lines if line[:2] == ["ma", "37m"])
    assert " ".join(strategy[2:]).startswith("5 of 5 bars missing; first decision due 20")


def test_a_hung_collector_is_code_1_and_a_sentence(run: Run, database: Database) -> None:
    collect(database, 130)
    ended = run("health")
    assert ended.code == 1
    assert ended.out.startswith("degraded at ")
    assert "problem BTC: no minute was accounted for in 2 min" in ended.out
    alone = run("health", "--collector")
    assert alone.code == 1
    assert alone.out.startswith("BTC: no minute was accounted for in 2 min")


def test_the_collector_alone_is_a_line_and_a_code(run: Run, database: Database) -> None:
    never = run("health", "--collector")
    assert (never.code, never.out) == (1, "BTC: was never collected; btc-pipeline up does it\n")
    collect(database, 10)
    alone = run("health", "--collector")
    assert (alone.code, alone.out) == (0, "BTC: streaming\n")


def test_json_is_what_the_api_says(run: Run, database: Database) -> None:
    collect(database, 130)
    ended = run("health", "--json")
    report = json.loads(ended.out)
    assert (ended.code, report["status"], report["feed"]) == (1, "degraded", "live")
    assert report["symbols"][0]["collector"]["healthy"] is False
    assert [one["bars_missing"] for one in report["symbols"][0]["readiness"]] == [5]


def test_replayed_numbers_begin_with_replay(run: Run, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    collect(database, 10, feed="replay")
    monkeypatch.setattr("btc_pipeline.cli.health._database", lambda _: database)
    for arguments in (("health", "--feed", "replay"), ("--feed", "replay", "health"), ("health", "--collector")):
        assert run(*arguments).out.startswith("REPLAY: "), "the choice is for the whole process"
    assert json.loads(run("health", "--json").out)["feed"] == "replay"


def test_a_database_that_is_away_is_one_line_and_code_1(run: Run) -> None:
    ended = run("health", DB_HOST="127.0.0.1", DB_PORT="1")
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("down: the database does not answer (btc_test_")
    assert json.loads(run("health", "--json", DB_PORT="1").out)["status"] == "down"


def test_the_question_starts_no_database(run: Run, tmp_path: Path) -> None:
    ended = run("health", DB_HOST="")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"down: the database in {tmp_path}/data is not running: btc-pipeline up starts it.\n"
    assert not (tmp_path / "data").exists()


def test_a_database_without_a_schema_is_said_and_left_alone(run: Run, server_uri: str) -> None:
    with new_database(server_uri) as empty:
        ended = run("health", **database_variables(empty.uri))
        with empty.rows() as connection:
            tables = connection.execute("SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert (ended.code, tables) == (1, {"n": 0})
    assert ended.err == "down: the database has no schema of this version yet: btc-pipeline up makes it.\n"


def test_a_wrong_feed_is_a_users_mistake(run: Run) -> None:
    assert run("health", "--feed", "reply").mistake == (
        "config: feed: Input should be 'live' or 'replay' (given: 'reply')"
    )
    os.environ.pop("BTC_PIPELINE_FEED")


@pytest.mark.parametrize("command", ["health", "sweep", "backtest"])
def test_ctrl_c_is_one_word_and_code_130(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("btc_pipeline.settings.load_settings", press)
    what = ["--symbol", "BTC", "--start", "2016-01-01", "--strategy", "ma", "--interval", "37m", "--param", "period=5"]
    stopped = run(command, *(what if command != "health" else ()))
    assert (stopped.code, stopped.out, stopped.err) == (130, "", "stopped\n")


def test_ctrl_c_before_the_command_begins_is_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.main.get_command", press)
    stopped = run("health")
    assert (stopped.code, stopped.out, stopped.err) == (130, "", "stopped\n")


def test_the_version_is_told(run: Run) -> None:
    ended = run("--version")
    assert (ended.code, ended.out.split()[0]) == (0, "btc-pipeline")


@pytest.mark.parametrize("module", ["btc_pipeline.cli.main", "btc_pipeline.collector.__main__"])
def test_the_command_and_the_collector_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; heavy = {{'pandas', 'pyarrow', 'dagster', 'duckdb', 'fastapi', 'yoyo'}}"
    code += "; assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
