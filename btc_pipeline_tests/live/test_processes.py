"""Real processes on a faster time: killed, stopped, suspended, doubled; the minutes are right in the end."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

import pytest

from btc_pipeline.exchanges.replay import Behaviour, SyntheticMarket
from btc_pipeline_tests.live.cases import FIRST_DAY, health
from btc_pipeline_tests.live.judging import judge_minutes, keep_trail
from btc_pipeline_tests.live.processes import COLLECTOR, Stack, stack, wait_for
from btc_pipeline_tests.live.world import stored_rows
from btc_pipeline_tests.pipeline.worlds import query

# Time runs faster: on a machine that is busy otherwise a process may miss what a real one would not.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SPEED: Final = 20.0
SEED: Final = 3
MARKET: Final = SyntheticMarket(SEED)
START: Final = FIRST_DAY + 30_000.0
FIRST: Final = int(START // 60)
STOPS_WITHIN_SECONDS: Final = 10.0


def collecting(chosen: Stack) -> subprocess.Popen[bytes]:
    """A collector that has begun to land minutes."""
    before = minutes_landed(chosen)
    process = chosen.start(COLLECTOR)
    wait_for(lambda: minutes_landed(chosen) > before)
    return process


def minutes_landed(chosen: Stack) -> int:
    found: int = query(chosen.database, "SELECT count(*) FROM candles WHERE interval = '1m'")[0][0]
    return found


def problems_of(chosen: Stack) -> list[str]:
    """What is wrong with the minutes now."""
    now = chosen.now()
    return judge_minutes(chosen.database, MARKET, Behaviour(), first=FIRST, now=now)


def right_in_the_end(chosen: Stack) -> None:
    """Waits until nothing is wrong; says what is if that takes too long."""
    end = time.monotonic() + 60
    while problems := problems_of(chosen):
        assert time.monotonic() < end, "\n".join(problems)
        time.sleep(0.5)


def stopped_cleanly(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM ends it in time, with exit code 0."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOPS_WITHIN_SECONDS) == 0


def test_whoever_is_killed_and_however_often_the_minutes_are_right_in_the_end() -> None:
    source = Random(11)
    with stack(SPEED, START, BTC_PIPELINE_REPLAY__SEED=str(SEED)) as chosen:
        keep_trail(chosen.database)
        collector = collecting(chosen)
        for victims in (["collector"], ["server"], ["collector", "server"], ["server", "collector"], ["collector"]):
            time.sleep(source.uniform(0.05, 1.5))
            for victim in victims:
                if victim == "server":
                    chosen.kill_server()
                else:
                    collector.kill()
                    collector.wait()
                time.sleep(source.choice((0.0, source.uniform(0, 1))))
            chosen.server.ensure_running()
            if "collector" in victims:
                collector = chosen.start(COLLECTOR)
                time.sleep(source.uniform(0.5, 1.5))
        # The newest minutes are not judged yet: without this the last collector may still be starting at its stop.
        landed = minutes_landed(chosen)
        wait_for(lambda: minutes_landed(chosen) > landed)
        right_in_the_end(chosen)
        # At this speed a stop has a quarter of a second for the database: what it does not take is in the spool.
        stopped_cleanly(collector)
        collector = collecting(chosen)
        wait_for(lambda: not spooled_minutes(chosen.folder / "spool"))
        right_in_the_end(chosen)
        stopped_cleanly(collector)
        assert collector_left_no_trace_of_a_crash(chosen)


def collector_left_no_trace_of_a_crash(chosen: Stack) -> bool:
    return "Traceback" not in chosen.output(COLLECTOR).read_text()


def test_a_stop_without_the_database_leaves_a_spool_that_the_next_collector_empties() -> None:
    with stack(SPEED, START, BTC_PIPELINE_REPLAY__SEED=str(SEED)) as chosen:
        keep_trail(chosen.database)
        collector = collecting(chosen)
        chosen.server.stop()
        wait_for(lambda: any("the database is away" in line for line in chosen.said()))
        time.sleep(150 / SPEED)
        stopped_cleanly(collector)
        spooled = spooled_minutes(chosen.folder / "spool")
        chosen.server.ensure_running()
        assert len(spooled - stored_rows(chosen.database).keys()) >= 2
        collecting(chosen)
        wait_for(lambda: spooled <= stored_rows(chosen.database).keys())
        wait_for(lambda: not spooled_minutes(chosen.folder / "spool"))
        right_in_the_end(chosen)


def spooled_minutes(folder: Path) -> set[int]:
    """The epoch minutes that wait in the files of a spool, each of whose lines is whole."""
    found: set[int] = set()
    for path in folder.glob("*.jsonl"):
        # The collector removes a file once the database has its rows.
        with suppress(FileNotFoundError):
            found.update(json.loads(line)["time"] for line in path.read_text().splitlines())
    return found


def test_a_second_collector_on_the_folder_refuses_and_harms_nothing() -> None:
    with stack(SPEED, START, BTC_PIPELINE_REPLAY__SEED=str(SEED)) as chosen:
        first = collecting(chosen)
        second = chosen.start(COLLECTOR)
        assert second.wait(30) == 2
        assert chosen.said()[-1] == f"A collector runs already on {chosen.folder}: process {first.pid}."
        landed = minutes_landed(chosen)
        wait_for(lambda: minutes_landed(chosen) > landed)
        first.kill()
        first.wait()
        collecting(chosen)


def test_a_suspended_collector_is_unhealthy_within_two_minutes() -> None:
    with stack(SPEED, START, BTC_PIPELINE_REPLAY__SEED=str(SEED)) as chosen:
        collector = collecting(chosen)
        wait_for(lambda: health(chosen.database, chosen.now()).healthy)
        collector.send_signal(signal.SIGSTOP)
        stopped = chosen.now()
        seen = health(chosen.database, stopped + 120)
        assert not seen.healthy
        assert "nothing was heard of the collector" in seen.message
        collector.send_signal(signal.SIGCONT)
        wait_for(lambda: health(chosen.database, chosen.now()).healthy)


def test_a_stop_takes_less_than_ten_seconds_though_the_database_hangs() -> None:
    with stack(1.0, START, BTC_PIPELINE_REPLAY__SEED=str(SEED)) as chosen:
        collector = collecting(chosen)
        hung = chosen.server_processes()
        try:
            for one in hung:
                one.suspend()
            stopped_cleanly(collector)
        finally:
            for one in hung:
                one.resume()
