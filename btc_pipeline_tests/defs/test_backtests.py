"""Backtests in Dagster: months with a request in the configuration, what the UI shows, how runs fail and are failed."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
from datetime import date
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import dagster as dg
import pytest

from btc_pipeline.defs.backtest_watch import build_backtest_watch, fail_ended
from btc_pipeline.defs.backtests import BacktestConfig, monthly_partitions
from btc_pipeline.defs.build import build_definitions
from btc_pipeline.defs.partitions import RANGE_END_TAG, RANGE_START_TAG
from btc_pipeline.defs.processes import PROCESS_TAG
from btc_pipeline.defs.queue import BACKTEST, BACKTESTS
from btc_pipeline.pipeline.backtest_request import BacktestRequest
from btc_pipeline.pipeline.backtests import run_backtest
from btc_pipeline.settings import load_settings
from btc_pipeline.storage.backtests import ROW_TAG, NewRun, RunLog, add_run, delete_run, read_run
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.defs.worlds import FIRST, SYMBOL, metadata_of

START, END = "2016-01-01", "2016-01-05"
ASKED = {"symbol": SYMBOL, "strategy": "ma", "parameters": {"period": 5}, "interval": "37m"}


def run(instance: dg.DagsterInstance, config: dict[str, Any], tags: dict[str, str] | None = None) -> Any:
    job = build_definitions().resolve_job_def(BACKTEST)
    return job.execute_in_process(
        instance=instance,
        tags=tags,
        run_config={
            "ops": {BACKTESTS: {"config": config}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )


def january() -> dict[str, str]:
    return {RANGE_START_TAG: START, RANGE_END_TAG: START}


def waiting(database: Database, dagster_run_id: str | None = None) -> UUID:
    with database.rows() as connection:
        one = add_run(connection, NewRun(SYMBOL, "37m", "ma", ASKED))
        connection.execute("UPDATE backtest_runs SET dagster_run_id = %s WHERE id = %s", (dagster_run_id, one))
    return one


def exists(database: Database, one: str) -> bool:
    with database.rows() as connection:
        return connection.execute("SELECT 1 FROM backtest_runs WHERE id = %s", (one,)).fetchone() is not None


def words_of(result: Any) -> str:
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return str(failure.user_failure_data.description)


def test_the_configuration_is_a_request_and_the_id_of_a_run_that_waits() -> None:
    names = set(BacktestConfig.model_fields)
    assert names == {*BacktestRequest.model_fields, "backtest_id"}
    for name, field in BacktestRequest.model_fields.items():
        assert BacktestConfig.model_fields[name].description
        assert field.description


def test_whatever_a_request_says_the_configuration_says() -> None:
    asked = BacktestRequest.of(
        {**ASKED, "start": START, "end": END, "capital": 5, "direction": "long", "stop": 0.1, "compounding": False}
    )
    assert BacktestConfig(**asked.given()).request(None, range(0)) == asked


def test_months_are_the_range_of_a_run_unless_it_names_its_own() -> None:
    months = range(FIRST, FIRST + 60)
    everything, less = range(FIRST - 500, FIRST + 500), range(FIRST + 3, FIRST + 40)
    asked = BacktestConfig().request(months, everything)
    assert (asked.start, asked.end) == (date(2016, 1, 1), date(2016, 3, 1))
    asked = BacktestConfig().request(months, less)
    assert (asked.start, asked.end) == (date(2016, 1, 4), date(2016, 2, 10))
    asked = BacktestConfig().request(months, range(0))
    assert (asked.start, asked.end) == (date(2016, 1, 1), date(2016, 3, 1)), "refused in words later"
    own = BacktestConfig(start="2016-01-10", end="2016-01-20").request(months, everything)
    assert (own.start, own.end) == (date(2016, 1, 10), date(2016, 1, 20))


def test_partitions_are_months_from_that_of_the_first_day_on() -> None:
    keys = monthly_partitions(date(2015, 1, 17)).get_partition_keys()
    assert keys[:2] == ["2015-01-01", "2015-02-01"]


def test_a_run_over_months_shows_its_result(world: Database, instance: dg.DagsterInstance) -> None:
    result = run(instance, ASKED, january())
    assert result.success
    told = metadata_of(result)[BACKTESTS]
    stored = read_run(world, told["backtest_id"])
    assert stored.status == "done"
    assert stored.dagster_run_id == result.run_id
    assert stored.configuration["start"] == START
    assert stored.configuration["end"] == "2016-01-05", "data ends before the month does"
    assert (told["run_key"], told["result_hash"]) == (stored.run_key, stored.result_hash)
    assert told["minutes_read"] == "2016-01-01 to 2016-01-05, look-back included"
    assert "Funding is not included" in told["result"]

    rows = {record.data["metric"]: record.data for record in told["metrics"].records}
    assert stored.results is not None
    first = f"slippage {stored.results['slippage_bps']:g} bps"
    assert float(str(rows["final_equity"][first]).replace(",", "")) == pytest.approx(
        stored.results["metrics"]["final_equity"], rel=1e-5
    )
    assert rows["sharpe"][first] == "undefined", "four days give no annual figures"
    assert list(rows)[:3] == ["final_equity", "net_profit", "total_return"]
    assert {"buy and hold", first} < set(rows["final_equity"])

    assert instance.get_materialized_partitions(dg.AssetKey(BACKTESTS)) == {"2016-01-01"}


def test_the_picture_is_an_image_that_needs_nothing_else(world: Database, instance: dg.DagsterInstance) -> None:
    markdown = metadata_of(run(instance, ASKED, january()))[BACKTESTS]["picture"]
    assert len(markdown) < 20_000, "every partition of a range keeps a copy"
    head, _, data = markdown.partition("](data:image/svg+xml;base64,")
    assert head.startswith(f"![{SYMBOL} 37m ma period=5, 2016-01-01 to 2016-01-05")
    tree = ElementTree.fromstring(base64.b64decode(data.removesuffix(")")))
    assert len([one for one in tree.iter() if one.tag.endswith("path") and len(one.get("d", "")) > 30]) == 2


def test_the_same_again_is_answered_from_the_store_and_says_so(world: Database, instance: dg.DagsterInstance) -> None:
    first = metadata_of(run(instance, ASKED, january()))[BACKTESTS]
    again = metadata_of(run(instance, ASKED, january()))[BACKTESTS]
    assert (first["from_store"], again["from_store"]) == (False, True)
    assert again["backtest_id"] == first["backtest_id"]


def test_it_equals_the_run_without_dagster(world: Database, instance: dg.DagsterInstance) -> None:
    told = metadata_of(run(instance, {**ASKED, "start": START, "end": END}, january()))[BACKTESTS]
    alone = run_backtest(world, load_settings(), BacktestRequest.of({**ASKED, "start": START, "end": END}))
    assert alone.from_store
    assert alone.run.result_hash == told["result_hash"]


def test_a_run_that_waits_for_it_gets_the_result(world: Database, instance: dg.DagsterInstance) -> None:
    one = waiting(world)
    assert run(instance, {**ASKED, "start": START, "backtest_id": str(one)}).success
    assert read_run(world, one).status == "done"


def test_a_row_that_was_deleted_before_its_run_began_ends_it_without_a_failure(
    world: Database, instance: dg.DagsterInstance
) -> None:
    one = str(waiting(world))
    delete_run(world, one)
    asked = {**ASKED, "start": START, "backtest_id": one}
    result = run(instance, asked, {**january(), ROW_TAG: one})
    assert result.success
    assert BACKTESTS not in metadata_of(result)
    logged = instance.all_logs(result.run_id)
    assert f"backtest {one} was deleted: nothing is made of it" in {event.user_message for event in logged}

    mistyped = run(instance, asked, january())
    assert not mistyped.success
    assert words_of(mistyped).startswith(f"backtest {one!r} is unknown")


def test_a_row_that_is_deleted_while_its_run_is_at_work_ends_it_without_a_failure(
    world: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = str(waiting(world))
    monkeypatch.setattr(RunLog, "progress", lambda log, _: delete_run(world, log.run) if exists(world, one) else None)
    assert run(instance, {**ASKED, "start": START, "backtest_id": one}, {**january(), ROW_TAG: one}).success
    assert not exists(world, one)


def test_the_configuration_of_a_run_can_be_asked_for_again(world: Database, instance: dg.DagsterInstance) -> None:
    first = metadata_of(run(instance, {**ASKED, "strategy": "ma44", "parameters": {}}, january()))[BACKTESTS]
    again = metadata_of(run(instance, read_run(world, first["backtest_id"]).configuration, january()))[BACKTESTS]
    assert (again["backtest_id"], again["from_store"]) == (first["backtest_id"], True)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strategy": "mma"}, "strategy 'mma' is unknown: did you mean ma"),
        ({"parameters": {"period": 4}}, "period"),
        ({"interval": "37x"}, "interval '37x' is unknown"),
        ({"start": "2017-01-01", "end": "2016-01-01"}, "start 2017-01-01 is not before end 2016-01-01"),
        ({"capital": 0.0}, "capital 0.0 is not valid"),
    ],
)
def test_a_wrong_request_fails_in_one_line_and_the_run_that_waits_hears_it(
    world: Database, instance: dg.DagsterInstance, wrong: dict[str, Any], words: str
) -> None:
    one = waiting(world)
    result = run(instance, {**ASKED, "start": START, "backtest_id": str(one), **wrong}, january())
    assert not result.success
    assert words in words_of(result)
    assert "\n" not in words_of(result)
    stored = read_run(world, one)
    assert stored.status == "failed"
    assert words in str(stored.message)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (dg.DagsterRunStatus.FAILURE, "failed before it was done"),
        (dg.DagsterRunStatus.CANCELED, "was cancelled before it was done"),
        (None, "is gone before it was done"),
    ],
)
def test_a_row_whose_run_has_ended_without_it_is_failed_and_can_be_launched_again(
    world: Database, instance: dg.DagsterInstance, status: dg.DagsterRunStatus | None, words: str
) -> None:
    job = build_definitions().resolve_job_def(BACKTEST)
    run_id = instance.create_run_for_job(job, status=status).run_id if status else "00000000"
    one = waiting(world, run_id)
    others = [waiting(world), waiting(world, instance.create_run_for_job(job).run_id)]
    (told,) = fail_ended(instance, world)
    assert words in told
    assert (read_run(world, one).status, words in str(read_run(world, one).message)) == ("failed", True)
    assert [read_run(world, other).status for other in others] == ["queued", "queued"]
    assert fail_ended(instance, world) == []

    assert run(instance, {**ASKED, "start": START, "backtest_id": str(one)}).success
    assert read_run(world, one).status == "done"


KILLED = """
import sys
from btc_pipeline.settings import load_settings
from btc_pipeline.storage.address import open_database
from btc_pipeline.storage.backtests import RunLog
with RunLog.running(open_database(load_settings()), sys.argv[1], sys.argv[2]):
    print("at work", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_is_killed_is_failed_by_the_next_tick(world: Database, instance: dg.DagsterInstance) -> None:
    job = build_definitions().resolve_job_def(BACKTEST)
    started = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    one = waiting(world, started.run_id)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(one), started.run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at work\n"
        instance.add_run_tags(started.run_id, {PROCESS_TAG: f"{socket.gethostname()}/{process.pid}"})
        watch = build_backtest_watch(load_settings())
        watch(dg.build_sensor_context(instance))
        assert read_run(world, one).status == "running"
        process.send_signal(signal.SIGKILL)
    watch(dg.build_sensor_context(instance))
    found = read_run(world, one)
    assert found.status == "failed"
    assert "launch it again" in str(found.message)
    gone = instance.get_run_by_id(started.run_id)
    assert gone is not None
    assert gone.status == dg.DagsterRunStatus.FAILURE
    assert run(instance, {**ASKED, "start": START, "backtest_id": str(one)}).success
    assert read_run(world, one).status == "done"


def test_lineage_is_to_the_days_of_the_months(own_settings: None) -> None:
    graph = build_definitions().resolve_asset_graph()
    node = graph.get(dg.AssetKey(BACKTESTS))
    assert node.parent_keys == {dg.AssetKey("candles_1m")}
    mapping, days = node.partition_mappings[dg.AssetKey("candles_1m")], graph.get(dg.AssetKey("candles_1m"))
    assert node.partitions_def is not None
    assert days.partitions_def is not None
    wanted = node.partitions_def.subset_with_partition_keys(["2016-01-01", "2016-02-01"])
    read = mapping.get_upstream_mapped_partitions_result_for_partitions(
        wanted, node.partitions_def, days.partitions_def
    ).partitions_subset.get_partition_keys()
    keys = sorted(read)
    assert (keys[0], keys[-1], len(keys)) == ("2016-01-01", "2016-02-29", 60)


def test_the_job_has_a_lane_of_its_own_and_no_retries(own_settings: None) -> None:
    definitions = build_definitions()
    job = definitions.resolve_job_def(BACKTEST)
    assert job.tags["btc_pipeline/lane"] == "backtest"
    assert job.tags["dagster/max_retries"] == "0"
    assert dg.AssetKey(BACKTESTS) not in definitions.resolve_job_def("materialize").asset_layer.executable_asset_keys
