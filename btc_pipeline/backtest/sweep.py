"""Many parameters over the same bars: every row is what the single run with those parameters gives, to the bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import Workspace, admitted
from btc_pipeline.backtest.market_data import MarketData
from btc_pipeline.indicators.memo import sharing
from btc_pipeline.market.candles import Candles, Float64Array
from btc_pipeline.market.intervals import Interval
from btc_pipeline.strategies.base import Parameters, Strategy
from btc_pipeline.strategies.decisions import StrategyOnInterval

CHUNK: Final = 8
"""Parameter sets that a thread takes at a time."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Figures by parameters.

    Attributes:
        parameters: k sets, as given.
        table: float64[k, len(metrics.NAMES)], NaN where undefined.
    """

    parameters: Sequence[Parameters]
    table: Float64Array


def sweep(
    strategy: Strategy,
    parameters: Sequence[Parameters],
    interval: Interval,
    frames: Mapping[Interval, Candles],
    data: MarketData,
    account: Account,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Sweep:
    """Simulates a strategy with every set of parameters.

    Args:
        parameters: resolved ones, k of them.
        frames: bars of every interval that the strategy looks at, with the look-back of the longest window before the
            first bar of `data`; those of `interval` end with the bars of `data`.
        threads: as many as there are processors by default.
        progress: told how many sets are done since the last time.
    """
    from btc_pipeline.backtest import metrics

    table = np.empty((len(parameters), len(metrics.NAMES)))
    n = len(data.bars)
    chunks = [range(at, min(at + CHUNK, len(parameters))) for at in range(0, len(parameters), CHUNK)]
    told = Lock()

    def work(mine: list[range]) -> None:
        workspace = Workspace(data)
        with sharing():
            while True:
                with told:
                    chunk = mine.pop() if mine else None
                if chunk is None:
                    return
                for at in chunk:
                    targets = StrategyOnInterval(strategy, parameters[at], interval).targets(frames)
                    table[at] = workspace.measure(admitted(targets[len(targets) - n :], account.direction), account)
                with told:
                    progress(len(chunk))

    many = min(threads or os.cpu_count() or 1, len(chunks)) or 1
    left = chunks[::-1]
    with ThreadPoolExecutor(many) as pool:
        for done in [pool.submit(work, left) for _ in range(many)]:
            done.result()
    return Sweep(parameters, table)
