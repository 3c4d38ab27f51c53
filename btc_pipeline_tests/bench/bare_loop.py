"""The yardstick of a sweep: a compiled loop with two threads that keeps nothing of a run but the final equity.

No metrics, no trades, no midnights, no holes: a running sum, a side, a fill at the next open.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numba
import numpy as np

from btc_pipeline.market.candles import Float64Array

CAPITAL: Final = 10_000.0
COST: Final = 0.002
THREADS: Final = 2


def run(open_: Float64Array, close: Float64Array, periods: range) -> Float64Array:
    """Final equities, float64[len(periods)]."""
    found = np.empty(len(periods))
    wanted = np.array(periods, np.int64)
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(_each, open_, close, wanted, found, first, THREADS) for first in range(THREADS)]:
            done.result()
    return found


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _each(open_, close, periods, found, first, step):  # type: ignore[no-untyped-def]
    for at in range(first, len(periods), step):
        period, total, cash, coins = periods[at], 0.0, CAPITAL, 0.0
        for bar in range(len(close) - 1):
            total += close[bar]
            if bar >= period:
                total -= close[bar - period]
            if bar < period - 1:
                continue
            if close[bar] * period > total:
                if coins == 0.0:
                    coins, cash = cash * (1.0 - COST) / open_[bar + 1], 0.0
            elif close[bar] * period < total and coins > 0.0:
                cash, coins = coins * open_[bar + 1] * (1.0 - COST), 0.0
        found[at] = cash + coins * close[-1]
