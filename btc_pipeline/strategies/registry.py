"""Strategies by name: the built-in ones, and those a user drops into a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import Final

from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.plugins import files_of, folder_digest, load_files
from btc_pipeline.strategies.base import Strategy
from btc_pipeline.strategies.moving_average import MA44, MA125, MovingAverage

BUILT_IN: Final[tuple[type[Strategy], ...]] = (MovingAverage, MA44, MA125)

PACKAGE: Final = "btc_pipeline_user_strategies"

MOST_LOOKBACK: Final = 100_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
_REQUIRED: Final = ("name", "display_name", "description")


@dataclass(frozen=True, slots=True)
class Registry:
    """Strategies by name; `sources` digests the user's files, because their code decides, too."""

    strategies: Mapping[str, Strategy]
    sources: str

    def is_own(self, name: str) -> bool:
        """Whether the user brought it."""
        return type(self.get(name)) not in BUILT_IN

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
    for path, module in load_files(files_of(folder), PACKAGE):
        for cls in _strategies_in(module, path):
            if cls.name in found:
                raise UserError(f"{path}: strategy {cls.name!r} exists already; give it another name.")
            found[cls.name] = cls()
    return Registry(found, folder_digest(folder))


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
        _check_declared(cls, path)
        yield cls


def _check_declared(cls: type[Strategy], path: Path) -> None:
    """
    Raises:
        UserError: its name, its look-back or a parameter is not what it should be.
    """
    if not isinstance(cls.name, str) or not _NAME.fullmatch(cls.name):
        raise UserError(f"{path}: strategy name {cls.name!r:.60} is not valid: use letters, digits, _ and -.")
    if type(cls.lookback) is not int or not 0 <= cls.lookback <= MOST_LOOKBACK:
        allowed = f"give 0 to {MOST_LOOKBACK:,} bars"
        raise UserError(f"{path}: strategy {cls.name}: lookback {cls.lookback!r:.40} is not valid: {allowed}.")
    for one in cls.parameters:
        try:
            one.validate(one.default, of=f"strategy {cls.name}: the default of")
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
