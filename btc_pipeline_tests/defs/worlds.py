"""Made-up minutes of two symbols, and the job over them on an instance that lives in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import numpy as np

from btc_pipeline.defs.build import build_definitions
from btc_pipeline.defs.jobs import MATERIALIZE
from btc_pipeline.defs.partitions import range_tags
from btc_pipeline.market.candles import Candles, Scale, minute_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline.storage.times import to_day

SYMBOL = "BTCUSD.BITFINEX"
OTHER = "BTCUSDT.BINANCE"
FIRST = to_day(date(2016, 1, 1))
DAYS = 4
HOLE = range(FIRST * 1440 + 600, FIRST * 1440 + 720)
"""Two hours of the first day that nobody explains."""
JUMP_DAY = FIRST + 2
"""The price is a fifth higher from this midnight on."""
SCALE = Scale(2, 3)
SMALL = ("candles_1m", "candles_37m", "candles_other", "indicators_37m", "decisions_37m")


def made_minutes(first_day: int, days: int, *, seed: int = 7, without: Iterable[int] = ()) -> Candles:
    """A random walk in cents."""
    random = np.random.default_rng(seed)
    n = days * 1440
    cents = 40_000 + np.cumsum(random.integers(-30, 31, n))
    time = first_day * 1440 + np.arange(n)
    cents = np.where(time >= JUMP_DAY * 1440, cents + 8_000, cents)
    close = cents / 100
    open_ = np.where(time == JUMP_DAY * 1440, close, np.concatenate((close[:1], close[:-1])))
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    volume = random.integers(1, 10_000, n) / 1000
    candles = minute_candles(SCALE, time, (open_, high, low, close), volume)
    return candles.take(~np.isin(time, list(without)))


def store(database: Database, symbol: str, minutes: Candles) -> None:
    """Writes minutes as an import does, their days touched."""
    with database.arrow() as cursor:
        upsert_instrument(cursor, symbol, minutes.scale)
        write_minutes(cursor, symbol, minutes, status="confirmed", reason="test")


def edit_minute(database: Database, minute: int, symbol: str = SYMBOL) -> None:
    """A correction of one stored minute by its source: one unit of volume more."""
    made = made_minutes(minute // 1440, 1).take(slice(minute % 1440, minute % 1440 + 1))
    with database.rows() as connection:
        row = connection.execute(
            "SELECT open, high, low, close, volume + 1 AS volume FROM candles "
            "WHERE symbol = %s AND interval = '1m' AND time = to_timestamp(%s)",
            (symbol, minute * 60),
        ).fetchone()
    assert row is not None
    prices = tuple(np.array([row[name]]) for name in ("open", "high", "low", "close"))
    store(database, symbol, minute_candles(SCALE, made.time, prices, np.array([row["volume"]])))  # type: ignore[arg-type]


def run(
    instance: dg.DagsterInstance,
    days: range | None = None,
    *,
    partition: str | None = None,
    symbols: Sequence[str] = (),
    assets: Sequence[str] | None = None,
) -> dg.ExecuteInProcessResult:
    """The job `materialize` over a range of days or one partition."""
    job = build_definitions().resolve_job_def(MATERIALIZE)
    return job.execute_in_process(
        instance=instance,
        partition_key=partition,
        tags=None if days is None else range_tags(days),
        asset_selection=None if assets is None else [dg.AssetKey(name) for name in assets],
        run_config={
            "resources": {"pipeline": {"config": {"symbols": list(symbols)}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Metadata values of every asset's materialisation, whichever partition of a range it is told of."""
    return {
        event.asset_key.to_user_string(): {
            key: value.value for key, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization and event.asset_key is not None
    }


def checks_of(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Evaluations by (asset, check)."""
    return {(one.asset_key.to_user_string(), one.check_name): one for one in result.get_asset_check_evaluations()}


def problems_of(check: dg.AssetCheckEvaluation) -> list[Mapping[str, Any]]:
    """The rows of a check's table of problems."""
    value = check.metadata["problems"]
    assert isinstance(value, dg.TableMetadataValue)
    return [record.data for record in value.records]
