"""Child processes: restarted when they die, ended with everything they started, their logs kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from btc_pipeline import supervision
from btc_pipeline.errors import UserError
from btc_pipeline.supervision import Service, Supervisor, only_one

REPOSITORY = Path(__file__).parents[1]
PATIENCE_SECONDS = 20.0

# A parent with a child of its own; both write their number and go on for ever.
FAMILY = """
import os, pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(folder / "child").write_text(str(child.pid))
(folder / "parent").write_text(str(os.getpid()))
print("started", flush=True)
time.sleep(600)
"""
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1], "parent").write_text(str(os.getpid()))
time.sleep(600)
"""
SUPERVISE = """
import pathlib, sys
from btc_pipeline import supervision
supervision.STOP_SECONDS = float(sys.argv[2])
folder = pathlib.Path(sys.argv[1])
service = supervision.Service("family", [sys.executable, "-c", sys.argv[3], str(folder)])
say = lambda line: print(line, flush=True)
supervision.Supervisor([service], {}, folder / "logs", say).run()
say("all gone")
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A supervisor in this process sets signal handlers; pytest wants its own back."""
    kept = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for signum, handler in kept.items():
        signal.signal(signum, handler)


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def number_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text() != "")
    return int(path.read_text())


def run_until(supervisor: Supervisor, done: Callable[[], bool]) -> None:
    """Runs a supervisor in this process and asks it to stop, as a signal would, once something is true."""

    def watch() -> None:
        with contextlib.suppress(AssertionError):
            until(done)
        supervisor._stopping.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    supervisor.run()
    watcher.join()
    assert done()


@contextlib.contextmanager
def supervised(folder: Path, code: str, stop_seconds: float = 15.0) -> Iterator[subprocess.Popen[str]]:
    """A supervisor in a process of its own, over one child."""
    process = subprocess.Popen(
        python(SUPERVISE, folder, stop_seconds, code),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_children_and_what_they_started(tmp_path: Path, signum: signal.Signals) -> None:
    with supervised(tmp_path, FAMILY) as process:
        parent, child = number_in(tmp_path / "parent"), number_in(tmp_path / "child")
        assert lives(parent)
        assert lives(child)
        process.send_signal(signum)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, errors) == (0, "")
    assert output.splitlines()[-1] == "all gone"
    assert not lives(parent)
    until(lambda: not lives(child))


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, STUBBORN, stop_seconds=0.5) as process:
        parent = number_in(tmp_path / "parent")
        began = time.monotonic()
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert time.monotonic() - began < 10
    assert not lives(parent)


def test_what_a_dead_child_left_behind_is_ended_too(tmp_path: Path) -> None:
    code = FAMILY.replace("time.sleep(600)\n", "sys.exit(3)\n")
    said: list[str] = []
    service = Service("family", python(code, tmp_path))
    run_until(Supervisor([service], {}, tmp_path / "logs", said.append), lambda: any("ended" in line for line in said))
    until(lambda: not lives(number_in(tmp_path / "child")))
    assert f"family: ended (exit code 3), starting again in 1 s; log: {tmp_path}/logs/family.log" in said


def test_a_child_that_dies_at_the_moment_of_stopping_leaves_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor([Service("family", python(FAMILY, tmp_path))], {}, tmp_path, lambda _: None)
    (child,) = supervisor._children
    supervisor._start(child)
    grandchild = number_in(tmp_path / "child")
    os.kill(number_in(tmp_path / "parent"), signal.SIGKILL)
    assert child.process is not None
    child.process.wait()
    supervisor._stop_all()
    until(lambda: not lives(grandchild))


def test_a_child_that_dies_is_started_again_ever_more_patiently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "LONGEST_BACKOFF_SECONDS", 0.4)
    monkeypatch.setattr(supervision, "FIRST_BACKOFF_SECONDS", 0.1)
    started = tmp_path / "started"
    code = f"import time; open({str(started)!r}, 'a').write(f'{{time.time()}}\\n')"

    def starts() -> list[float]:
        return [float(line) for line in started.read_text().split()] if started.exists() else []

    service = Service("brief", python(code))
    run_until(Supervisor([service], {}, tmp_path / "logs", lambda _: None), lambda: len(starts()) >= 5)
    times = starts()
    waits = [after - before for before, after in pairwise(times)]
    for wait, least in zip(waits, (0.1, 0.2, 0.4, 0.4), strict=False):
        assert wait >= least


def test_a_child_that_had_been_healthy_starts_again_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "HEALTHY_AFTER_SECONDS", 0.0)
    said: list[str] = []
    service = Service("brief", python("pass"))
    monkeypatch.setattr(supervision, "FIRST_BACKOFF_SECONDS", 0.1)
    supervisor = Supervisor([service], {}, tmp_path / "logs", said.append)
    run_until(supervisor, lambda: sum("ended" in line for line in said) >= 3)
    assert all("(exit code 0), starting again in 0 s" in line for line in said if "ended" in line)


def test_a_kill_is_told_by_its_name(tmp_path: Path) -> None:
    said: list[str] = []
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    supervisor = Supervisor([Service("victim", python(code))], {}, tmp_path / "logs", said.append)
    run_until(supervisor, lambda: bool(said))
    assert said[0].startswith("victim: ended (SIGKILL), starting again in 1 s")


