"""`db`: what its commands say and do about a server of one's own, and beside a broken strategy."""

from __future__ import annotations

from pathlib import Path

from btc_pipeline_tests.cli.conftest import Run


def test_a_server_that_answers_is_code_0_and_one_that_does_not_is_code_1(run: Run) -> None:
    answers = run("db", "status")
    assert (answers.code, answers.err) == (0, "")
    assert answers.out.endswith("(DB_HOST is set): answers\n")
    away = run("db", "status", DB_HOST="127.0.0.1", DB_PORT="1")
    assert (away.code, away.out) == (1, "")
    assert away.err.startswith("down: the database does not answer (btc_test_")


def test_a_broken_strategy_file_hinders_nobody_from_stopping_the_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "strategies/mine.py").write_text("import numpy\ndef broken(:\n")
    assert "cannot be loaded" in run("materialize").mistake
    stopped = run("db", "stop", DB_HOST="")
    assert (stopped.code, stopped.out) == (0, f"the database in {tmp_path}/data is not running\n")


def test_a_replays_database_is_another_one_and_says_so(run: Run, tmp_path: Path) -> None:
    status = run("--feed", "replay", "db", "status")
    folder = f"{tmp_path}/data-replay"
    assert status.out.splitlines() == [
        f"REPLAY: a local exchange in place of the real one; data in {folder}",
        f"embedded server in {folder}: not running",
    ]
