"""The proof against look-ahead over stored minutes: what `backtest.lookahead` replays is read here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from btc_pipeline.backtest.bar_maker import BarMaker
from btc_pipeline.backtest.lookahead import Proof, prove
from btc_pipeline.errors import UserError
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.backtest_data import Replay
from btc_pipeline.pipeline.backtest_request import BacktestRequest
from btc_pipeline.pipeline.backtests import Prepared, prepare
from btc_pipeline.settings import Settings
from btc_pipeline.storage.candles import first_and_last_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.times import to_date


def verify_lookahead(
    database: Database,
    settings: Settings,
    values: Mapping[str, Any],
    *,
    cuts: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> tuple[Prepared, Proof]:
    """Proves a strategy on the minutes that a backtest of the same request would read.

    Args:
        values: of a `BacktestRequest`; `start` is by default the first day that is stored.
        cuts: as for `prove`.

    Raises:
        UserError: the request cannot be run, or there is no bar to prove anything on.
    """
    asked = dict(values)
    with database.arrow() as cursor:
        if asked.get("start") is None:
            symbol = BacktestRequest.of({**asked, "start": "1970-01-01"}).symbol
            bounds = first_and_last_minute(cursor, symbol) or (0, 0)
            asked["start"] = to_date(bounds[0] // MINUTES_PER_DAY).isoformat()
        prepared = prepare(cursor, settings, BacktestRequest.of(asked))
        replay = Replay.read(cursor, prepared.scope, settings.rule)
    scope, own = prepared.scope, replay.own
    slots = {one: scope.slots_of(one, scope.slots.start) for one in scope.lookbacks}
    maker = BarMaker(own.minutes, slots, own.vouched, settings.rule)
    proof = prove(prepared.plan.one, maker, warm_bars=replay.warm_bars, cuts=cuts, progress=progress)
    if not proof.bars:
        raise UserError(f"{prepared.plan.symbol} has no bar of {scope.interval} in that range.", field="start")
    return prepared, proof
