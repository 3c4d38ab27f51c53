"""POST to result stored: the API, Dagster's queue, a run's process, the backtest itself."""

from __future__ import annotations

import time
from typing import Any, Final

import httpx

from btc_pipeline_tests.bench.backtest_market import BacktestSpace
from btc_pipeline_tests.bench.figures import Figure, Laps
from btc_pipeline_tests.bench.market import SYMBOL
from btc_pipeline_tests.bench.up import up
from btc_pipeline_tests.bench.workspace import IMPORTED, workspace

ASKED: Final = 10.0
DEADLINE_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 10.0
PERIODS: Final = (44, 45, 46, 47, 48)
"""Another one each time: an equal run is answered from the store."""
ORDER: Final = {
    "symbol": SYMBOL,
    "intervals": ["37m"],
    "start_date": "2016-01-01",
    "end_date": "2016-12-31",
    "strategy": "ma",
}


def run(space: BacktestSpace) -> list[Figure]:
    with workspace(space.folder, lambda _: space.market, space.say) as own:
        own.reset_product(IMPORTED)
        with up(own) as running:
            time.sleep(SETTLE_SECONDS)
            seconds = [_ordered(running.api, period) for period in PERIODS]
    laps = Laps(seconds)
    return [
        Figure(
            "POST to result stored, Dagster included, one year of 37m",
            f"{laps.median:.1f} s",
            f"at most {ASKED:.0f} s",
            laps.median <= ASKED,
            [str(laps), "from sending the request until GET says done, asked every 50 ms"],
        )
    ]


def _ordered(api: httpx.Client, period: int) -> float:
    began = time.perf_counter()
    answer = api.post("/api/v1/backtests", json={**ORDER, "parameters": {"period": period}})
    if answer.status_code != 202:
        raise RuntimeError(f"POST: {answer.status_code} {answer.text[:300]}")
    (accepted,) = answer.json()["data"]
    while time.perf_counter() - began < DEADLINE_SECONDS:
        found: dict[str, Any] = api.get(f"/api/v1/backtests/{accepted['id']}").json()
        if found["status"] == "done":
            return time.perf_counter() - began
        if found["status"] == "failed":
            raise RuntimeError(f"the run failed: {found['message']}")
        time.sleep(0.05)
    raise RuntimeError(f"not done after {DEADLINE_SECONDS} s: {found['status']}")
