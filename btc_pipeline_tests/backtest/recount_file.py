"""Bars and targets of the two real years, recounted from the files' text in integers."""

from __future__ import annotations

import gzip
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

from btc_pipeline_tests.backtest.recount import NO_OPINION, Bar, Minute, bars_of
from btc_pipeline_tests.real_data import DATA

DAYS = range(16436, 16436 + 731)
"""2015-01-01 to 2016-12-31."""
LENGTH = 37
QUIET_AT_MOST = 180
"""Minutes of a hole that the source vouches for."""


@lru_cache(maxsize=1)
def file_minutes() -> tuple[Minute, ...]:
    """Minutes that traded, prices as written. The order of the columns is open, close, high, low."""
    found = []
    for year in (2015, 2016):
        with gzip.open(DATA / f"bitfinex_btcusd_1m_{year}.csv.gz", "rt") as lines:
            for line in lines:
                time, opened, close, high, low, volume = line.split(",")
                prices = [Decimal(text) for text in (opened, high, low, close)]
                if Decimal(volume) or len(set(prices)) > 1:
                    found.append(Minute(int(time) // 60_000, *prices))
    return tuple(found)


@lru_cache(maxsize=1)
def file_bars() -> tuple[Bar, ...]:
    """Bars of 37m; usable where no minute is unknown (99 % of 37 are all of them)."""
    minutes = file_minutes()
    unknown: set[int] = set()
    for one, following in pairwise(minutes):
        if following.time - one.time - 1 > QUIET_AT_MOST:
            unknown.update(minute // LENGTH for minute in range(one.time + 1, following.time))
    first, last = minutes[0].time, minutes[-1].time
    whole = range(-(-first // LENGTH), (last + 1) // LENGTH)
    return tuple(bars_of(minutes, LENGTH, DAYS, usable=lambda slot: slot in whole and slot not in unknown))


def moving_average_targets(period: int) -> list[int]:
    """Above the average of the last closes long, below short; none in a window that lacks more than its slack."""
    bars, slack = file_bars(), max(2, period // 20)
    ticks = [int(bar.close * 10**8) for bar in bars]
    targets = []
    for at, bar in enumerate(bars):
        window = bars[at - period + 1 : at + 1] if at >= period - 1 else ()
        missing = (bar.open_time - window[0].open_time) // LENGTH + 1 - period if window else period
        if not bar.usable or missing > slack or sum(not one.usable for one in window) > slack:
            targets.append(NO_OPINION)
            continue
        difference = ticks[at] * period - sum(ticks[at - period + 1 : at + 1])
        targets.append((difference > 0) - (difference < 0) or NO_OPINION)
    return targets
