"""A few made-up days to backtest on: with a hole of two hours, with a strategies folder of a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from btc_pipeline.pipeline.backtests import BacktestRequest
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.defs.worlds import DAYS, FIRST, HOLE, SYMBOL, made_minutes, store

NOW = 30_000_000
ORDER: Mapping[str, Any] = {
    "symbol": SYMBOL,
    "interval": "37m",
    "start": "2016-01-01",
    "end": "2016-01-05",
    "strategy": "above",
    "parameters": {"period": 5},
}
STRATEGY = """
import numpy as np
from btc_pipeline.strategies import FLAT, LONG, SHORT, Input, Opinions, Parameter, Strategy

class Above(Strategy):
    name = "above"
    display_name = "Above the average"
    description = "Long above the simple average, short below."
    parameters = (Parameter("period", int, 20, 5, 500, "bars of the average"),)

    def inputs(self, p):
        return {"average": Input("sma", {"period": p["period"]})}

    def decide(self, view, p):
        above = view.bars.close > view["average"]
        target = np.where(above, LONG, SHORT).astype(np.int8)
        return Opinions(target, np.ones(len(target)), [(above, "close above the average")])
"""


def user_settings(folder: Path, **overrides: Any) -> Settings:
    """Settings with one strategy of a user's and a helper module beside it."""
    strategies = folder / "strategies"
    strategies.mkdir(exist_ok=True)
    if not (strategies / "above.py").exists():
        (strategies / "above.py").write_text(STRATEGY)
        (strategies / "_helper.py").write_text("FACTOR = 1\n")
    return load_settings(strategies_folder=strategies, **overrides)


def fill(database: Database, days: int = DAYS) -> None:
    """Stores the days' minutes but for the hole's."""
    store(database, SYMBOL, made_minutes(FIRST, days, without=HOLE))


def order(**changes: Any) -> BacktestRequest:
    """The request above, changed."""
    return BacktestRequest.of({**ORDER, **changes})
