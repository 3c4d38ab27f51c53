"""`sweep`: what it prints, writes and refuses; its rows are those of single runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.conftest import Run
from btc_pipeline_tests.defs.worlds import FIRST, SYMBOL, made_minutes, store

WHAT = ("--symbol", SYMBOL, "--interval", "37m", "--start", "2016-01-01", "--end", "2016-02-20")
DAYS = 50
CROSS = """
import numpy as np
from btc_pipeline.errors import UserError
from btc_pipeline.strategies import FLAT, LONG, Input, Opinions, Parameter, Strategy

class Cross(Strategy):
    name = "cross"
    display_name = "Cross"
    description = "Long while the fast average is above the slow one."
    parameters = (Parameter("fast", int, 5, 2, 100, "bars"), Parameter("slow", int, 20, 2, 200, "bars"))

    def inputs(self, p):
        if p["fast"] >= p["slow"]:
            raise UserError("cross: fast is not below slow.", field="fast")
        return {name: Input("sma", {"period": p[name]}) for name in ("fast", "slow")}

    def decide(self, view, p):
        up = view["fast"] > view["slow"]
        return Opinions(np.where(up, LONG, FLAT).astype(np.int8), np.ones(len(up)), [(up, "up")])
"""


@pytest.fixture
def world(database: Database, own_settings: Path) -> None:
    store(database, SYMBOL, made_minutes(FIRST, DAYS))


@pytest.fixture
def cross(own_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own_settings / "strategies_of_a_user"
    folder.mkdir()
    (folder / "cross.py").write_text(CROSS)
    monkeypatch.setenv("BTC_PIPELINE_STRATEGIES_FOLDER", str(folder))


def test_rows_are_ranked_in_sample_with_out_of_sample_beside(world: None, run: Run) -> None:
    ended = run("sweep", *WHAT, "--param", "period=5..30", "--rank", "total_return", "--top", 3)
    assert ended.code == 0, ended
    assert "ranked by total return in-sample, 2016-01-01 to 2016-02-03; out-of-sample" in ended.out
    assert "is 2016-02-03 to 2016-02-20" in ended.out
    assert "Funding is not included" in ended.out
    table = ended.out[ended.out.index("period  ") :].strip().splitlines()
    assert len(table) == 4


def test_every_row_is_the_single_backtest(world: None, run: Run) -> None:
    found = json.loads(run("sweep", *WHAT, "--param", "period=5,20,44", "--rank", "total_return", "--json").out)
    assert len(found["rows"]) == 3
    in_sample = [row["in_sample"]["total_return"] for row in found["rows"]]
    assert in_sample == sorted(in_sample, reverse=True)
    for side, days in (("all_days", found), ("in_sample", found["split"]["in_sample"])):
        for row in found["rows"]:
            one = run(
                "backtest", "--symbol", SYMBOL, "--interval", "37m", "--start", days["start"], "--end", days["end"],
                "--strategy", "ma", "--param", f"period={row['parameters']['period']}", "--json",
            )  # fmt: skip
            assert json.loads(one.out)["results"]["metrics"] == row[side]


def test_walk_forward_and_files(world: None, cross: None, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    ended = run(
        "sweep", *WHAT, "--strategy", "cross", "--param", "fast=2..20:6", "--param", "slow=8,20,50", "--rank",
        "total_return", "--walk-forward", "20d/10d", "--heatmap", "--csv", file,
    )  # fmt: skip
    assert ended.code == 0, ended
    assert "4 combinations are left out, as the strategy asks for: cross: fast is not below slow." in ended.out
    assert "total_return in-sample, fast down, slow across" in ended.out
    windows = [line for line in ended.out.splitlines() if "fast=" in line and "slow=" in line]
    assert len(windows) == 1 + 3
    rows = list(csv.DictReader(file.open()))
    assert len(rows) == 8
    assert {row["fast"] for row in rows} == {"2", "8", "14", "20"}
    cells = list(csv.reader((tmp_path / "rows.csv.heatmap.csv").open()))
    assert cells[0] == ["fast/slow", "8", "20", "50"]
    by_pair = {(row["fast"], row["slow"]): row["in_sample.total_return"] for row in rows}
    for line in cells[1:]:
        for slow, value in zip(cells[0][1:], line[1:], strict=True):
            assert value == by_pair.get((line[0], slow), "")


def test_a_last_window_of_fewer_days_is_said(world: None, run: Run) -> None:
    what = ("sweep", *WHAT, "--param", "period=5,9", "--rank", "total_return", "--walk-forward")
    note = "The last walk-forward window trades 6 days instead of 12: the range ends there."
    ended = run(*what, "20d/12d")
    assert f"note {note}" in ended.out
    _, *traded = [line for line in ended.out.splitlines() if "period=" in line]
    assert ["2016-02-14 to 2016-02-20 (6 of 12 days)" in line for line in traded] == [False, False, True]
    found = json.loads(run(*what, "20d/12d", "--json").out)
    assert note in found["head"]
    assert [window["test_days"] for window in found["walk_forward"]["windows"]] == [12, 12, 6]
    only = json.loads(run(*what, "20d/60d", "--json").out)
    assert "The last walk-forward window trades 30 days instead of 60: the range ends there." in only["head"]
    even = run(*what, "20d/10d").out
    assert "instead of" not in even
    assert "days)" not in even


def test_without_room_for_a_split_the_head_says_so(world: None, run: Run) -> None:
    ended = run(
        "sweep", "--symbol", SYMBOL, "--start", "2016-01-02", "--end", "2016-01-03", "--param", "period=5..9",
        "--rank", "total_return",
    )  # fmt: skip
    assert "No out-of-sample result stands beside these" in ended.out
    assert "ranked by total return of all days" in ended.out


def test_an_undefined_rank_is_said(world: None, run: Run) -> None:
    ended = run("sweep", "--symbol", SYMBOL, "--start", "2016-01-02", "--end", "2016-01-09", "--param", "period=5..9")
    assert "sharpe is undefined for every set" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--param", "period=4..9"), "period 4 is not valid: use a whole number from 5 to 500"),
        (("--param", "perod=5..9"), "Did you mean period"),
        (("--param", "period"), "--param 'period' is not NAME=VALUES"),
        (("--param", "period=5..9", "--rank", "sharp"), "--rank 'sharp' is unknown"),
        (("--param", "period=5..9", "--strategy", "mma"), "--strategy 'mma' is unknown: did you mean ma?"),
        (("--param", "period=5..9", "--walk-forward", "20/10"), "--walk-forward '20/10' is not valid: write 180d/60d"),
        (("--param", "period=5..9", "--walk-forward", "60d/10d"), "--walk-forward 60d/10d does not fit into 50 days"),
        (
            ("--param", "period=5..9", "--walk-forward", "20d/10d"),
            "--walk-forward over 20 days: sharpe is undefined below 30",
        ),
        (("--param", "period=5..9", "--heatmap"), "--heatmap needs two parameters that vary: there is period."),
        (("--param", "period=5..9", "--leverage", "50"), "--leverage 50.0 is not valid"),
        (("--param", "period=5..9", "--csv", "/nowhere/at/all.csv"), "cannot be written: use a folder that is there"),
    ],
)
def test_mistakes_are_one_line(world: None, run: Run, arguments: tuple[str, ...], words: str) -> None:
    assert words in run("sweep", *WHAT, *arguments).mistake
