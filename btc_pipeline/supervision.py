"""Child processes: starting them, writing their logs, restarting what dies, stopping all of it.

Belongs here: the life of processes. Does not belong here: which processes the pipeline has (`cli.services`).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from btc_pipeline.errors import UserError

FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 60.0
HEALTHY_AFTER_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.2
WATCH_SECONDS: Final = 3.0
LOG_BYTES: Final = 10_000_000
LOG_FILES: Final = 3

STATE_PREFIX: Final = b"STATE "

_PR_SET_PDEATHSIG: Final = 1
# Loaded here: between fork and exec nothing may be imported.
_LIBC: Final = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Service:
    """A child process: its name, its command, and how to ask whether it is ready.

    A line of its output that begins with `STATE ` is for the terminal: it is said at once, without that word. The same
    again is said once.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool] | None = None
    ready_line: str = ""
    mistake_code: int | None = None
    """The exit code that says that a user has to mend something: starting it again would not help."""
    once: bool = False
    """It has done its work when it ends with 0: then it is not started again."""


@dataclass
class _Child:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    backoff: float = field(default_factory=lambda: FIRST_BACKOFF_SECONDS)
    restart_at: float = 0.0
    ready: bool = False
    given_up: bool = False
    log: logging.Logger | None = field(default=None, repr=False)


class Supervisor:
    """Runs services until it is told to stop; says one line for each change of state."""

    def __init__(
        self,
        services: Sequence[Service],
        environment: Mapping[str, str],
        logs: Path,
        say: Callable[[str], None],
        watch: Callable[[], str | None] = lambda: None,
    ) -> None:
        """
        Args:
            say: told one line for each change of state.
            watch: looks after what is no child, every few seconds; answers a line where something changed.
        """
        self._watch = watch
        self._children = [_Child(service) for service in services]
        self._environment = dict(environment)
        self._logs = logs
        self._say = say
        self._stopping = threading.Event()

    def run(self) -> None:
        """Starts everything; returns once it was told to stop (SIGINT, SIGTERM, SIGHUP) and nothing runs any more."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: self._stopping.set())
        try:
            for child in self._children:
                self._start(child)
            watch_at = 0.0
            while not self._stopping.wait(POLL_SECONDS):
                if time.monotonic() >= watch_at:
                    watch_at = time.monotonic() + WATCH_SECONDS
                    if line := self._watch():
                        self._say(line)
                for child in self._children:
                    self._look_after(child)
        finally:
            self._stop_all()

    def _start(self, child: _Child) -> None:
        child.log = child.log or _file_logger(child.service.name, self._logs)
        # A session of its own: the terminal's Ctrl-C reaches the supervisor alone, which then stops all in order.
        child.process = subprocess.Popen(  # noqa: S603 the commands are the pipeline's own
            list(child.service.command),
            # Unbuffered, or else a state would be said when the child ends.
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 one call into libc, no lock is taken
        )
        child.started, child.ready = time.monotonic(), False
        threading.Thread(target=self._pump, args=(child.process, child.log), daemon=True).start()

    def _pump(self, process: subprocess.Popen[bytes], log: logging.Logger) -> None:
        """Writes a child's output to its log, and says its states, until it ends; what breaks in a stop is no news."""
        said = b""
        for line in process.stdout or ():
            state = line.removeprefix(STATE_PREFIX)
            log.info("%s", _text(state))
            if line.startswith(STATE_PREFIX) and state != said and not self._stopping.is_set():
                said = state
                self._say(_text(state))

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.restart_at and not child.given_up:
                self._start(child)
            return
        code = child.process.poll()
        if code is not None:
            _end_group(child.process, signal.SIGKILL)
            if code == child.service.mistake_code:
                child.process, child.given_up = None, True
                self._say(f"{child.service.name}: not started again; mend what it says, and start anew")
                return
            if code == 0 and child.service.once:
                child.process, child.given_up = None, True
                return
            if now - child.started > HEALTHY_AFTER_SECONDS:
                child.backoff = FIRST_BACKOFF_SECONDS
            self._say(
                f"{child.service.name}: ended ({_how(code)}), starting again in {child.backoff:.0f} s; "
                f"log: {self._logs / child.service.name}.log"
            )
            child.process, child.restart_at = None, now + child.backoff
            child.backoff = min(child.backoff * 2, LONGEST_BACKOFF_SECONDS)
        elif not child.ready and (child.service.is_ready is None or child.service.is_ready()):
            child.ready = True
            if not child.service.once:
                self._say(f"{child.service.name}: {child.service.ready_line or 'running'}")

    def _stop_all(self) -> None:
        # Also a child that ended just now: what it started may live.
        running = [child.process for child in self._children if child.process]
        for process in running:
            _end_group(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in running:
            _end_group(process, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def only_one(lock_file: Path, what: str) -> Iterator[None]:
    """Holds a lock while the block runs.

    Raises:
        UserError: another process holds it; the message names it.
    """
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        handle = lock_file.open("a+")
    except OSError as error:
        raise UserError(f"cannot use the folder {lock_file.parent} ({error.strerror}): choose another one.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            raise UserError(f"{what} runs already on {lock_file.parent}: process {handle.read().strip()}.") from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _end_with_parent() -> None:
    """Asks Linux for a SIGTERM when the supervisor is gone, however it went: it cannot stop anybody after a kill -9."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _file_logger(name: str, folder: Path) -> logging.Logger:
    logger = logging.getLogger(f"btc_pipeline.service.{name}")
    handler = RotatingFileHandler(folder / f"{name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
