"""`btc-pipeline up`: what `make run` starts, and that Ctrl-C leaves nothing."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline_tests.cli.conftest import COMMAND, Run, environment, process

PATIENCE_SECONDS = 90.0
LOCATIONS = "{workspaceOrError{...on Workspace{locationEntries{name loadStatus locationOrLoadError{__typename}}}}}"
SCHEDULES = (
    '{schedulesOrError(repositorySelector:{repositoryLocationName:"btc_pipeline",repositoryName:"__repository__"})'
    "{...on Schedules{results{name scheduleState{status}}}}}"
)


def free_ports(n: int) -> list[int]:
    with_ports = [socket.socket() for _ in range(n)]
    for one in with_ports:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


def get(url: str, query: str | None = None) -> Any:
    body = None if query is None else json.dumps({"query": query}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def until(true: Callable[[], Any], running: subprocess.Popen[str] | None = None) -> Any:
    """What it gives once that is something; connections that are refused are waited out."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert running is None or running.poll() is None, "it ended by itself"
        try:
            found = true()
        except OSError as error:
            found, reason = None, str(error)
        else:
            reason = str(found)
        if found:
            return found
        assert time.monotonic() < deadline, reason
        time.sleep(0.2)


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


@contextmanager
def up(folder: Path, ui: int, api: int) -> Iterator[subprocess.Popen[str]]:
    """The command, with its lines in `up.txt`; killed with all that it started if a test leaves it running."""
    ports = {"BTC_PIPELINE_DAGSTER_PORT": str(ui), "BTC_PIPELINE_API_PORT": str(api)}
    with (folder / "up.txt").open("w") as lines:
        running = subprocess.Popen(
            [str(COMMAND), "up"], cwd=folder, env=environment(folder, ports), stdout=lines, stderr=lines, text=True
        )
        try:
            yield running
        finally:
            if running.poll() is None:
                for one in reversed(family(running.pid)):
                    one.kill()
                running.wait()


def test_everything_answers_and_ctrl_c_leaves_nothing(data_folder: Path) -> None:
    ui, api = free_ports(2)
    said = data_folder / "up.txt"
    with up(data_folder, ui, api) as running:
        assert until(lambda: get(f"http://127.0.0.1:{ui}/server_info"), running)["dagster_version"]
        assert until(lambda: get(f"http://127.0.0.1:{api}/api/v1/health"), running)["status"] == "ok"
        graphql = f"http://127.0.0.1:{ui}/graphql"
        until(lambda: "Dagster UI at" in said.read_text(), running)
        assert "definitions loaded" in said.read_text(), "a UI without definitions shows an error at first"
        loaded = {
            "name": "btc_pipeline",
            "loadStatus": "LOADED",
            "locationOrLoadError": {"__typename": "RepositoryLocation"},
        }
        until(lambda: get(graphql, LOCATIONS)["data"]["workspaceOrError"]["locationEntries"] == [loaded], running)
        (nightly,) = get(graphql, SCHEDULES)["data"]["schedulesOrError"]["results"]
        assert nightly == {"name": "nightly", "scheduleState": {"status": "RUNNING"}}

        second = process(data_folder, "up")
        assert f"btc-pipeline up runs already on {data_folder}/data: process {running.pid}." in second.mistake

        # A service that dies comes back.
        victim = next(one for one in family(running.pid) if "uvicorn" in " ".join(one.cmdline()))
        victim.kill()
        until(lambda: "api: ended (SIGKILL), starting again in 1 s" in said.read_text(), running)
        until(lambda: get(f"http://127.0.0.1:{api}/api/v1/health"), running)

        everyone = family(running.pid)
        assert len(everyone) >= 5
        running.send_signal(signal.SIGINT)
        running.wait(timeout=60)
    assert running.returncode == 0
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == []
    assert not EmbeddedServer(data_folder / "data").running()
    lines = [line.split(" ", 1)[1] for line in said.read_text().splitlines()]
    assert lines[0] == f"data in {data_folder}/data"
    assert f"webserver: Dagster UI at http://127.0.0.1:{ui}" in lines
    assert f"api: API at http://127.0.0.1:{api}/docs" in lines
    assert lines[-2:] == ["database: stopped", "stopped"]
    assert {path.name for path in (data_folder / "data/logs").iterdir()} >= {
        "api.log",
        "code.log",
        "daemon.log",
        "webserver.log",
    }


def test_a_database_that_somebody_uses_stays_and_a_stop_while_starting_is_clean(data_folder: Path) -> None:
    ui, api = free_ports(2)
    with up(data_folder, ui, api) as running:
        until(lambda: "starting the Dagster UI" in (data_folder / "up.txt").read_text(), running)
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


@pytest.mark.parametrize("variable", ["BTC_PIPELINE_DAGSTER_PORT", "BTC_PIPELINE_API_PORT"])
def test_a_port_in_use_is_one_line(run: Run, variable: str) -> None:
    ports = free_ports(2)
    given = dict(zip(("BTC_PIPELINE_DAGSTER_PORT", "BTC_PIPELINE_API_PORT"), map(str, ports), strict=True))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(given[variable])))
        taken.listen()
        mistake = run("up", **given).mistake
    assert mistake == (
        f"127.0.0.1:{given[variable]} is not free (Address already in use); set {variable} to another port."
    )


def test_one_port_for_both_is_one_line(run: Run) -> None:
    mistake = run("up", BTC_PIPELINE_DAGSTER_PORT="39001", BTC_PIPELINE_API_PORT="39001").mistake
    assert mistake.startswith("BTC_PIPELINE_DAGSTER_PORT and BTC_PIPELINE_API_PORT are both 39001")


def test_a_data_folder_that_is_a_file_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("up", BTC_PIPELINE_DATA_DIR="file").mistake.startswith(f"cannot use the folder {tmp_path}/file")
