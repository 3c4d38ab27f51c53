"""`materialize`: what runs, what does not have to, and what is refused."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest

from btc_pipeline.cli import history, materializing
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.notebook import load_decisions
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.conftest import Ended, Run
from btc_pipeline_tests.cli.files import lines, write

SYMBOL = "BTCUSD.BITFINEX"
REPORT = re.compile(r"^ {2}(\w+) +(\S+) +([\d,]+) rows; days: ([\d,]+) recomputed, ([\d,]+) written$", re.MULTILINE)

ALTERNATE = """
import numpy as np
from btc_pipeline.strategies import FLAT, LONG, Input, Opinions, Parameter, Strategy

class Alternate(Strategy):
    name = "alternate"
    display_name = "Alternate"
    description = "Long above the average of a few bars."
    parameters = (Parameter("period", int, 3, 2, 50, "bars"),)

    def inputs(self, p):
        return {"average": Input("sma", {"period": p["period"]})}

    def decide(self, view, p):
        above = view.bars.close > view["average"]
        target = np.where(above, LONG, FLAT).astype(np.int8)
        return Opinions(target, np.full(len(target), 0.25), [(above, "close above the average of mine")])
"""


BROKEN = "1 / 0"
FAILED = "strategy 'alternate' failed, alternate.py, line 15: ZeroDivisionError: division by zero"


def written(ended: Ended) -> dict[str, int]:
    """Days written, by asset."""
    assert ended.code == 0, ended
    return {asset: int(days) for asset, _, _, _, days in REPORT.findall(ended.err)}


def recomputed(ended: Ended) -> dict[str, int]:
    assert ended.code == 0, ended
    return {asset: int(days) for asset, _, _, days, _ in REPORT.findall(ended.err)}


def load(run: Run, folder: Path, rows: list[str], symbol: str = SYMBOL) -> None:
    assert run("import-candles", write(folder, rows), "--symbol", symbol).code == 0


def test_import_then_stale_until_nothing_is_and_an_edit_runs_what_rests_on_it(run: Run, tmp_path: Path) -> None:
    rows = lines(3)
    load(run, tmp_path, rows)
    first = run("materialize", "--stale")
    assert written(first) == {
        "candles_1m": 3,
        "candles_37m": 3,
        "candles_other": 3,
        "indicators_37m": 3,
        "decisions_37m": 3,
    }
    assert [line for line in first.out.splitlines() if line.startswith("2016")] == [
        "2016-01-01 to 2016-01-04: candles_1m",
        "2016-01-01 to 2016-01-04: candles_37m, candles_other",
        "2016-01-01 to 2016-01-04: indicators_37m, decisions_37m",
    ]
    assert run("materialize", "--stale").out == "2016-01-01 to 2016-01-04: nothing is stale\n"
    again = run("materialize")
    assert again.out == ("2016-01-01 to 2016-01-04: everything is up to date (inputs, code and stored rows verified)\n")

    # Another volume of one minute: its bars change, averages of closes do not, nor what rests on them.
    at = 1440 + 600
    load(run, tmp_path, [rows[at].rsplit(",", 1)[0] + ",99.5"])
    edited = run("materialize", "--stale")
    assert written(edited) == {
        "candles_1m": 1,
        "candles_37m": 1,
        "candles_other": 1,
        "indicators_37m": 0,
        "decisions_37m": 0,
    }
    # The day after has a bar that crosses midnight, and averages of bars before it; its 5m bars are its own.
    assert recomputed(edited) == {
        "candles_1m": 1,
        "candles_37m": 2,
        "candles_other": 1,
        "indicators_37m": 2,
        "decisions_37m": 2,
    }
    assert run("materialize", "--stale").out == "2016-01-01 to 2016-01-04: nothing is stale\n"


def meanwhile(monkeypatch: pytest.MonkeyPatch, edits: list[Callable[[], object]]) -> None:
    """What happens while the last assets are made, once each time."""
    make = materializing._run

    def make_and_edit(
        settings: Settings, days: range, instruments: Sequence[Instrument], assets: Iterable[str]
    ) -> None:
        names = list(assets)
        make(settings, days, instruments, names)
        if "decisions_37m" in names and edits:
            edits.pop()()

    monkeypatch.setattr(materializing, "_run", make_and_edit)


def test_what_changes_meanwhile_is_made_in_another_pass(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = lines(2)
    load(run, tmp_path, rows)
    edits = [partial(load, run, tmp_path, [rows[1440 + 600].rsplit(",", 1)[0] + f",99.{n}"]) for n in range(6)]
    two = edits[:2]
    meanwhile(monkeypatch, two)
    done = run("materialize", "--stale")
    assert (done.code, two) == (0, [])
    assert run("materialize", "--stale").out == "2016-01-01 to 2016-01-03: nothing is stale\n"
    load(run, tmp_path, [rows[1440 + 600]])
    meanwhile(monkeypatch, edits[2:])
    assert run("materialize", "--stale").mistake == "1 day changed meanwhile: run materialize --stale again."


def test_a_range_and_a_symbol_narrow_what_is_made(run: Run, database: Database, tmp_path: Path) -> None:
    load(run, tmp_path, lines(3))
    load(run, tmp_path, lines(1, first_day=1), "BTCUSDT.BINANCE")
    done = run("materialize", "--start", "2016-01-02", "--end", "2016-01-03", "--symbol", SYMBOL)
    assert set(written(done).values()) == {1}
    assert "BTCUSDT.BINANCE" not in done.out + done.err
    with database.rows() as connection:
        made = connection.execute(
            "SELECT DISTINCT symbol, time::date AS day FROM candles WHERE interval = '5m' ORDER BY 1, 2"
        ).fetchall()
    assert [(row["symbol"], str(row["day"])) for row in made] == [(SYMBOL, "2016-01-02")]


def test_checks_that_did_not_pass_are_said(run: Run, tmp_path: Path) -> None:
    rows = lines(1)
    load(run, tmp_path, rows[:300] + rows[305:])
    done = run("materialize", "--stale")
    assert f"  check candles_1m coverage: {SYMBOL}: 5 minutes missing in 1 gaps" in done.out.splitlines()


def test_a_failing_run_ends_with_code_1_and_its_reason(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("out of [paper]")

    load(run, tmp_path, lines(1))
    monkeypatch.setattr("btc_pipeline.pipeline.chain.refresh_minutes", explode)
    failed = run("materialize", "--stale")
    assert failed.code == 1
    assert "failed: RuntimeError: out of [paper]" in failed.err.splitlines()
    assert "Traceback" not in failed.err
    assert re.search(r"^run [0-9a-f-]{36} in the Dagster UI", failed.err, re.MULTILINE)


def test_ctrl_c_is_one_word_and_code_130(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: object, **__: object) -> None:
        # What is told of a Ctrl-C besides: it reaches every process of the terminal.
        beside.extend(" ".join(child.cmdline()) for child in psutil.Process().children())
        signal.raise_signal(signal.SIGINT)
        time.sleep(20)

    beside: list[str] = []
    load(run, tmp_path, lines(1))
    monkeypatch.setattr("btc_pipeline.pipeline.chain.refresh_minutes", press)
    stopped = run("materialize", "--stale")
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1] == "stopped"
    assert stopped.err.count("stopped") == 1
    assert not [command for command in beside if "dagster" in command]
    assert "Dagster" not in stopped.err.replace("starting Dagster", "")
    assert "failed" not in stopped.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--start", "2016-02-30"], "--start '2016-02-30' is not a date: write 2016-01-31 (UTC)."),
        (["--end", "tomorrow"], "--end 'tomorrow' is not a date"),
        (["--start", "2016-01-03", "--end", "2016-01-01"], "--start 2016-01-03 is not before --end 2016-01-01."),
        (["--start", "2016-01-01", "--end", "2016-01-01"], "--start 2016-01-01 is not before --end 2016-01-01."),
        (["--start", "2014-12-31"], "--start 2014-12-31 is before the first partition, 2015-01-01 (start_date)."),
        (["--start", "2016-03-01"], "--start 2016-03-01 is after the last stored day, 2016-01-01."),
        (["--end", "2015-06-01"], "--end 2015-06-01 is not after the first stored day, 2016-01-01."),
        (["--end", "2999-01-01"], "--end 2999-01-01 is after tomorrow, "),
        (["--symbol", "BTCUSD.BITFINX"], "symbol 'BTCUSD.BITFINX' has no data here. Did you mean BTCUSD.BITFINEX?"),
        (["--symbol", "bitcoin"], "symbol 'bitcoin' is not valid: use BTC "),
        (["--stale", "--start", "2014-12-31"], "--start 2014-12-31 is before the first partition"),
    ],
)
def test_a_mistake_is_one_line(run: Run, tmp_path: Path, options: list[str], words: str) -> None:
    load(run, tmp_path, lines(1))
    assert run("materialize", *options).mistake.startswith(words)


def test_an_empty_database_says_what_to_do_first(run: Run) -> None:
    assert run("materialize").mistake == "nothing is stored yet: btc-pipeline import-candles FILE --symbol NAME.VENUE"
    assert "nothing is stored yet" in run("materialize", "--symbol", SYMBOL).mistake


def test_data_before_the_first_partition_alone_is_said(run: Run, tmp_path: Path) -> None:
    load(run, tmp_path, lines(1))
    mistake = run("materialize", BTC_PIPELINE_START_DATE="2017-01-01").mistake
    assert mistake.startswith("no minutes are stored from 2017-01-01 on; set start_date")


def test_a_users_own_strategy_decides(run: Run, database: Database, tmp_path: Path) -> None:
    (tmp_path / "strategies/alternate.py").write_text(ALTERNATE)
    config = tmp_path / "pipeline.yaml"
    config.write_text(config.read_text() + "  - {strategy: alternate, parameters: {period: 4}, intervals: [37m]}\n")
    load(run, tmp_path, lines(2))
    assert "decisions_37m" in written(run("materialize", "--stale"))
    frame = load_decisions(SYMBOL, "37m", strategy="alternate", database=database)
    assert set(frame["target"].dropna()) == {0, 1}
    assert set(frame["parameters"]) == {'{"period": 4}'}
    assert "close above the average of mine" in set(frame["reasons"])
    # Its code decides, so another code makes its days stale.
    (tmp_path / "strategies/alternate.py").write_text(ALTERNATE.replace("0.25", "0.75"))
    again = run("materialize", "--stale")
    assert set(written(again)) == {"decisions_37m"}
    newest = load_decisions(SYMBOL, "37m", strategy="alternate", database=database)
    assert set(newest["confidence"]) <= {0.0, 0.75}


def failing(run: Run, tmp_path: Path, symbol: str) -> None:
    """A strategy that raises, over a day of minutes."""
    (tmp_path / "strategies/alternate.py").write_text(
        ALTERNATE.replace("        above =", f"        {BROKEN}\n        above =")
    )
    config = tmp_path / "pipeline.yaml"
    config.write_text(config.read_text() + "  - {strategy: alternate, intervals: [37m]}\n")
    load(run, tmp_path, lines(1), symbol)


def test_a_strategy_that_fails_is_told_as_such_with_its_line(run: Run, tmp_path: Path) -> None:
    failing(run, tmp_path, SYMBOL)
    failed = run("materialize", "--stale")
    assert failed.code == 1
    assert f"failed: {FAILED}" in failed.err.splitlines()


def test_a_strategy_that_fails_is_no_good_health(run: Run, database: Database, tmp_path: Path) -> None:
    failing(run, tmp_path, SYMBOL)
    assert run("materialize", "--stale").code == 1
    with database.rows() as connection:
        connection.execute(
            "INSERT INTO collector_state (symbol, feed, process, connection, message, started_at, heartbeat_at, "
            "accounted_until) VALUES (%s, 'live', 'nas/17', 'streaming', 'streaming', now(), now(), now())",
            (SYMBOL,),
        )
    silent = f"problem {SYMBOL}: alternate on 37m has made no decision: the asset decisions_37m fails or waits; "
    assert silent not in run("health").out
    with database.rows() as connection:
        connection.execute("UPDATE candles SET recorded_at = recorded_at - interval '4 minutes' WHERE interval = '37m'")
    ended = run("health")
    assert ended.code == 1
    assert silent in ended.out
    assert ["alternate", "37m", "has", "made", "no"] in [line.split()[:5] for line in ended.out.splitlines()]


@pytest.mark.parametrize(("cause", "code"), [(None, 2), (RuntimeError("out of paper"), 1)])
def test_up_history_says_why_it_cannot_be_made_and_whether_again_would_help(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cause: Exception | None,
    code: int,
) -> None:
    def explode(*_: object, **__: object) -> None:
        assert cause is not None
        raise cause

    failing(run, tmp_path, "BTCUSDT.BINANCE")
    if cause is not None:
        monkeypatch.setattr("btc_pipeline.pipeline.chain.refresh_minutes", explode)
    monkeypatch.setenv("BTC_PIPELINE_SYMBOLS", '["BTCUSDT.BINANCE"]')
    monkeypatch.setattr(history, "wanted", lambda *_: [])
    assert history.main() == code
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("STATE ")]
    why = FAILED if cause is None else "RuntimeError: out of paper"
    assert re.fullmatch(rf"STATE history: {re.escape(why)} \(run [0-9a-f-]{{36}} in the Dagster UI\)", said)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import numpy\ndef broken(:\n", "strategies/mine.py, line 2: cannot be loaded: SyntaxError"),
        ("\n\nx = 1 / 0\n", "strategies/mine.py, line 3: cannot be loaded: ZeroDivisionError"),
        ("x = 1\n", "strategies/mine.py: declares no strategy"),
    ],
)
def test_a_broken_strategy_file_is_named_with_its_line(run: Run, tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "strategies/mine.py").write_text(source)
    assert words in run("materialize").mistake
