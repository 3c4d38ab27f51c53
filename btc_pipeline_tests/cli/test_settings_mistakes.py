"""A wrong setting or a database that does not answer: one line, exit code 2, no secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from btc_pipeline_tests.cli.conftest import Run

COMMANDS = (("materialize",), ("db-url",), ("up",), ("exec", "true"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_does_not_answer_is_one_line_without_the_password(run: Run, command: tuple[str, ...]) -> None:
    ports = {
        "BTC_PIPELINE_DAGSTER_PORT": "39011",
        "BTC_PIPELINE_API_PORT": "39012",
        "BTC_PIPELINE_COLLECTOR__METRICS_PORT": "39013",
    }
    ended = run(*command, DB_HOST="127.0.0.1", DB_PORT="1", DB_PASSWORD="hunter2", **ports)
    last = ended.err.splitlines()[-1]
    assert ended.code == 2
    assert last.startswith("error: the database does not answer (btc_")
    assert "127.0.0.1:1" in last
    assert "Connection refused" in last
    assert "Check DB_HOST" in last
    assert "hunter2" not in ended.out + ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("strategies: [{strategy: ma4}]", "config: strategies: strategy 'ma4' is unknown: did you mean ma44?"),
        ("strategies: [{strategy: ma, parameters: {periot: 9}}]", "config: strategies: "),
        ("strategies: [{strategy: ma, parameters: {period: 1}}]", "config: strategies: "),
        ("indicators: {x: {indicator: smaa}}", "config: indicators.x: indicator 'smaa' is unknown: use sma, "),
        ("standard_intervals: [0m]", "config: standard_intervals: interval '0m' is unknown"),
        ("strategys: []", "is no setting. Did you mean strategies?"),
        ("start_date: [1", "line 2, column 1: expected ',' or ']'"),
        ("- a", "not a mapping"),
    ],
)
def test_a_wrong_settings_file_is_one_line(run: Run, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "pipeline.yaml").write_text(text + "\n")
    assert words in run("materialize").mistake


def test_a_settings_file_that_is_not_there_is_said(run: Run) -> None:
    mistake = run("materialize", BTC_PIPELINE_CONFIG="nowhere.yaml").mistake
    assert mistake == "BTC_PIPELINE_CONFIG: there is no file nowhere.yaml."


def test_a_wrong_variable_is_named_with_its_value(run: Run) -> None:
    assert run("materialize", DB_PORT="abc").mistake.startswith("config: DB_PORT: ")
    assert "(given: 'abc')" in run("materialize", DB_PORT="abc").mistake
    assert "lists and mappings are JSON" in run("materialize", BTC_PIPELINE_STRATEGIES="ma44").mistake


def test_exec_names_a_command_that_is_not_there(run: Run) -> None:
    assert run("exec").mistake.startswith("exec needs a command")
    assert run("exec", "no-such-command").mistake.startswith("command 'no-such-command' is not installed")
