"""What makes two runs the same: everything that can change a result, as one key.

`run_key` rests on the content digests of the minutes that were read. `lookup_key` says the same by digests that
PostgreSQL makes itself: reading nothing, it finds a run that was made already in a fraction of the time. Where it finds
none (another version of PostgreSQL digests otherwise) the run key still does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Final

from btc_pipeline.backtest.engine import ENGINE_VERSION
from btc_pipeline.pipeline.backtest_data import Replay, Scope
from btc_pipeline.pipeline.backtest_request import Plan
from btc_pipeline.pipeline.catalogue import code_digest, strategy_key
from btc_pipeline.pipeline.content import combined_digest
from btc_pipeline.plugins import folder_digest
from btc_pipeline.settings import Settings
from btc_pipeline.strategies.registry import BUILT_IN

PINNED: Final = ("numpy", "numba")
"""Libraries whose version may change a result."""


def run_key(plan: Plan, replay: Replay, settings: Settings) -> str:
    """The key of a run over the minutes that were read."""
    warm = {} if replay.warm is None else replay.warm.digests
    return combined_digest(_recipe(plan, replay.scope, settings), _told(replay.own.digests), _told(warm))


def lookup_key(plan: Plan, scope: Scope, settings: Settings, marks: Sequence[str]) -> str:
    """The key of a run over the minutes that are stored, by what `storage.backtests.MARK` says of them."""
    return combined_digest(_recipe(plan, scope, settings), *marks)


def _recipe(plan: Plan, scope: Scope, settings: Settings) -> str:
    """All but the data: code, strategy, account, libraries, days."""
    warm = scope.warm
    return json.dumps(
        {
            "engine": ENGINE_VERSION,
            "code": code_digest("market", "indicators", "strategies", "backtest"),
            # What a user has in the folder decides on the strategies from there, and on no others.
            "user_code": "" if type(plan.one.strategy) in BUILT_IN else folder_digest(settings.strategies_folder),
            "libraries": {name: version(name) for name in PINNED},
            "symbol": plan.symbol,
            "strategy": strategy_key(plan.one),
            "interval": plan.one.interval.name,
            "account": asdict(plan.account),
            "rule": asdict(settings.rule),
            "scale": asdict(scope.instrument.scale),
            "days": [plan.days.start, plan.days.stop],
            "funding": None,
            "warm_up": None if warm is None else [asdict(warm.warm_up), asdict(warm.instrument.scale)],
        },
        sort_keys=True,
        default=str,
    )


def _told(digests: Mapping[int, str]) -> str:
    return " ".join(f"{day}:{digest}" for day, digest in sorted(digests.items()))
