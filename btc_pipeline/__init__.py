"""btc_pipeline: candles, indicators, decisions and backtests of one pipeline.

Belongs here: what a notebook imports. Everything else lives in the packages below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from btc_pipeline.notebook import load_candles, load_decisions

__all__ = ["load_candles", "load_decisions"]


def __getattr__(name: str) -> Any:
    # On demand: every process imports this package, and few of them want the database's drivers for it.
    if name in __all__:
        from btc_pipeline import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
