"""The exchange as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from btc_pipeline.cli.replaying import replay_exchange
from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay import FaultKind, running
from btc_pipeline.exchanges.replay.running import At, ReplayPlan, run

FIRST = 1_679_097_600 // 60
COMMAND = "import typer; from btc_pipeline.cli.replaying import replay_exchange as f; typer.run(f)"
MODULES = (
    "import sys, atexit; atexit.register(lambda: print('heavy', sorted({'pandas', 'pyarrow'} & set(sys.modules))));"
)
LIGHT = f"{MODULES} import runpy; runpy.run_module('btc_pipeline.exchanges.replay', run_name='__main__')"


@contextmanager
def process(code: str, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A running exchange, and the lines that it said until it listened."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as child:
        lines: list[str] = []
        try:
            assert child.stdout is not None
            for line in child.stdout:
                lines.append(line.rstrip())
                if "Ctrl-C" in line:
                    break
            yield child, lines
        finally:
            child.kill()


def said(lines: list[str], name: str) -> str:
    return next(line.split(None, 1)[1] for line in lines if line.startswith(f"  {name} "))


def ask(url: str, body: dict[str, object]) -> object:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def test_the_command_says_replay_answers_and_stops_at_once_on_ctrl_c(tmp_path: Path) -> None:
    arguments = [
        "--file",
        str(candle_file(tmp_path)),
        "--at",
        "own",
        "--start",
        "2023-03-18T01:00",
        "--port",
        "0",
        "--speed",
        "2",
    ]
    with process(COMMAND, *arguments) as (child, lines):
        assert lines[0].startswith("REPLAY")
        assert said(lines, "time").startswith("2023-03-18 01:00:0")
        assert "BTC_PIPELINE_CLOCK=2@" in "\n".join(lines)
        window = {"coin": "BTC", "interval": "1m", "startTime": 0, "endTime": 1_679_097_600_000}
        url = said(lines, "REST")
        assert ask(url, {"type": "candleSnapshot", "req": window}) == [
            {"t": 1679097600000, "T": 1679097659999, "s": "BTC", "i": "1m", "o": "100.5", "c": "100.0", "h": "301.0",
             "l": "99.25", "v": "1.5", "n": 15}
        ]  # fmt: skip
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
        assert child.returncode == 0
        assert out == "REPLAY exchange stopped\n"
        assert err == ""


def test_the_supervised_one_takes_settings_and_stays_small() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with process(LIGHT, BTC_PIPELINE_REPLAY__PORT=port, BTC_PIPELINE_REPLAY__SEED="9") as (child, lines):
        assert said(lines, "market") == "made-up market, seed 9 (BTC, ETH)"
        assert said(lines, "WebSocket") == f"ws://127.0.0.1:{port}/ws"
        bybit = f"ws://127.0.0.1:{port}/bybit/v5/public/linear http://127.0.0.1:{port}/bybit"
        assert said(lines, "BYBIT") == bybit
        spot = f"http://127.0.0.1:{port}/binance"
        assert said(lines, "BINANCE") == f"ws://127.0.0.1:{port}/binance/ws {spot} {spot}/archive"
        assert said(lines, "BINANCE_UM").startswith(f"ws://127.0.0.1:{port}/binance-um/market/ws ")
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
    assert (out.splitlines(), err) == (["REPLAY exchange stopped", "heavy []"], "")
    assert child.returncode == 0


def test_the_help_explains_every_kind_of_fault_in_a_line() -> None:
    lines = (replay_exchange.__doc__ or "").splitlines()
    for kind in FaultKind:
        assert kind.explanation.endswith(".")
        assert f"{kind}: {kind.explanation}" in lines


@pytest.mark.parametrize("text", ["now", "2023-13-01", "1969-12-31T23:59", "0001-01-01T00:00+14:00", "9999-01-01"])
def test_a_start_that_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"--start {text!r} is not a time from 1970 on")):
        replay_exchange(start=text)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (ReplayPlan(0, Path("nothing.csv")), "file 'nothing.csv' does not exist."),
        (ReplayPlan(0, Path(__file__).parent), "is not a file."),
        (ReplayPlan(0, at=At.OWN), "--at own needs --start"),
        (ReplayPlan(0, coins=("btc",)), "coin 'btc' is not a name such as BTC or ETH."),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_words(plan: ReplayPlan, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        run(plan, lambda _: None)


def candle_file(folder: Path) -> Path:
    """100 minutes from 2023-03-18 00:00 on, each with a close of its own."""
    path = folder / "candles.csv"
    rows = "\n".join(f"{FIRST * 60 + 60 * k},100.5,301,99.25,{100 + k},1.5" for k in range(100))
    path.write_text(f"time,open,high,low,close,volume\n{rows}\n")
    return path


@pytest.mark.parametrize(
    ("at", "start", "asked", "close"),
    [
        (At.OWN, None, FIRST + 7, 107),
        (At.OWN, FIRST + 50, FIRST + 7, 107),
        (At.NOW, FIRST + 50, 30_000_000, 150),
        (At.NOW, FIRST + 50, 29_999_960, 110),
        (At.NOW, None, FIRST + 7, 107),
        (At.NOW, None, FIRST + 7 + 1_000_000, 107),
        (At.NOW, None, FIRST + 7 - 1_000_000, 107),
    ],
)
def test_a_file_is_at_its_own_times_or_a_chosen_moment_of_it_is_now_or_it_comes_over_and_over(
    at: At, start: int | None, asked: int, close: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "shared_now", lambda: 30_000_000 * 60.0 + 59)
    market, first = running.market_of(ReplayPlan(0, candle_file(tmp_path), at=at, start=start))
    assert first == FIRST
    row = market.minute("BTC", asked)
    assert row is not None
    assert row.close == close * 100


def test_a_start_outside_of_the_file_is_refused(tmp_path: Path) -> None:
    plan = ReplayPlan(0, candle_file(tmp_path), start=FIRST + 100)
    words = "start 2023-03-18T01:40Z is not in the file: 2023-03-18T00:00Z to 2023-03-18T01:40Z."
    with pytest.raises(UserError, match=re.escape(words)):
        running.market_of(plan)


def test_a_shared_time_decides_speed_and_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BTC_PIPELINE_CLOCK", "10@1790232180@1679270400")
    with pytest.raises(UserError, match="BTC_PIPELINE_CLOCK is set"):
        run(ReplayPlan(0, speed=3), lambda _: None)
    monkeypatch.setenv("BTC_PIPELINE_CLOCK", "fast")
    with pytest.raises(UserError, match="BTC_PIPELINE_CLOCK 'fast' is not SPEED@STARTED@EPOCH"):
        run(ReplayPlan(0), lambda _: None)


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port} is not free"):
            run(ReplayPlan(port), lambda _: None)
