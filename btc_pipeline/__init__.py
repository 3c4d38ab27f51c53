"""btc_pipeline: candles, indicators, decisions and backtests of one pipeline.

Belongs here: what a notebook imports. Everything else lives in the packages below.

`from btc_pipeline import backtest` is `notebook.backtest`. The package of that name is imported under it, so the
package is what one gets, and can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from btc_pipeline.notebook import load_candles, load_decisions

__all__ = ["backtest", "load_candles", "load_decisions"]


class _CallablePackage(ModuleType):
    """The package `backtest`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """`notebook.backtest`."""
        from btc_pipeline.notebook import backtest

        return backtest(*arguments, **options)


class _Root(ModuleType):
    """This package: whatever imports `btc_pipeline.backtest` first, it becomes callable when it is bound here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "backtest" and isinstance(value, ModuleType):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    # On demand: every process imports this package, and few of them want the database's drivers for it.
    if name == "backtest":
        import importlib

        return importlib.import_module("btc_pipeline.backtest")
    if name in __all__:
        from btc_pipeline import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _Root
