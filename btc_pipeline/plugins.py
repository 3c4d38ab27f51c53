"""A user's own Python files: found in a folder and loaded, each as a module of its own.

Belongs here: which files count, and what is said when one cannot be loaded. Does not belong here: what a file must
declare (`strategies.registry`, `exchanges.venues`).
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from btc_pipeline.errors import UserError


def files_of(folder: Path | None) -> list[Path]:
    """Every `*.py` of a folder, ascending by name; those whose names start with `_` are left out."""
    return sorted(folder.glob("[!_]*.py")) if folder is not None and folder.is_dir() else []


def load_file(path: Path, package: str) -> ModuleType:
    """Runs a file as `package.<its name>`.

    Raises:
        UserError: it cannot be loaded; the message names the file, the line and the error.
    """
    name = f"{package}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path}{line_of(error, path)}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def line_of(error: Exception, path: Path) -> str:
    """Where in the file, or nothing: the innermost of its lines, though the error may have come from what it calls."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
