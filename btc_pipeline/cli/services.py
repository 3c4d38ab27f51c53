"""`up` and `exec`: the pipeline's processes, and any other command in their environment."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from btc_pipeline.cli.console import errors, replay_line
from btc_pipeline.cli.options import FeedOption, SymbolsOption, choose_symbols
from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from btc_pipeline.settings import Settings
    from btc_pipeline.storage.connection import Database
    from btc_pipeline.storage.server import EmbeddedServer
    from btc_pipeline.supervision import Service

PROBE_SECONDS: Final = 2.0


def up(
    symbol: SymbolsOption = None,
    feed: FeedOption = None,  # noqa: ARG001 its callback does it
    history: Annotated[
        bool,
        typer.Option("--history", help="first download the past that strategies look back on, where it is missing"),
    ] = False,
) -> None:
    """Starts the database, the collector, Dagster and the API, keeps them running, and stops all of it on Ctrl-C."""
    choose_symbols(symbol or [])
    from btc_pipeline.defs.environment import dagster_environment
    from btc_pipeline.settings import load_settings
    from btc_pipeline.storage.address import open_database
    from btc_pipeline.storage.server import EmbeddedServer
    from btc_pipeline.supervision import Supervisor, only_one

    settings = load_settings()
    with only_one(settings.data_dir / "up.lock", "btc-pipeline up"):
        _check_ports(settings)
        server = None if settings.db_host else EmbeddedServer(settings.data_dir)
        _check_replay_file(settings)
        _say(replay_line(settings) if settings.feed == "replay" else f"data in {settings.data_dir}")
        database = open_database(settings)
        environment = dagster_environment(settings)
        _say(f"database: {'server ' + settings.db_host if settings.db_host else 'embedded'}, running")
        # In a process of its own: this one stays small, and does without Dagster.
        subprocess.run(
            [sys.executable, "-m", "btc_pipeline.defs.launch"], env={**os.environ, **environment}, check=True
        )
        if not history:
            _say_too_little(settings, database)
        _say("starting the collector, the Dagster UI and the API; Ctrl-C stops everything")
        watch = partial(_keep_running, server)
        Supervisor(_services(settings, history=history), environment, settings.data_dir / "logs", _say, watch).run()
        if server is not None:
            _stop_database(server)
        _say("stopped")


def execute(context: typer.Context) -> None:
    """Runs a command with the environment of the pipeline's Dagster: btc-pipeline exec dagster dev."""
    from btc_pipeline.defs.environment import dagster_environment
    from btc_pipeline.settings import load_settings

    command = context.args
    if not command:
        raise UserError("exec needs a command: btc-pipeline exec dagster instance info")
    environment = {**os.environ, **dagster_environment(load_settings())}
    program = _program(command[0])
    os.execvpe(program, [program, *command[1:]], environment)  # noqa: S606 the user's own command


def _services(settings: Settings, *, history: bool) -> list[Service]:
    services = [*_feed_services(settings), *_dagster_services(settings), _api_service(settings)]
    return [*services, _history_service()] if history else services


def _feed_services(settings: Settings) -> Iterator[Service]:
    """The collector, before anything that can wait; in a replay the exchange that it collects from, too."""
    from btc_pipeline.supervision import Service

    if settings.feed == "replay":
        yield Service(
            "exchange",
            [sys.executable, "-m", "btc_pipeline.exchanges.replay"],
            _listens("127.0.0.1", settings.replay.port),
            f"REPLAY exchange at http://127.0.0.1:{settings.replay.port}/replay/state",
            mistake_code=2,
        )
    metrics = settings.collector
    yield Service(
        "collector",
        [sys.executable, "-m", "btc_pipeline.collector"],
        _listens(metrics.metrics_host, metrics.metrics_port),
        f"metrics at http://{metrics.metrics_host}:{metrics.metrics_port}/metrics",
        mistake_code=2,
    )


