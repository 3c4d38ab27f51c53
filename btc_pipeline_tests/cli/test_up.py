"""`btc-pipeline up`: what `make run` starts, and that Ctrl-C leaves nothing."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline_tests.cli.conftest import Run, process
from btc_pipeline_tests.cli.running_up import PORTS, family, get, own_ports, until, up

pytestmark = pytest.mark.stack

LOCATIONS = "{workspaceOrError{...on Workspace{locationEntries{name loadStatus locationOrLoadError{__typename}}}}}"
SCHEDULES = (
    '{schedulesOrError(repositorySelector:{repositoryLocationName:"btc_pipeline_REPLAY",repositoryName:"__repository__"})'
    "{...on Schedules{results{name scheduleState{status}}}}}"
)


def test_a_replay_collects_and_decides_and_says_replay_and_ctrl_c_leaves_nothing(data_folder: Path) -> None:
    variables = own_ports()
    ui, api, metrics, exchange = (variables[name] for name in PORTS)
    said = data_folder / "up.txt"
    data = data_folder / "data-replay"
    # What lies in the folder that it is started in is a user's, and no module of anybody.
    (data_folder / "queue.py").write_text("raise RuntimeError('not this one')")
    with up(data_folder, variables, "--feed", "replay") as running:
        assert until(lambda: get(f"http://127.0.0.1:{ui}/server_info"), running)["dagster_version"]
        until(lambda: "Dagster UI at" in said.read_text(), running)
        assert "definitions loaded" in said.read_text(), "a UI without definitions shows an error at first"
        loaded = {
            "name": "btc_pipeline_REPLAY",
            "loadStatus": "LOADED",
            "locationOrLoadError": {"__typename": "RepositoryLocation"},
        }
        graphql = f"http://127.0.0.1:{ui}/graphql"
        until(lambda: get(graphql, LOCATIONS)["data"]["workspaceOrError"]["locationEntries"] == [loaded], running)
        schedules = get(graphql, SCHEDULES)["data"]["schedulesOrError"]["results"]
        assert {"name": "nightly", "scheduleState": {"status": "RUNNING"}} in schedules

        # Minutes land, and the exchange's history with them, whatever else is still starting.
        health = f"http://127.0.0.1:{api}/api/v1/health"
        (symbol,) = until(lambda: [one for one in get(health)["symbols"] if (one["collector"] or {}).get("healthy")])
        assert (symbol["symbol"], symbol["feed"], get(health)["feed"]) == ("BTC", "replay", "replay")
        candles = get(f"http://127.0.0.1:{api}/api/v1/candles?symbol=BTC&interval=1m&limit=10000")
        assert candles["feed"] == "replay"
        assert candles["count"] > 4_990, "the newest 5,000 minutes"

        second = process(data_folder, "up", "--feed", "replay", variables=variables)
        assert f"btc-pipeline up runs already on {data}: process {running.pid}." in second.mistake
        told = process(data_folder, "health", "--feed", "replay", "--json", variables=variables)
        assert json.loads(told.out)["symbols"][0]["symbol"] == "BTC"

        # A service that dies comes back.
        victim = next(one for one in family(running.pid) if "uvicorn" in " ".join(one.cmdline()))
        victim.kill()
        until(lambda: "api: ended (SIGKILL), starting again in 1 s" in said.read_text(), running)
        until(lambda: get(health), running)

        everyone = family(running.pid)
        assert len(everyone) >= 7
        running.send_signal(signal.SIGINT)
        running.wait(timeout=60)
    assert running.returncode == 0
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == []
    assert not EmbeddedServer(data).running()
    assert not (data_folder / "data").exists(), "a replay leaves the real data alone"
    lines = [line.split(" ", 1)[1] for line in said.read_text().splitlines()]
    assert lines[0] == f"REPLAY: a local exchange in place of the real one; data in {data}"
    assert f"exchange: REPLAY exchange at http://127.0.0.1:{exchange}/replay/state" in lines
    assert f"collector: metrics at http://127.0.0.1:{metrics}/metrics" in lines
    assert f"webserver: Dagster UI at http://127.0.0.1:{ui}" in lines
    assert f"api: API at http://127.0.0.1:{api}/docs" in lines
    assert lines[-2:] == ["database: stopped", "stopped"]
    logs = {path.name for path in (data / "logs").iterdir()}
    assert logs >= {f"{name}.log" for name in ("exchange", "collector", "api", "code", "daemon", "webserver")}


def test_an_exchange_that_cannot_be_reached_is_one_line_that_names_the_replay(data_folder: Path) -> None:
    with up(data_folder, own_ports()) as running:
        until(lambda: "cannot be reached" in (data_folder / "up.txt").read_text(), running)
        # Long enough for it to be tried again.
        time.sleep(3.0)
        everyone = family(running.pid)
        running.terminate()
        running.wait(timeout=60)
    assert running.returncode == 0
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == []
    said = (data_folder / "up.txt").read_text().splitlines()
    assert said[0].endswith(f" data in {data_folder}/data")
    (line,) = (line for line in said if "cannot be reached" in line)
    assert line.endswith("Without the internet: btc-pipeline up --feed replay")


def test_a_database_that_somebody_uses_stays_and_a_stop_while_starting_is_clean(data_folder: Path) -> None:
    with up(data_folder, own_ports()) as running:
        until(lambda: "starting the collector" in (data_folder / "up.txt").read_text(), running)
        with psycopg.connect(EmbeddedServer(data_folder / "data").uri()) as connection:
            time.sleep(1.0)
            everyone = family(running.pid)
            running.terminate()
            running.wait(timeout=60)
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert running.returncode == 0
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == []
    assert "the database stays up: another program is connected" in (data_folder / "up.txt").read_text()


@pytest.mark.parametrize("variable", PORTS)
def test_a_port_in_use_is_one_line(run: Run, variable: str) -> None:
    given = own_ports()
    feed = ("--feed", "replay") if variable == "BTC_PIPELINE_REPLAY__PORT" else ()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(given[variable])))
        taken.listen()
        mistake = run("up", *feed, **given).mistake
    assert mistake == (
        f"127.0.0.1:{given[variable]} is not free (Address already in use); set {variable} to another port."
    )


@pytest.mark.parametrize("other", PORTS[1:3])
def test_one_port_for_two_is_one_line(run: Run, other: str) -> None:
    mistake = run("up", **{**own_ports(), PORTS[0]: "39001", other: "39001"}).mistake
    assert mistake.startswith(f"{PORTS[0]} and {other} are both 39001")


def test_a_symbol_that_cannot_be_is_one_line(run: Run) -> None:
    mistake = run("up", "--symbol", "bit coin", **own_ports()).mistake
    assert "symbol 'bit coin' is not valid" in mistake


def test_a_data_folder_that_is_a_file_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("up", **own_ports(), BTC_PIPELINE_DATA_DIR="file").mistake.startswith(
        f"cannot use the folder {tmp_path}/file"
    )
