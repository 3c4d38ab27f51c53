"""What is said when a strategy fails: its file, its line and its error, not the pipeline's."""

from __future__ import annotations

import sys
from pathlib import Path

from btc_pipeline.errors import StrategyError, UserError
from btc_pipeline.plugins import line_of
from btc_pipeline.strategies.base import Strategy


class faults_of:  # noqa: N801 it is used as a function is, as `contextlib.suppress`
    """Within it a strategy's own code runs. A class, for a sweep enters it for every set.

    Raises:
        StrategyError: it raised; the message names the strategy, its file and line, and the error.
    """

    __slots__ = ("_strategy",)

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    def __enter__(self) -> None:
        """Nothing is made ready."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not isinstance(error, Exception | SystemExit) or isinstance(error, UserError | MemoryError):
            return
        strategy = self._strategy
        raise StrategyError(
            f"strategy {strategy.name!r} failed{_place(strategy, error)}: {type(error).__name__}: {error}"
        ) from error


def _place(strategy: Strategy, error: BaseException) -> str:
    # A class of a notebook has no file.
    file = getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
    return f", {Path(file).name}{line_of(error, Path(file))}" if file else ""
