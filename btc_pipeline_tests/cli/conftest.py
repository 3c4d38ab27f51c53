"""The command in this process (quick) and as a process of its own (the real thing)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from btc_pipeline.cli.main import main
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.server import EmbeddedServer
from btc_pipeline_tests.cli.environment import database_variables, own_environment, small_pipeline

COMMAND = Path(sys.executable).with_name("btc-pipeline")
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """The one line for a user's mistake."""
        assert self.code == 2, self
        assert "Traceback" not in self.err, self.err
        (line,) = self.err.splitlines()
        assert line.startswith("error: "), line
        return line.removeprefix("error: ")


Run = Callable[..., Ended]


@pytest.fixture
def own_settings(tmp_path: Path) -> Iterator[Path]:
    """Nothing of the developer's own settings; few intervals; the folder it is all in."""
    with own_environment(tmp_path):
        os.environ.update(small_pipeline(tmp_path))
        yield tmp_path


@pytest.fixture
def run(own_settings: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, over a fresh database."""
    os.environ.update(database_variables(database.uri))

    def call(*arguments: object, **variables: str) -> Ended:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["btc-pipeline", *map(str, arguments)])
            for name, value in variables.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as exit_:
                main()
        out, err = capsys.readouterr()
        return Ended(int(exit_.value.code or 0), out, err)

    return call


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """A folder for a database of its own, which any user may pass through to."""
    folder = Path(tempfile.mkdtemp(prefix="btc-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        EmbeddedServer(folder / "data").stop()
        shutil.rmtree(folder, ignore_errors=True)


def process(folder: Path, *arguments: object, variables: Mapping[str, str] | None = None) -> Ended:
    """The command as a process of its own, with its data in a folder."""
    done = subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        check=False,
        cwd=folder,
        env=environment(folder, variables),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def environment(folder: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of such a process."""
    with own_environment(folder):
        return {**os.environ, "PYTHONPATH": str(REPOSITORY), **small_pipeline(folder), **(variables or {})}
