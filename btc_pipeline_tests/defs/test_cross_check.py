"""The check that compares two symbols, as a run shows it."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import dagster as dg
import numpy as np

from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.defs.worlds import DAYS, FIRST, SYMBOL, checks_of, made_minutes, problems_of, run, store

TWIN = "BTCUSD.BITSTAMP"
FAR = range(FIRST * 1440 + 900, FIRST * 1440 + 904)
CHECK = ("candles_1m", "cross_check")
ONE_DAY = range(FIRST, FIRST + 1)


def test_a_price_far_from_another_venue_s_is_a_warning_with_its_minutes(
    world: Database, instance: dg.DagsterInstance
) -> None:
    minutes = made_minutes(FIRST, DAYS)
    close = np.where(np.isin(minutes.time, FAR), np.round(minutes.close * 1.01, 2), minutes.close)
    store(world, TWIN, replace(minutes, close=close, high=np.maximum(minutes.high, close)))
    os.environ["BTC_PIPELINE_CROSS_CHECKS"] = json.dumps([{"symbol": TWIN, "against": SYMBOL}])

    check = checks_of(run(instance, ONE_DAY, assets=["candles_1m"]))[CHECK]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    (row,) = problems_of(check)
    assert 98 < float(str(row.pop("deviation_bps"))) < 102  # type: ignore[attr-defined]
    assert row == {"symbol": TWIN, "against": SYMBOL, "start": "2016-01-01 15:00", "minutes": 4}
    assert checks_of(run(instance, range(FIRST + 1, FIRST + 2), assets=["candles_1m"]))[CHECK].passed
    with world.rows() as connection:
        rows = connection.execute("SELECT reason, resolved FROM data_quality WHERE kind = 'anomaly'").fetchall()
    assert [(one["reason"].partition(" (")[0], one["resolved"]) for one in rows] == [
        (f"{TWIN} is 100 bps above {SYMBOL}", True)
    ]


def test_without_a_pair_the_check_passes_and_says_so(world: Database, instance: dg.DagsterInstance) -> None:
    check = checks_of(run(instance, ONE_DAY, symbols=[SYMBOL], assets=["candles_1m"]))[CHECK]
    assert (check.passed, check.description) == (True, f"{SYMBOL}: no pair is configured")
