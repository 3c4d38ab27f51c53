"""The real command with a database of its own: it outlives the command, other programs reach it, it can be stopped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest

from btc_pipeline_tests.cli.conftest import COMMAND, environment, process
from btc_pipeline_tests.cli.files import lines, write

pytestmark = pytest.mark.stack

SYMBOL = ("--symbol", "BTCUSD.BITFINEX")


def test_from_a_file_to_decisions_that_another_program_reads(data_folder: Path) -> None:
    assert "not running" in process(data_folder, "db", "status").out
    assert process(data_folder, "db", "stop").out.strip().endswith("is not running")
    wrong = process(data_folder, "import-candles", "nowhere.csv", *SYMBOL)
    assert wrong.mistake == "FILE 'nowhere.csv' does not exist."
    assert not (data_folder / "data").exists(), "a mistake starts no database"

    imported = process(data_folder, "import-candles", write(data_folder, lines(2)), *SYMBOL, "--missing", "no-trades")
    assert (imported.code, imported.err) == (0, "")
    made = process(data_folder, "materialize", "--start", "2016-01-01", "--end", "2016-01-03")
    assert made.code == 0, made.err
    assert "decisions_37m" in made.err
    assert "DeprecationWarning" not in made.err

    url = process(data_folder, "db-url")
    assert (url.code, url.err) == (0, "")
    connection = psycopg.connect(url.out.strip())
    row = connection.execute("SELECT count(*) > 70 FROM current_decisions").fetchone()
    assert row == (True,)
    assert "1 connection\n" in process(data_folder, "db", "status").out
    stopped = process(data_folder, "db", "stop")
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    assert stopped.out.strip().endswith("is stopped")
    assert "not running" in process(data_folder, "db", "status").out
    again = process(data_folder, "materialize", "--stale")
    assert again.out.strip() == "2016-01-01 to 2016-01-03: nothing is stale", "the database starts again by itself"


def test_output_into_a_pipe_that_closes_is_no_traceback(data_folder: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{COMMAND}' --help | head -1"],
        check=False,
        env=environment(data_folder),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
