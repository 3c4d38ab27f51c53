"""What is said when a strategy fails: its file, its line and its error, not the pipeline's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from btc_pipeline.errors import StrategyError, UserError
from btc_pipeline.plugins import line_of
from btc_pipeline.strategies.base import Strategy


@contextmanager
def faults_of(strategy: Strategy) -> Iterator[None]:
    """Within it the strategy's own code runs.

    Raises:
        StrategyError: it raised; the message names the strategy, its file and line, and the error.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise StrategyError(
            f"strategy {strategy.name!r} failed{_place(strategy, error)}: {type(error).__name__}: {error}"
        ) from error


def _place(strategy: Strategy, error: BaseException) -> str:
    # A class of a notebook has no file.
    file = getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
    return f", {Path(file).name}{line_of(error, Path(file))}" if file else ""
