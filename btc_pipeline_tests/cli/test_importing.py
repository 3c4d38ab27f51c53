"""`import-candles` as a user sees it. What makes a file wrong is tested with the reader (`importing`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.conftest import Run
from btc_pipeline_tests.cli.files import lines, write

SYMBOL = ("--symbol", "BTCUSD.BITFINEX")


def stored(database: Database) -> int:
    with database.rows() as connection:
        row = connection.execute("SELECT count(*) AS n FROM candles").fetchone()
    assert row is not None
    return int(row["n"])


def test_a_good_file_is_taken_and_the_next_command_is_named(run: Run, database: Database, tmp_path: Path) -> None:
    done = run("import-candles", write(tmp_path, lines(1)), *SYMBOL)
    assert done.code == 0
    assert done.out.splitlines() == [
        "BTCUSD.BITFINEX: 1,440 rows (header), 2016-01-01 00:00 to 2016-01-01 23:59 UTC",
        "  1,440 new, 0 replaced, 0 known already",
        "  0 minutes without trades, 0 minutes missing",
        "next: btc-pipeline materialize --stale",
    ]
    assert stored(database) == 1440


def test_the_same_file_again_changes_nothing(run: Run, database: Database, tmp_path: Path) -> None:
    path = write(tmp_path, lines(1))
    assert run("import-candles", path, *SYMBOL).code == 0
    again = run("import-candles", path, *SYMBOL)
    assert "  0 new, 0 replaced, 1,440 known already" in again.out.splitlines()
    assert "next:" not in again.out


def test_holes_are_what_the_user_says_they_are(run: Run, tmp_path: Path) -> None:
    rows = lines(1)
    path = write(tmp_path, rows[:100] + rows[110:500] + rows[800:])
    assert "  0 minutes without trades, 310 minutes missing" in run("import-candles", path, *SYMBOL).out
    vouched = run("import-candles", path, *SYMBOL, "--missing", "no-trades")
    assert "  10 minutes without trades, 300 minutes missing" in vouched.out
    longer = run("import-candles", path, *SYMBOL, "--missing", "no-trades", "--outage-after", "5h")
    assert "  310 minutes without trades, 0 minutes missing" in longer.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nowhere.csv", *SYMBOL), "FILE 'nowhere.csv' does not exist."),
        ((".", *SYMBOL), "FILE '.' is not a file."),
        (("candles.csv", *SYMBOL, "--outage-after", "3x"), "--outage-after '3x' is not a length of time: write 180m"),
        (("candles.csv", *SYMBOL, "--outage-after", "-5m"), "--outage-after '-5m' is not a length of time"),
        (
            ("candles.csv", *SYMBOL, "--layout", "bitfinx"),
            "layout 'bitfinx' is not known; did you mean bitfinex? Layouts are: auto, ",
        ),
        (("candles.csv", *SYMBOL, "--layout", "bitfinex"), "candles.csv: row 1"),
        (("candles.csv", "--symbol", "btc"), "symbol 'btc' is not valid: use BTC "),
        (("candles.csv", "--symbol", "[red]x"), "symbol '[red]x' is not valid"),
        (("pipeline.yaml", *SYMBOL), "pipeline.yaml: "),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    run: Run, database: Database, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    write(tmp_path, lines(1))
    assert run("import-candles", *options).mistake.startswith(words)
    assert stored(database) == 0


def test_a_wrong_row_is_named_and_refuses_the_file(run: Run, database: Database, tmp_path: Path) -> None:
    rows = lines(1)
    rows[4] = rows[4].replace(".5", ".x")
    path = write(tmp_path, rows)
    mistake = run("import-candles", path, *SYMBOL).mistake
    assert mistake.startswith("candles.csv: row 6, column volume: ")
    assert "--skip-invalid" in mistake
    assert stored(database) == 0

    skipped = run("import-candles", path, *SYMBOL, "--skip-invalid")
    assert (skipped.code, stored(database)) == (0, 1439)
    assert "1 wrong rows left out; see data_quality" in skipped.err
    with database.rows() as connection:
        row = connection.execute("SELECT payload FROM data_quality WHERE kind = 'rejected_row'").fetchone()
    assert row is not None
    assert json.loads(json.dumps(row["payload"]))["row"] == 6


def test_typers_own_complaints_are_no_tracebacks(run: Run) -> None:
    for arguments in (["import-candles", "x.csv"], ["nonsense"], ["materialize", "--nonsense"]):
        ended = run(*arguments)
        assert ended.code == 2
        assert "Traceback" not in ended.err
