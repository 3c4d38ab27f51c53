"""`backtest` and `backtests` as a user sees them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from btc_pipeline.cli.backtest_report import months_table, trades_table
from btc_pipeline.cli.options import as_options
from btc_pipeline.storage.backtests import NewRun, add_run, fail_run
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.conftest import Run
from btc_pipeline_tests.cli.files import lines, write

SYMBOL = ("--symbol", "BTCUSD.BITFINEX")
ORDER = (*SYMBOL, "--start", "2016-01-01", "--strategy", "ma", "--param", "period=5")


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Run:
    """The command over three days of minutes."""
    assert run("import-candles", write(tmp_path, lines(3)), *SYMBOL).code == 0
    return run


def stored(run: Run, *arguments: str) -> Any:
    ended = run(*arguments, "--json")
    assert ended.code == 0, ended
    return json.loads(ended.out)


def test_a_run_is_reported_stored_and_then_answered_from_the_store(filled: Run) -> None:
    first = filled("backtest", *ORDER, "--interval", "37m")
    assert first.code == 0, first
    head = first.out.splitlines()
    assert head[0] == "BTCUSD.BITFINEX 37m ma period=5, 2016-01-01 to 2016-01-04"
    assert "from the store" not in head[1]
    assert "note Funding is not included: no history of it is known." in first.out
    for words in (
        "total return",
        "max drawdown",
        "buy and hold",
        "slippage 10 bps, the stress value",
        "break-even cost a side",
        "2016",
    ):
        assert words in first.out
    again = filled("backtest", *ORDER, "--intervals", "37m")
    assert again.out.splitlines()[1].endswith("(answered from the store: nothing had changed)")
    assert len(stored(filled, "backtests", "list")) == 1


def test_json_is_the_whole_run(filled: Run) -> None:
    run = stored(filled, "backtest", *ORDER)
    assert (run["status"], run["from_store"], run["configuration"]["parameters"]) == ("done", False, {"period": 5})
    assert run["results"]["metrics"]["trades"] > 10
    assert stored(filled, "backtest", *ORDER)["from_store"]
    assert stored(filled, "backtest", *ORDER[:-1], "period=0.5e1")["from_store"]
    both = stored(filled, "backtest", *ORDER, "--intervals", "37m,1h,60m,37m")
    assert [(one["interval"], one["from_store"]) for one in both] == [("37m", True), ("1h", False)]


def test_a_start_before_the_first_minute_is_said(filled: Run) -> None:
    said = "--start 2014-05-01: the minutes begin on 2016-01-01, and so does this\n"
    early = (*SYMBOL, "--start", "2014-05-01", "--strategy", "ma", "--param", "period=5..7")
    assert filled("sweep", *early).err == said
    assert filled("backtest", *early[:-1], "period=5").err == said
    assert filled("backtest", *early[:-1], "period=5", "--json").err == said
    assert filled("backtest", *ORDER).err == ""


def test_account_options_reach_the_account(filled: Run) -> None:
    options = {
        "--capital": "500",
        "--size": "2",
        "--leverage": "3",
        "--direction": "long",
        "--stop": "0.02",
        "--target": "0.05",
        "--trailing": "0.03",
        "--slippage-bps": "1",
        "--fee-bps": "0",
    }
    run = stored(filled, "backtest", *ORDER, *(text for pair in options.items() for text in pair))
    asked = run["configuration"]
    names = ("capital", "size", "leverage", "direction", "stop", "target", "trailing", "slippage_bps", "taker_fee_bps")
    assert [asked[name] for name in names] == [500, 2, 3, "long", 0.02, 0.05, 0.03, 1, 0]
    assert run["results"]["metrics"]["fees"] == 0
    assert isinstance(run["results"]["metrics"]["trades"], int)
    assert run["results"]["slippage_bps"] == 1
    trades = stored(filled, "backtests", "trades", run["id"])
    assert {trade["side"] for trade in trades} == {1}
    assert len({trade["reason"] for trade in trades}) > 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((*ORDER, "--strategy", "mb"), "--strategy 'mb' is unknown: did you mean ma"),
        ((*ORDER, "--param", "period=6"), "--param period is given twice."),
        ((*SYMBOL, "--start", "2016-01-01", "--param", "period"), "--param 'period' is not NAME=NUMBER"),
        ((*SYMBOL, "--start", "2016-01-01", "--param", "period=x"), "--param 'period=x': 'x' is not a number."),
        (
            (*SYMBOL, "--start", "2016-01-01", "--strategy", "ma", "--param", "period=501"),
            "strategy ma: period 501 is ",
        ),
        (
            (*SYMBOL, "--start", "2016-01-01", "--strategy", "ma", "--param", "perid=5"),
            "strategy ma: parameter 'perid'",
        ),
        (
            (*ORDER, "--end", "2015-01-01"),
            "--start 2016-01-01 is not before --end 2015-01-01: the end is the day after the last.",
        ),
        ((*ORDER, "--start", "1.1.2016"), "--start '1.1.2016' is not a date: write 2016-01-31"),
        ((*ORDER, "--capital", "0"), "--capital 0.0 is not valid"),
        ((*ORDER, "--leverage", "50"), "--leverage 50.0 is not valid: give one above 0, 40 at most."),
        ((*ORDER, "--size", "2"), "--size 2 is above --leverage 1: raise --leverage (at most 40)."),
        ((*ORDER, "--size", "1", "--notional", "9"), "--notional 9 and --size 1 exclude each other: give one of them."),
        (
            (*ORDER, "--notional", "20000"),
            "--notional 20000 is above --leverage 1 x --capital 10000: use 10000 at most, or raise --leverage (at ",
        ),
        ((*ORDER, "--fee-bps", "-1"), "--fee-bps -1.0 is not valid: give one from 0 to 1,000."),
        ((*ORDER, "--slippage-bps", "nan"), "--slippage-bps nan is not valid: give one from 0 to 1,000."),
        ((*ORDER, "--stop", "5"), "--stop 5.0 is not valid: give one above 0, 1 at most, or 0 for none."),
        (
            (*SYMBOL, "--start", "2014-01-01", "--end", "2016-01-04", "--interval", "1M"),
            (
                "--start 2014-01-01: no bar of 1M opens and closes from 2016-01-01, where its minutes begin, to "
                "--end 2016-01-04: use a longer range."
            ),
        ),
        ((*ORDER, "--interval", "38x"), "--interval '38x' is unknown"),
        ((*ORDER, "--direction", "up"), "--direction 'up' is not valid"),
        (
            (*SYMBOL, "--start", "2017-01-01"),
            "--start 2017-01-01: BTCUSD.BITFINEX has no minutes from then on; there are ",
        ),
        (("--start", "2016-01-01"), "--symbol 'BTC' has no data here"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_stored(filled: Run, options: tuple[str, ...], words: str) -> None:
    assert filled("backtest", *options).mistake.startswith(words)
    assert stored(filled, "backtests", "list") == []


def test_a_failed_run_is_shown_with_its_words_and_exit_code_1(filled: Run, database: Database) -> None:
    with database.rows() as connection:
        run = add_run(
            connection, NewRun("BTCUSD.BITFINEX", "37m", "ma", stored(filled, "backtest", *ORDER)["configuration"])
        )
    waiting = filled("backtests", "show", run)
    assert (waiting.code, waiting.out.splitlines()[-1]) == (0, "  queued")
    fail_run(database, run, "the venue has no such day")
    failed = filled("backtests", "show", run)
    assert failed.code == 1
    assert failed.out.splitlines()[-2:] == ["  failed", "  the venue has no such day"]
    told = filled("backtests", "show", run, "--json")
    assert (told.code, json.loads(told.out)["message"]) == (1, "the venue has no such day")


@pytest.mark.parametrize("what", ["trades", "equity", "decisions"])
def test_a_run_that_is_not_done_says_why_there_is_nothing_of_it(
    filled: Run, database: Database, tmp_path: Path, what: str
) -> None:
    with database.rows() as connection:
        run = add_run(connection, NewRun("BTCUSD.BITFINEX", "37m", "ma", {}))
    waiting = f"backtest {run} is queued: it has trades, equity and decisions when it is done."
    assert filled("backtests", what, run).mistake == waiting
    fail_run(database, run, "the venue has no such day")
    failed = f"backtest {run} failed, and nothing of it is kept: the venue has no such day"
    for options in ((), ("--json",), ("--csv", tmp_path / "x.csv")):
        assert filled("backtests", what, run, *options).mistake == failed
    assert not (tmp_path / "x.csv").exists()


def test_runs_that_are_not_done_are_listed_and_compared_as_what_they_are(filled: Run, database: Database) -> None:
    done = stored(filled, "backtest", *ORDER)
    with database.rows() as connection:
        new = NewRun("BTCUSD.BITFINEX", "37m", "ma", done["configuration"])
        queued, failed = add_run(connection, new), add_run(connection, new)
    fail_run(database, failed, "the venue has no such day")
    for status, run in (("done", done["id"]), ("queued", str(queued)), ("failed", str(failed))):
        assert [one["id"] for one in stored(filled, "backtests", "list", "--status", status)] == [run]
    assert stored(filled, "backtests", "list", "--status", "failed", "--symbol", "BTC") == []
    assert filled("backtests", "list", "--status", "running").out.startswith("there are none of that")
    assert filled("backtests", "list", "--status", "fail").mistake == "--status 'fail' is unknown: did you mean failed?"

    compared = filled("backtests", "compare", done["id"], queued, failed, COLUMNS="200").out
    assert f"{str(queued)[:8]} (queued)" in compared
    assert f"{str(failed)[:8]} (failed)" in compared
    assert f"{done['id'][:8]} (" not in compared


def test_several_runs_are_deleted_or_none(filled: Run) -> None:
    runs = [stored(filled, "backtest", *ORDER, "--fee-bps", fee)["id"] for fee in range(3)]
    assert "is unknown" in filled("backtests", "delete", runs[0], "00000000").mistake
    assert len(stored(filled, "backtests", "list")) == 3
    deleted = filled("backtests", "delete", runs[0][:8], runs[1], runs[0])
    assert deleted.out == f"{runs[0]} is deleted\n{runs[1]} is deleted\n"
    assert [run["id"] for run in stored(filled, "backtests", "list")] == [runs[2]]


def test_trades_read_as_in_the_report(filled: Run) -> None:
    run = stored(filled, "backtest", *ORDER)["id"]
    last = filled("backtest", *ORDER).out.splitlines()[-4].split()
    assert last[1] == "short"
    assert last in [line.split() for line in filled("backtests", "trades", run).out.splitlines()]


def printed(table: Table) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_prices_have_six_digits_and_months_no_signed_nothing() -> None:
    time = datetime(2016, 1, 1, tzinfo=UTC)
    prices = {61234.5678: "61,234.57", 245.25500999997: "245.255", 0.1234564: "0.123456", 0.00001234: "0.0000123400"}
    for price, shown in prices.items():
        trade = {"number": 1, "side": 1, "entry_time": time, "exit_time": time, "quantity": 1.0, "fees": 0.0}
        rest = {"entry_price": price, "exit_price": price, "profit": 0.0, "reason": "signal"}
        assert printed(trades_table([trade | rest], "trade")).split().count(shown) == 2
    values = [-0.0004, 0.0004, 0.0, -0.0006, 0.123]
    months = [{"year": 2016, "month": month, "value": value} for month, value in enumerate(values, 1)]
    assert printed(months_table(months)).split()[-6:] == ["2016", "0.0", "0.0", "0.0", "-0.1", "+12.3"]


def test_an_exit_of_0_is_none(filled: Run) -> None:
    none = stored(filled, "backtest", *ORDER, "--stop", "0", "--target", "0", "--trailing", "0")
    assert stored(filled, "backtest", *ORDER)["id"] == none["id"]
    assert [none["configuration"][name] for name in ("stop", "target", "trailing")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "stop 2.0 is not valid: give one above 0, 1 at most.",
            "--stop 2.0 is not valid: give one above 0, 1 at most.",
        ),
        ("strategy mine: size 7 is not valid: use 1 to 5.", "strategy mine: size 7 is not valid: use 1 to 5."),
        ("strategy ma: parameter 'perid' is unknown", "strategy ma: parameter 'perid' is unknown"),
        ("walk-forward over 20 days: sharpe", "--walk-forward over 20 days: sharpe"),
        ("capital 'x' is not a number. end 5 is not a date", "--capital 'x' is not a number. --end 5 is not a date"),
        ("the stop of the strategy is its own", "the stop of the strategy is its own"),
    ],
)
def test_messages_name_options_where_they_name_fields(message: str, words: str) -> None:
    assert as_options(message) == words


@pytest.mark.parametrize("command", [("backtest",), ("sweep",), ("verify", "lookahead")])
def test_help_says_defaults_in_words(run: Run, command: tuple[str, ...]) -> None:
    shown = " ".join(run(*command, "--help", COLUMNS="200").out.split())
    assert "[default: (" not in shown
    assert "<str>" not in shown
    if command != ("verify", "lookahead"):
        for words in ("10000 by default", "0: none; by default the strategy's own", "by default of the venue's table"):
            assert words in shown


def test_a_strategy_of_the_users_own_comes_with_the_command_that_proves_it(filled: Run) -> None:
    Path("strategies/own.py").write_text(
        "from btc_pipeline.strategies.moving_average import MovingAverage\n"
        "class Own(MovingAverage):\n    name = 'own'\n"
    )
    last = "to prove that it does not look ahead: btc-pipeline verify lookahead --symbol BTCUSD.BITFINEX --interval 37m"
    asked = (*SYMBOL, "--start", "2016-01-01", "--param", "period=7")
    assert (
        filled("backtest", *asked, "--strategy", "own").out.splitlines()[-1]
        == f"{last} --strategy own --param period=7"
    )
    assert "to prove" not in filled("backtest", *asked, "--strategy", "ma").out


def test_a_file_of_a_run_without_trades_has_the_header(filled: Run, tmp_path: Path) -> None:
    asked = (*SYMBOL, "--start", "2016-01-01", "--strategy", "ma", "--interval", "1d", "--param", "period=200")
    run = stored(filled, "backtest", *asked)["id"]
    assert filled("backtests", "trades", run, "--csv", tmp_path / "x.csv").out.startswith("0 rows in ")
    assert (tmp_path / "x.csv").read_text().startswith('"number","entry_time",')


def test_stored_runs_are_shown_compared_written_and_deleted(filled: Run, tmp_path: Path, database: Database) -> None:
    one = stored(filled, "backtest", *ORDER)["id"]
    other = stored(filled, "backtest", *ORDER, "--direction", "long")["id"]
    listed = filled("backtests", "list").out
    assert listed.index(other) < listed.index(one)
    assert "BTCUSD.BITFINEX 37m ma period=5" in filled("backtests", "show", one).out
    compared = filled("backtests", "compare", one, other).out
    assert one[:8] in compared
    assert "sharpe" in compared

    for what in ("trades", "equity", "decisions"):
        path = tmp_path / f"{what}.csv"
        rows = stored(filled, "backtests", what, one)
        assert filled("backtests", what, one, "--csv", path).out.startswith(f"{len(rows):,} rows in ")
        with path.open() as file:
            assert len(list(csv.DictReader(file))) == len(rows)
        shown = filled("backtests", what, one).out.splitlines()
        assert len(shown) > len(rows)

    assert filled("backtests", "show", one[:8].upper()).out == filled("backtests", "show", one).out
    assert stored(filled, "backtests", "trades", one[:13]) == stored(filled, "backtests", "trades", one)
    assert filled("backtests", "compare", one[:8], other[:10]).out == compared
    assert filled("backtests", "show", "00000000").mistake.startswith("backtest '00000000' is unknown")
    assert filled("backtests", "show", one[:7]).mistake.startswith(f"id {one[:7]!r} is not an id of backtests")

    assert filled("backtests", "delete", one[:8]).out == f"{one} is deleted\n"
    assert [run["id"] for run in stored(filled, "backtests", "list")] == [other]
    assert filled("backtests", "show", one).mistake.startswith(f"backtest {one!r} is unknown")
    for ids in ((other,), (other, other[:8])):
        assert filled("backtests", "compare", *ids).mistake.startswith("compare takes two different ids or more")
    assert filled("backtests", "show", "x").mistake.startswith("id 'x' is not an id of backtests, such as ")
    assert filled("backtests", "list", "--symbol", "BTC").out.startswith("there are none")
    assert filled("backtests", "list", "--symbol", "btc").mistake.startswith("--symbol 'btc' is not valid")
    nowhere = filled("backtests", "trades", other, "--csv", tmp_path / "nowhere" / "x.csv")
    assert "cannot be written" in nowhere.mistake
