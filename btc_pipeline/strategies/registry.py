"""Strategies by name: the built-in ones, and those a user drops into a folder."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import isabstract
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Final

from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.strategies.base import Strategy
from btc_pipeline.strategies.moving_average import MA44, MA125, MovingAverage

BUILT_IN: Final[tuple[type[Strategy], ...]] = (MovingAverage, MA44, MA125)

_REQUIRED: Final = ("name", "display_name", "description")


@dataclass(frozen=True, slots=True)
class Registry:
    """Strategies by name; `sources` digests the user's files, because their code decides, too."""

    strategies: Mapping[str, Strategy]
    sources: str

    def get(self, name: str) -> Strategy:
        """The strategy of that name.

        Raises:
            UnknownNameError: there is none; the message offers the nearest name.
        """
        if name in self.strategies:
            return self.strategies[name]
        near = get_close_matches(name, self.strategies, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(self.strategies))}."
        raise UnknownNameError(f"strategy {name!r} is unknown: {hint}", field="strategy")


def load_strategies(folder: Path | None = None) -> Registry:
    """The built-in strategies and those of every `*.py` file in a folder (names that start with `_` are left out).

    Raises:
        UserError: a file cannot be loaded, declares no strategy, or takes a name that is taken.
    """
    found: dict[str, Strategy] = {cls.name: cls() for cls in BUILT_IN}
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.glob("[!_]*.py")) if folder is not None and folder.is_dir() else []:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
        for cls in _strategies_in(_load(path), path):
            if cls.name in found:
                raise UserError(f"{path}: strategy {cls.name!r} exists already; give it another name.")
            found[cls.name] = cls()
    return Registry(found, digest.hexdigest())


def _load(path: Path) -> ModuleType:
    name = f"btc_pipeline_user_strategies.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path}{_line(error, path)}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _line(error: Exception, path: Path) -> str:
    """Where in the file: the innermost of its lines, though the error may have come from what it calls."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _strategies_in(module: ModuleType, path: Path) -> Iterator[type[Strategy]]:
    own = [
        cls
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Strategy) and cls.__module__ == module.__name__
    ]
    concrete = [cls for cls in own if not isabstract(cls)]
    if not concrete:
        raise UserError(f"{path}: declares no strategy; define a class of btc_pipeline.strategies.Strategy in it.")
    for cls in concrete:
        missing = [attribute for attribute in _REQUIRED if not getattr(cls, attribute, None)]
        if missing:
            raise UserError(f"{path}: strategy {cls.__name__} lacks {', '.join(missing)}.")
        yield cls