def _dagster_services(settings: Settings) -> list[Service]:
    from btc_pipeline.settings import PROJECT
    from btc_pipeline.supervision import Service

    grpc_port = str(_free_port())
    workspace = ["--workspace", str(_write_workspace(settings, grpc_port))]
    ui = f"http://{settings.dagster_host}:{settings.dagster_port}"
    # Dagster and uvicorn look for modules in a folder of their choice: not in the one that the user is in.
    code = ["code-server", "start", "--host", "127.0.0.1", "--port", grpc_port, "-m", "btc_pipeline.definitions"]
    code += ["--working-directory", str(PROJECT)]
    web = ["--host", settings.dagster_host, "--port", str(settings.dagster_port), *workspace]
    code_listens = _listens("127.0.0.1", int(grpc_port))
    ui_listens = _listens(settings.dagster_host, settings.dagster_port)
    return [
        Service("code", [_program("dagster"), *code], code_listens, "definitions loaded"),
        # Without definitions the UI shows an error, which goes by itself: nobody is sent there before.
        Service(
            "webserver",
            [_program("dagster-webserver"), *web],
            lambda: code_listens() and ui_listens(),
            f"Dagster UI at {ui}",
        ),
        Service(
            "daemon",
            [_program("dagster-daemon"), "run", *workspace],
            None,
            "schedules, sensors and queued runs are looked after",
        ),
    ]


def _api_service(settings: Settings) -> Service:
    from btc_pipeline.settings import PROJECT
    from btc_pipeline.supervision import Service

    address = ["--host", settings.api_host, "--port", str(settings.api_port)]
    return Service(
        "api",
        [_program("uvicorn"), "api.app:create_app", "--factory", "--app-dir", str(PROJECT), *address],
        _listens(settings.api_host, settings.api_port),
        f"API at http://{settings.api_host}:{settings.api_port}/docs",
    )


def _history_service() -> Service:
    """Beside the others: minutes land while their past comes, and in a replay the exchange is one of the others."""
    from btc_pipeline.supervision import Service

    return Service("history", [sys.executable, "-m", "btc_pipeline.cli.history"], mistake_code=2, once=True)


def _say_too_little(settings: Settings, database: Database) -> None:
    from btc_pipeline.downloading.history import too_little
    from btc_pipeline.pipeline.clock import now_minute

    for sentence in too_little(settings, database, now_minute()):
        _say(sentence)


def _write_workspace(settings: Settings, grpc_port: str) -> Path:
    """A workspace that names the code server; without it every process would load the definitions itself."""
    path = settings.data_dir / "dagster" / "workspace.yaml"
    name = "btc_pipeline_REPLAY" if settings.feed == "replay" else "btc_pipeline"
    location = {"host": "127.0.0.1", "port": int(grpc_port), "location_name": name}
    path.write_text(json.dumps({"load_from": [{"grpc_server": location}]}))
    return path


def _program(name: str) -> str:
    """A command of the environment that this one runs in, activated or not."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise UserError(f"command {name!r} is not installed in {Path(sys.executable).parent}.")
    return found


def _check_ports(settings: Settings) -> None:
    """Every port is another one, and free.

    Raises:
        UserError: one is not; the message names the variable that chooses it.
    """
    wanted = [
        ("BTC_PIPELINE_DAGSTER_PORT", settings.dagster_host, settings.dagster_port),
        ("BTC_PIPELINE_API_PORT", settings.api_host, settings.api_port),
        ("BTC_PIPELINE_COLLECTOR__METRICS_PORT", settings.collector.metrics_host, settings.collector.metrics_port),
    ]
    if settings.feed == "replay":
        wanted.append(("BTC_PIPELINE_REPLAY__PORT", "127.0.0.1", settings.replay.port))
    for (variable, _, port), (other, _, other_port) in combinations(wanted, 2):
        if port == other_port:
            raise UserError(f"{variable} and {other} are both {port}: choose another for one.")
    for variable, host, port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise UserError(
                    f"{host}:{port} is not free ({error.strerror}); set {variable} to another port."
                ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(host: str, port: int) -> Callable[[], bool]:
    def ask() -> bool:
        with socket.socket() as probe:
            probe.settimeout(PROBE_SECONDS)
            return probe.connect_ex((host, port)) == 0

    return ask


def _check_replay_file(settings: Settings) -> None:
    file = settings.replay.file
    if settings.feed == "replay" and file is not None and not file.is_file():
        raise UserError(f"BTC_PIPELINE_REPLAY__FILE: there is no file {file}.", field="file")


def _keep_running(server: EmbeddedServer | None) -> str | None:
    """Starts the embedded server again if it ended; what happened, in a line."""
    if server is None or server.running():
        return None
    try:
        server.ensure_running()
    except UserError as error:
        return f"database: ended, and cannot be started: {error}"
    return "database: ended, started again"


def _stop_database(server: EmbeddedServer) -> None:
    if server.other_connections():
        _say("the database stays up: another program is connected (btc-pipeline db stop ends it)")
        return
    server.stop()
    _say("database: stopped")


def _say(line: str) -> None:
    errors.print(f"[dim]{time.strftime('%H:%M:%S', time.gmtime())}[/dim] {escape(line)}")
