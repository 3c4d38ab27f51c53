"""`btc-pipeline download` as a process: its words, its exit codes, and what a kill leaves."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.downloads import only_download
from btc_pipeline_tests.cli.conftest import COMMAND, environment
from btc_pipeline_tests.cli.environment import database_variables
from btc_pipeline_tests.databases import migrated_database
from btc_pipeline_tests.downloading.fake_binance import SYMBOL, FakeBinance, Fault, minute_of
from btc_pipeline_tests.downloading.worlds import World
from btc_pipeline_tests.pipeline.worlds import query

pytestmark = pytest.mark.stack

ARGUMENTS = ("download", "--symbol", SYMBOL, "--start", "2024-12-01")
PATIENCE_SECONDS = 60.0
SEED = int(os.environ.get("DOWNLOAD_SEED", random.SystemRandom().randrange(10**6)))


def begun(folder: Path, database: Database, binance: FakeBinance, *arguments: str) -> subprocess.Popen[str]:
    at = f"http://127.0.0.1:{binance.port}"
    variables = {
        **database_variables(database.uri),
        "BTC_PIPELINE_VENUES__BINANCE__API_URL": at,
        "BTC_PIPELINE_VENUES__BINANCE__ARCHIVE_URL": at,
        "NO_COLOR": "1",
    }
    return subprocess.Popen(
        [str(COMMAND), *arguments],
        cwd=folder,
        env=environment(folder, variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever was started in the background ignores it, and with him his children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 one thread here
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out, err


def test_its_last_lines_say_what_was_done_and_what_comes_next(world: World, binance: FakeBinance) -> None:
    code, out, err = ended(begun(world.folder, world.database, binance, *ARGUMENTS))
    assert code == 0, err
    assert out.splitlines() == [
        "BTCUSDT.BINANCE: 2024-12-30 00:17 to 2025-01-10 05:59 UTC: 16,183 minutes stored, 0 missing",
        "  16,183 minutes new, 0 replaced, 0 known already",
        "  9 files stored, 0 known already",
        "next: btc-pipeline materialize --stale",
    ]
    assert err == "note: BTCUSDT.BINANCE has minutes from 2024-12-30 00:17 UTC on\n"


def test_a_run_again_says_how_many_are_known_and_a_part_speaks_of_that_part(world: World, binance: FakeBinance) -> None:
    binance.absent |= {minute_of("2025-01-03 05:00"), minute_of("2025-01-03 05:01")}
    world.download()
    part = ("download", "--symbol", SYMBOL, "--start", "2025-01-03", "--end", "2025-01-05")
    code, out, err = ended(begun(world.folder, world.database, binance, *part))
    assert code == 0, err
    assert out.splitlines() == [
        "BTCUSDT.BINANCE: 2025-01-03 00:00 to 2025-01-04 23:59 UTC: 2,878 minutes stored, 2 missing",
        "  0 minutes new, 0 replaced, 2,878 known already",
        "  0 files stored, 2 known already",
        "  missing: 2 exchange_downtime",
        "next: btc-pipeline materialize --stale",
    ]
    code, out, _ = ended(begun(world.folder, world.database, binance, *part, "--json"))
    report = json.loads(out)
    assert (report["start"], report["end"]) == ("2025-01-03T00:00:00Z", "2025-01-05T00:00:00Z")
    assert (report["first_minute"], report["last_minute"]) == ("2025-01-03T00:00:00Z", "2025-01-04T23:59:00Z")
    assert (report["stored"], report["missing"]) == (2_878, 2)


def test_of_a_time_before_the_coin_it_is_said_that_there_is_nothing(world: World, binance: FakeBinance) -> None:
    part = ("download", "--symbol", SYMBOL, "--start", "2024-11-03", "--end", "2024-11-05")
    code, out, err = ended(begun(world.folder, world.database, binance, *part))
    assert code == 0, err
    assert out.splitlines()[0] == (
        "BTCUSDT.BINANCE: 2024-11-03 00:00 to 2024-11-04 23:59 UTC: its venue has nothing of that time"
    )


def test_with_materialize_bars_and_decisions_are_made_of_it(world: World, binance: FakeBinance) -> None:
    code, out, err = ended(begun(world.folder, world.database, binance, *ARGUMENTS, "--materialize"))
    assert code == 0, err
    assert "2024-12-30 to 2025-01-11: candles_1m" in out
    rows = query(world.database, "SELECT count(*) AS n FROM current_decisions WHERE symbol = %s", SYMBOL)
    assert rows[0][0] > 400, "a decision a bar of 37m"


def test_the_report_for_programs_is_json_alone(world: World, binance: FakeBinance) -> None:
    binance.absent.add(binance.first + 9)
    code, out, _ = ended(begun(world.folder, world.database, binance, *ARGUMENTS, "--json"))
    report = json.loads(out)
    assert code == 0
    assert report["rows"] == {"new": 16_182, "replaced": 0, "known": 0}
    assert (report["first_minute"], report["last_minute"]) == ("2024-12-30T00:17:00Z", "2025-01-10T05:59:00Z")
    assert report["gaps"] == {"exchange_downtime": 1}
    assert len(report["files"]["stored"]) == 9


def test_a_failure_is_one_line_and_exit_code_1(world: World, binance: FakeBinance) -> None:
    binance.checksums["BTCUSDT-1m-2025-01-03.zip"] = "ab" * 32
    code, out, err = ended(begun(world.folder, world.database, binance, *ARGUMENTS))
    (line,) = err.splitlines()
    assert (code, out) == (1, "")
    assert line.startswith("failed: BTCUSDT-1m-2025-01-03.zip: its SHA-256 is ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--symbol", "BTCUSD.BINANCE", "--start", "2024-12-01"),
            "BINANCE has no instrument BTCUSD; did you mean BTCUSDT?",
        ),
        (
            ("--symbol", "BTCUSDT.BINANSE", "--start", "2024-12-01"),
            "there is no client for BINANSE; did you mean BINANCE?",
        ),
        (
            ("--symbol", SYMBOL, "--start", "2024-12-05", "--end", "2024-12-01"),
            "--start 2024-12-05 is not before --end 2024-12-01: give the day after the last.",
        ),
        (("--symbol", SYMBOL, "--start", "2999-12-01"), "--start 2999-12-01 is in the future"),
        (("--symbol", SYMBOL, "--start", "yesterday"), "--start 'yesterday' is not a date: write 2016-01-31 (UTC)."),
        (("--symbol", SYMBOL, "--start", "2024-12-01", "--json", "--materialize"), "do not go together"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    world: World, binance: FakeBinance, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = ended(begun(world.folder, world.database, binance, "download", *arguments))
    (line,) = err.splitlines()
    assert code == 2
    assert words in line


def test_a_second_one_of_the_symbol_is_refused(world: World, binance: FakeBinance) -> None:
    with only_download(world.database, SYMBOL):
        code, _, err = ended(begun(world.folder, world.database, binance, *ARGUMENTS))
    assert (code, err) == (
        2,
        f"error: symbol {SYMBOL}: another download of it is at work; wait until it is done.\n",
    )


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(world: World, binance: FakeBinance) -> None:
    asked, released = threading.Event(), threading.Event()

    def hold(path: str) -> Fault | None:
        if path.endswith("BTCUSDT-1m-2025-01-03.zip"):
            asked.set()
            released.wait(PATIENCE_SECONDS)
        return None

    binance.fault = hold
    process = begun(world.folder, world.database, binance, *ARGUMENTS)
    assert asked.wait(PATIENCE_SECONDS)
    _until(lambda: len(world.minutes()) == minute_of("2025-01-03 00:00") - binance.first)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    released.set()
    assert code == 130
    assert err.splitlines()[-1] == "stopped; the same command goes on from here"
    binance.fault = lambda _: None
    assert ended(begun(world.folder, world.database, binance, *ARGUMENTS))[0] == 0
    assert world.minutes() == list(range(binance.first, binance.now))


def test_killed_at_random_it_ends_in_the_same_database(
    world: World, binance: FakeBinance, server_uri: str, template: str, tmp_path: Path
) -> None:
    print(f"DOWNLOAD_SEED={SEED}")
    dice = random.Random(SEED)
    binance.absent |= set(range(minute_of("2025-01-03 05:00"), minute_of("2025-01-03 05:20")))
    world.download()
    with migrated_database(server_uri, template) as database:
        other = World(database, tmp_path, binance)
        for _ in range(5):
            at = len(binance.asked) + dice.randrange(1, 12)
            process = begun(tmp_path, database, binance, *ARGUMENTS)
            _until(lambda n=at: len(binance.asked) >= n or process.poll() is not None)  # type: ignore[misc]  # noqa: B023
            process.kill()
            process.communicate()
        code, _, err = ended(begun(tmp_path, database, binance, *ARGUMENTS))
        assert code == 0, err
        ours, theirs = world.content(), other.content()
        for name in ours:
            assert theirs[name] == ours[name], name


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