def test_readiness_is_said_once_and_only_when_it_is_true(tmp_path: Path) -> None:
    said: list[str] = []
    ready = tmp_path / "ready"
    code = f"import pathlib, time; time.sleep(0.5); pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    service = Service("slow", python(code), ready.exists, "there it is")
    began = time.monotonic()
    run_until(
        Supervisor([service], {}, tmp_path / "logs", said.append), lambda: bool(said) and time.monotonic() - began > 1.5
    )
    assert said == ["slow: there it is"]


def test_children_have_the_environment_and_their_output_is_a_log(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; print('to', os.environ['WHERE']); sys.stdout.flush(); "
        "sys.stderr.buffer.write(b'caf\\xe9 100%s\\n'); sys.stderr.flush(); time.sleep(600)"
    )
    log = tmp_path / "logs" / "talker.log"
    supervisor = Supervisor([Service("talker", python(code))], {"WHERE": "here"}, log.parent, lambda _: None)
    run_until(supervisor, lambda: log.exists() and log.read_text().count("\n") == 2)
    assert log.read_text().splitlines() == ["to here", "caf� 100%s"]


def test_a_state_is_said_once_and_logged_and_other_lines_are_only_logged(tmp_path: Path) -> None:
    lines = [
        "STATE talker: away",
        "a detail",
        "STATE talker: away",
        "STATE talker: there",
        "STATE talker: away",
    ]
    # Neither flushed nor ended: what a child writes is said while it runs.
    code = f"import time\nfor line in {lines!r}: print(line)\ntime.sleep(600)"
    said: list[str] = []
    log = tmp_path / "logs" / "talker.log"
    supervisor = Supervisor([Service("talker", python(code), lambda: False)], {}, log.parent, said.append)
    run_until(supervisor, lambda: log.exists() and log.read_text().count("\n") == 5 and len(said) == 3)
    assert said == ["talker: away", "talker: there", "talker: away"]
    assert log.read_text().splitlines() == [line.removeprefix("STATE ") for line in lines]


def test_logs_are_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "LOG_BYTES", 1000)
    monkeypatch.setattr(supervision, "LOG_FILES", 2)
    code = (
        "import time\nfor i in range(200): print(f'line {i:05}', flush=True)\nprint('end', flush=True); time.sleep(600)"
    )
    folder = tmp_path / "logs"
    supervisor = Supervisor([Service("talker", python(code))], {}, folder, lambda _: None)
    run_until(supervisor, lambda: (folder / "talker.log").exists() and "end" in (folder / "talker.log").read_text())
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["talker.log", "talker.log.1", "talker.log.2"]
    assert all(path.stat().st_size <= 1000 for path in folder.iterdir())


def test_only_one_is_let_in_and_the_other_is_told_by_whom(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "up.lock"
    code = (
        "import pathlib, sys, time\nfrom btc_pipeline.supervision import only_one\n"
        "with only_one(pathlib.Path(sys.argv[1]), 'it'):\n    print('in', flush=True)\n    time.sleep(600)"
    )
    holder = subprocess.Popen(
        python(code, lock), env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        with (
            pytest.raises(UserError, match=f"it runs already on {lock.parent}: process {holder.pid}\\."),
            only_one(lock, "it"),
        ):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with only_one(lock, "it"):
        assert lock.read_text() == str(os.getpid()), "a kill leaves no lock behind"


def test_a_folder_that_cannot_be_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot use the folder"), only_one(tmp_path / "file" / "up.lock", "it"):
        pass


def test_a_child_that_says_a_setting_is_wrong_is_not_started_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('a').write('x'); sys.exit(2)"
    service = Service("picky", python(code, runs), mistake_code=2)
    lines: list[str] = []
    supervisor = Supervisor([service], {}, tmp_path / "logs", lines.append)
    run_until(supervisor, lambda: any("not started again" in line for line in lines))
    assert runs.read_text() == "x"
    assert lines == ["picky: running", lines[-1]] or len(lines) == 1


def test_what_runs_once_is_started_again_until_it_has_done_its_work(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.open('a').write('x'); sys.exit(len(p.read_text()) < 2)"
    )
    once = Service("once", python(code, tmp_path / "runs"), once=True)
    lines: list[str] = []
    supervisor = Supervisor([once], {}, tmp_path / "logs", lines.append)
    run_until(supervisor, lambda: supervisor._children[0].given_up)
    assert (tmp_path / "runs").read_text() == "xx"
    assert [line.partition(",")[0] for line in lines] == ["once: ended (exit code 1)"]


def test_what_is_no_child_is_watched_and_a_change_is_said(tmp_path: Path) -> None:
    answers = iter([None, "database: ended, started again"])
    lines: list[str] = []
    service = Service("sleeper", python("import time; time.sleep(600)"))
    supervisor = Supervisor([service], {}, tmp_path / "logs", lines.append, lambda: next(answers, None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervision, "WATCH_SECONDS", 0.1)
        run_until(supervisor, lambda: "database: ended, started again" in lines)
    assert lines.count("database: ended, started again") == 1
