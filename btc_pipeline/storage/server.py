"""The embedded PostgreSQL: starting, finding and stopping the server in the data folder.

Belongs here: the life of that one server. Does not belong here: its folder, user, version and settings (`cluster`),
anything about what is stored, and any server that `DB_HOST` names (that one is its owner's).
"""

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from btc_pipeline.errors import UserError
from btc_pipeline.storage.cluster import ELSEWHERE, SOCKET_NAME, Cluster, program

log = logging.getLogger(__name__)

ROLE = "btc_bot"
DATABASES = ("btc_data", "dagster")
START_SECONDS = 1800.0  # a crash recovery reads up to max_wal_size; a slow disk may take minutes
HINDRANCE_SECONDS = 90.0  # orphans of a killed server end by themselves
STATUS_LINE, SOCKET_LINE = 7, 4  # of postmaster.pid, from 0


class EmbeddedServer:
    """The PostgreSQL of one data folder. Objects are cheap; any number of processes may hold one.

    >>> EmbeddedServer(Path("data")).uri()
    'postgresql://btc_bot@/btc_data?host=/home/me/data/postgres&port=5432'
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self._cluster = Cluster(self.data_dir)
        self._folder = self._cluster.folder

    def ensure_running(self) -> str:
        """Start the server if nobody has, and return the address of `btc_data`. Below a millisecond when it runs.

        The server is in a session of its own: it outlives this process and does not get the terminal's Ctrl-C.

        Raises:
            UserError: the folder is another user's, or of a version that cannot be read, or the server will not start.
        """
        if not (self.running() and self._marker.exists()):
            with self._locked():
                self._start()
                self._create_databases()
        return self.uri()

    def running(self) -> bool:
        """Whether the server accepts connections."""
        return self._status() == "ready" and self._listening()

    def uri(self, database: str = "btc_data") -> str:
        """The address of a database for libpq, psycopg, asyncpg and ADBC. Starts nothing."""
        return self._address(ROLE, database)

    def stop(self) -> None:
        """Disconnect everybody, write everything out, end the server and wait for it. Nothing if it does not run."""
        if self._folder.exists():
            with self._locked():
                self._stop()

    def other_connections(self) -> int:
        """How many clients are connected, the asking one not counted. The server must run."""
        import psycopg

        with psycopg.connect(self._address("postgres", "postgres"), autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchone()
        return int(row[0]) if row else 0

    @property
    def postgres_version(self) -> int:
        """Major version of the data in the folder; the one a new folder would get if there is none."""
        return self._cluster.version()

    # Finding it

    @property
    def _marker(self) -> Path:
        return self._folder / "btc_pipeline.ready"  # the role and the databases exist

    def _pid_file(self) -> list[str]:
        try:
            return (self._folder / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError:
            raise self._cluster.not_ours() from None

    def _status(self) -> str:
        """`starting`, `ready` or `stopping` as the server last wrote it (it may have been killed since), or ''."""
        lines = self._pid_file()
        return lines[STATUS_LINE].strip() if len(lines) > STATUS_LINE else ""

    def _socket_dir(self) -> Path:
        """Where the running server says its socket is, else where the next one will put it."""
        lines = self._pid_file()
        recorded = lines[SOCKET_LINE].strip() if len(lines) > SOCKET_LINE else ""
        return Path(recorded) if recorded else self._cluster.socket_dir()

    def _address(self, role: str, database: str) -> str:
        # The port is spelt out, or else PGPORT in somebody's environment would change it.
        return f"postgresql://{role}@/{database}?host={quote(str(self._socket_dir()))}&port=5432"

    def _listening(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self._socket_dir() / SOCKET_NAME))
            except OSError:
                return False
            return True

    def _processes(self) -> list[int]:
        """Every living process of this folder's server. A number alone proves nothing: numbers are used again."""
        import psutil

        found = []
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "postgres":
                with contextlib.suppress(psutil.Error):
                    if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(self._folder):
                        found.append(process.pid)
        return found

    def _alive(self) -> bool:
        """Whether the server that wrote the pid file lives."""
        lines = self._pid_file()
        return bool(lines) and lines[0].strip() in map(str, self._processes())

    # Starting and stopping it, under the lock

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time starts or stops the server of this folder."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            handle = os.open(self.data_dir / ".postgres.lock", flags, 0o600)
        except OSError as error:
            raise UserError(f"Cannot use the data folder {self.data_dir} ({error.strerror}): {ELSEWHERE}.") from None
        try:
            owner = self.data_dir.stat()
            if os.geteuid() == 0:
                os.fchown(handle, owner.st_uid, owner.st_gid)  # root must not lock the folder's owner out
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _start(self) -> None:
        started = time.monotonic()
        while not self.running():
            waited = time.monotonic() - started
            if waited > START_SECONDS:
                raise UserError(f"The database in {self._folder} is not up after {waited:.0f} s: see its folder log.")
            if self._alive():
                # Somebody's start that was interrupted, or a server whose socket a cleaner of /tmp took away.
                if self._status() == "ready" and not (self._socket_dir() / SOCKET_NAME).exists():
                    self._stop()
                time.sleep(0.05)
                continue
            # The number in a left-over file may by now be another program's, which PostgreSQL takes for a running
            # server. Where nobody lives in the folder and nobody answers, the file is stale.
            if not self._processes() and not self._listening():
                if self._pid_file():
                    (self._folder / "postmaster.pid").unlink()
                self._cluster.prepare()
            reason = self._launch()
            passing = any(words in reason for words in ("is still in use", "already exists"))
            if reason and not (passing and waited < HINDRANCE_SECONDS):
                raise UserError(f"The database in {self._folder} does not start: {reason}. More in its folder log.")

    def _launch(self) -> str:
        """Start the server and wait until it is ready or ends. Returns what it complained of if it ended."""
        import psutil

        # Through a shell that ends at once: the server is then init's child, not ours, and leaves us no zombie.
        detach = '"$0" -D "$1" </dev/null >"$2" 2>&1 & echo $!'
        began, output = time.time(), self._folder / "start.log"
        pid = int(self._cluster.run(["/bin/sh", "-c", detach, program("postgres"), str(self._folder), str(output)]))
        noted = time.monotonic() + 10
        while not self.running():
            try:
                ended = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                ended = True
            if ended:
                time.sleep(0.25)
                return self._complaint(began)
            if time.monotonic() > noted:
                noted += 30
                log.warning("waiting for the database in %s, which is recovering from a crash", self._folder)
            time.sleep(0.02)
        return ""

    def _complaint(self, since: float) -> str:
        """The last fatal message since then: before the server's own logger runs it is in start.log."""
        for path in (self._folder / "start.log", *(self._folder / "log").glob("*.log")):
            if path.exists() and path.stat().st_mtime >= since - 1:
                lines = path.read_text(errors="replace").splitlines()
                fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
                if fatal:
                    return fatal[-1].split(":  ", 1)[-1]
        return "it gave no reason"

    def _create_databases(self) -> None:
        """The role and the databases; complete when the marker is there, whoever was killed in between."""
        import psycopg
        from psycopg import sql

        role = sql.Identifier(ROLE)
        with psycopg.connect(self._address("postgres", "postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(role))
            for name in DATABASES:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), role))
        self._cluster.write(self._marker.name, "")

    def _stop(self) -> None:
        if self._alive():
            self._cluster.run([program("pg_ctl"), "stop", "-m", "fast", "-w", "-t", "600", "-D", str(self._folder)])
