"""Backtests in Dagster, in real processes: one is killed in the middle; all are in one lane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from btc_pipeline.defs.backtest_watch import WATCH_SECONDS
from btc_pipeline_tests.cli.running_up import family, until
from btc_pipeline_tests.live.whole_stack import Stack, whole_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

HELD = """
import time
from pathlib import Path

import numpy as np
from btc_pipeline.strategies import LONG, Opinions, Strategy


class Held(Strategy):
    name, display_name, description = "held", "Held", "Decides once nobody holds it."

    def inputs(self, p):
        return {}

    def decide(self, view, p):
        while Path(__file__).with_name("hold").exists():
            time.sleep(0.05)
        target = np.full(len(view.bars.close), LONG, np.int8)
        return Opinions(target, np.ones(len(target)), [])
"""
RUN = """
query { runOrError(runId: "%s") { ... on Run { status tags { key value } } } }
"""
RUNS_OF_BACKFILL = """
query { runsOrError(filter: {tags: [{key: "dagster/backfill", value: "%s"}]}) {
  ... on Runs { results { status tags { key value } } } } }
"""
TODAY = datetime.now(UTC).date()
ORDER = {
    "symbol": "BTC",
    "intervals": ["37m"],
    "start_date": (TODAY - timedelta(days=2)).isoformat(),
    "end_date": TODAY.isoformat(),
    "strategy": "held",
}


@dataclass
class Launched:
    """A stack in which a run is held, and a backfill from the asset's page is under way."""

    stack: Stack
    run: str
    backfill: str

    @property
    def hold(self) -> Path:
        """The run waits while this is there."""
        return self.stack.folder / "strategies" / "hold"


@pytest.fixture(scope="module")
def launched() -> Iterator[Launched]:
    with whole_stack(held=HELD) as stack:
        (stack.folder / "strategies" / "hold").touch()
        accepted = until(lambda: stack.api("backtests", ORDER))
        assert [one["status"] for one in accepted["data"]] == ["queued"]
        backfill = stack.launch_backfill(("backtests",), TODAY.replace(day=1).isoformat())
        yield Launched(stack, accepted["id"], backfill)


def row_of(stack: Stack, run: str) -> dict[str, Any]:
    """A run as it is stored: whoever asks the API makes it look for runs whose process has ended."""
    with stack.database.rows() as connection:
        row = connection.execute("SELECT * FROM backtest_runs WHERE id = %s", (UUID(run),)).fetchone()
    assert row is not None
    return row


def tags_of(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def test_a_run_that_is_killed_in_the_middle_is_failed_in_words_and_launched_again(launched: Launched) -> None:
    stack, run = launched.stack, launched.run
    until(lambda: row_of(stack, run)["status"] == "running")
    dagster_run = row_of(stack, run)["dagster_run_id"]
    at_work = stack.graphql(RUN % dagster_run)["runOrError"]
    assert at_work["status"] == "STARTED"
    _, pid, *_ = tags_of(at_work)["btc_pipeline/process"].split("/")
    assert psutil.Process(int(pid)) in family(stack.pid)

    psutil.Process(int(pid)).kill()
    until(lambda: row_of(stack, run)["status"] == "failed", seconds=2 * WATCH_SECONDS + 5.0)
    words = row_of(stack, run)["message"]
    assert words == f"its Dagster run {dagster_run} failed before it was done; launch it again"
    assert stack.graphql(RUN % dagster_run)["runOrError"]["status"] == "FAILURE"
    told = stack.api(f"backtests/{run}")
    assert (told["status"], told["message"], told["results"]) == ("failed", words, None)

    launched.hold.unlink()
    again = stack.api("backtests", ORDER)["id"]
    assert again != run
    until(lambda: row_of(stack, again)["status"] == "done")
    assert row_of(stack, run)["status"] == "failed"
    with stack.database.rows() as connection:
        rows = connection.execute("SELECT DISTINCT backtest_id FROM backtest_equity").fetchall()
    stored = {str(row["backtest_id"]) for row in rows}
    assert again in stored
    assert run not in stored


def test_a_backfill_from_the_assets_page_waits_in_the_lane_of_backtests(launched: Launched) -> None:
    asked = RUNS_OF_BACKFILL % launched.backfill

    def submitted() -> Any:
        runs = launched.stack.graphql(asked)["runsOrError"]["results"]
        return [run for run in runs if run["status"] != "NOT_STARTED"]

    (run,) = until(submitted)
    tags = tags_of(run)
    assert (tags["btc_pipeline/lane"], tags["dagster/max_retries"]) == ("backtest", "0")
