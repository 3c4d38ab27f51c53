"""`verify lookahead` and `verify parity` as a user sees them: what holds, what does not and where, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.conftest import Run
from btc_pipeline_tests.cli.files import lines, write

SYMBOL = ("--symbol", "BTCUSD.BITFINEX")
PEEKING = """
import numpy as np
from btc_pipeline.strategies import LONG, SHORT, Opinions, Strategy

class Peeking(Strategy):
    name, display_name, description = "peeking", "Peeking", "Sees the next close."

    def inputs(self, p):
        return {}

    def decide(self, view, p):
        later = np.append(view.bars.close[1:], view.bars.close[-1:])
        target = np.where(later > view.bars.close, LONG, SHORT).astype(np.int8)
        return Opinions(target, np.ones(len(target)), [])
"""


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Run:
    """The command over three days of minutes."""
    assert run("import-candles", write(tmp_path, lines(3)), *SYMBOL).code == 0
    return run


def test_an_honest_strategy_holds(filled: Run) -> None:
    ended = filled("verify", "lookahead", "--strategy", "ma", "--param", "period=5", *SYMBOL)
    assert ended.code == 0, ended
    head, compared, verdict = ended.out.splitlines()
    assert head.startswith("BTCUSD.BITFINEX 37m ma period=5, 2016-01-01 to 2016-01-04")
    assert compared == (
        "117 of 117 bars decided again from their look-back alone, 10 from all that had closed by then, 8 with another "
        "future"
    )
    assert verdict == "holds: no decision rests on what came after it"
    some = filled("verify", "lookahead", "--strategy", "ma44", *SYMBOL, "--interval", "5m", "--cuts", "20")
    assert some.code == 0
    assert "20 of 864 bars" in some.out


def test_a_leak_is_shown_with_both_values_and_exit_code_1(filled: Run) -> None:
    Path("strategies/peeking.py").write_text(PEEKING)
    ended = filled("verify", "lookahead", "--strategy", "peeking", *SYMBOL)
    assert ended.code == 1
    _, compared, fault, where, whole, part = ended.out.splitlines()
    assert compared == "30 of 117 bars decided again from their look-back alone, 1 from all that had closed by then"
    assert fault.startswith("looks ahead")
    assert where.startswith("  first at the bar that opens 2016-01-01")
    assert where.endswith("; at 16 of the 30 bars looked at")
    assert {whole, part} == {"  target: 1 from all data", "  target: -1 then"}


def test_a_strategy_that_forgets_what_it_said_is_not_cut(filled: Run) -> None:
    told = PEEKING.replace("later > view.bars.close", "np.random.default_rng().random(len(later)) > 0.5")
    Path("strategies/peeking.py").write_text(told)
    ended = filled("verify", "lookahead", "--strategy", "peeking", *SYMBOL)
    assert ended.code == 1
    _, compared, fault, *_ = ended.out.splitlines()
    assert compared == "117 bars, decided all at once"
    assert fault.startswith("does not repeat itself")


def test_a_strategy_that_fails_is_shown_with_its_line(filled: Run) -> None:
    Path("strategies/peeking.py").write_text(PEEKING.replace("later = ", "later = {}[7]  # "))
    asked = ("--strategy", "peeking", *SYMBOL)
    words = "error: strategy 'peeking' failed, peeking.py, line 12: KeyError: 7\n"
    for command in (("backtest", "--start", "2016-01-01"), ("sweep", "--start", "2016-01-01", "--param", "x=1..2")):
        ended = filled(*command, *asked)
        assert (ended.code, ended.err) == (2, words) or "parameter 'x' is unknown" in ended.err
    ended = filled("verify", "lookahead", *asked)
    assert ended.code == 1
    assert ended.out.splitlines()[2] == "fails on a part of the data"
    assert ended.out.splitlines()[-1] == "  answer: KeyError: 7 then"


def test_both_proofs_speak_json(filled: Run) -> None:
    Path("strategies/peeking.py").write_text(PEEKING)
    for strategy, code in (("ma", 0), ("peeking", 1)):
        ended = filled("verify", "lookahead", "--strategy", strategy, *SYMBOL, "--json")
        proof = json.loads(ended.out)
        assert (ended.code, proof["holds"]) == (code, code == 0)
        assert (proof["strategy"], proof["interval"], proof["start"]) == (strategy, "37m", "2016-01-01")
        assert (proof["difference"] is None) == proof["holds"]
    assert proof["difference"]["fault"] == "look_ahead"
    assert proof["difference"]["time"].startswith("2016-01-01T")
    assert {proof["difference"]["whole"], proof["difference"]["part"]} == {1, -1}

    assert filled("materialize").code == 0
    parity = json.loads(filled("verify", "parity", "--json").out)
    assert parity["compared"] == parity["logged"] > 0
    assert (parity["unexplained"], parity["causes"], parity["differences"]) == (0, {}, [])


def test_mistakes_are_said_in_a_line(filled: Run) -> None:
    for wrong, words in (
        (("--strategy", "peekin"), "--strategy 'peekin' is unknown"),
        (("--strategy", "ma", "--param", "period=4"), "period"),
        (("--strategy", "ma", "--interval", "38x"), "--interval '38x' is unknown"),
        (("--strategy", "ma", "--start", "2020-01-01"), "--start 2020-01-01: BTCUSD.BITFINEX has no minutes"),
    ):
        ended = filled("verify", "lookahead", *SYMBOL, *wrong)
        assert ended.code == 2, ended
        assert words in ended.err
        assert len(ended.err.strip().splitlines()) == 1


def test_parity_holds_and_an_edited_log_does_not(filled: Run, database: Database) -> None:
    nothing = filled("verify", "parity", *SYMBOL)
    assert nothing.code == 2
    assert nothing.err == "error: nothing is logged in that range: btc-pipeline materialize makes decisions.\n"
    assert filled("materialize").code == 0
    ended = filled("verify", "parity")
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == "equal: every one, to the bit"
    with database.rows() as connection:
        connection.execute("UPDATE decisions SET target = -target WHERE target = 1")
    ended = filled("verify", "parity", "--interval", "37m", "--limit", "1")
    assert ended.code == 1
    assert "unexplained" in ended.out
    assert "target -1 logged, 1 now: unexplained (the day counts as up to date)" in ended.out
    assert ended.out.splitlines()[-1].endswith("more: --limit")
    told = filled("verify", "parity", "--interval", "37m", "--limit", "1", "--json")
    found = json.loads(told.out)
    assert told.code == 1
    assert found["unexplained"] == found["causes"]["unexplained"] > 1
    (one,) = found["differences"]
    assert (one["field"], one["logged"], one["made"], one["cause"]) == ("target", -1, 1, "unexplained")
    none = filled("verify", "parity", "--live")
    assert none.code == 2
    assert "nothing is logged in that range" in none.err
