"""A user's own Python files: found in a folder and loaded, as modules of a package that stands for it.

Belongs here: which files count, and what is said when one cannot be loaded. Does not belong here: what a file must
declare (`strategies.registry`, `exchanges.venues`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from btc_pipeline.errors import UserError


def files_of(folder: Path | None) -> list[Path]:
    """Every `*.py` of a folder, ascending by name; those whose names start with `_` are left out."""
    return sorted(folder.glob("[!_]*.py")) if folder is not None and folder.is_dir() else []


def folder_digest(folder: Path | None) -> str:
    """The digest of every `*.py` in a user's folder, helper modules and subfolders included."""
    digest = hashlib.blake2b(digest_size=16)
    if folder is not None and folder.is_dir():
        for path in sorted(folder.rglob("*.py")):
            source = path.read_bytes()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()


class UserFolder(ModuleType):
    """The package that stands for a user's folder; `from ._helper import x` works in its files."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, f"The files of {folder}.")
        self.__path__ = [str(folder)]


def load_files(files: Sequence[Path], package: str) -> Iterator[tuple[Path, ModuleType]]:
    """Runs files of one folder, each as `package.<its name>`; what was loaded under that package is forgotten.

    Raises:
        UserError: one cannot be loaded; the message names the file, the line and the error.
    """
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    if files:
        sys.modules[package] = UserFolder(package, files[0].parent)
        # What is imported by name must be what lies in the folder now.
        importlib.invalidate_caches()
    for path in files:
        yield path, _load_file(path, package)


def modules_beside(module: str) -> list[ModuleType]:
    """All that is loaded of the folder that a user's module is from, itself included; any other module alone."""
    package = module.rpartition(".")[0]
    if not isinstance(sys.modules.get(package), UserFolder):
        return [sys.modules[module]] if module in sys.modules else []
    return [found for name, found in sorted(sys.modules.items()) if name.startswith(f"{package}.")]


def _load_file(path: Path, package: str) -> ModuleType:
    name = f"{package}.{path.stem}"
    if name in sys.modules:
        # Another file has imported it.
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _without_bytecode():
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{path}{line_of(error, path)}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Bytecode goes by whole seconds and sizes: it would stand for a file that is edited twice in one second."""
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = kept


def line_of(error: BaseException, path: Path) -> str:
    """Where in the file, or nothing: the innermost of its lines, though the error may have come from what it calls."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
