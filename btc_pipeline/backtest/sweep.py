"""Many parameters over the same bars: every row is what the single run with those parameters gives, to the bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from difflib import get_close_matches
from queue import SimpleQueue
from threading import Event, Lock
from typing import Final

import numpy as np

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import Workspace
from btc_pipeline.backtest.history import History
from btc_pipeline.errors import UnknownNameError
from btc_pipeline.indicators.memo import Memo, sharing
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.market.intervals import Int64Array, Interval
from btc_pipeline.strategies.base import Parameters, Strategy, TargetArray
from btc_pipeline.strategies.decisions import StrategyOnInterval

MOST_AT_A_TIME: Final = 32
"""Parameter sets that a thread takes: few hand-overs of the interpreter's lock, and a bar of progress that moves."""
MOST_BYTES: Final = 1 << 23
"""Of targets that a thread keeps meanwhile."""


def sweep(
    strategy: Strategy,
    parameters: Sequence[Parameters],
    history: History,
    account: Account,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Float64Array:
    """Simulates a strategy with every set of parameters.

    Args:
        parameters: resolved ones, k of them.
        history: with the look-back of the longest window of all (`longest_lookbacks`).
        threads: as many as there are processors by default.
        progress: told how many sets are done since the last time, by whichever thread did them, one at a time.

    Returns:
        float64[k, len(metrics.NAMES)], NaN where undefined.
    """
    from btc_pipeline.backtest import metrics

    table = np.empty((len(parameters), len(metrics.NAMES)))
    n, many = len(history.data.bars), max(min(threads or os.cpu_count() or 1, len(parameters)), 1)
    size = max(min(MOST_AT_A_TIME, MOST_BYTES // max(n, 1), len(parameters) // (4 * many)), 1)
    chunks = [range(at, min(at + size, len(parameters))) for at in range(0, len(parameters), size)]
    left, one_at_a_time, ended = chunks[::-1], Lock(), Event()
    # Half of the threads decide, each with a memo, while the other half simulates: two that decide would only wait for
    # each other's lock of the interpreter.
    memos: SimpleQueue[Memo] = SimpleQueue()
    for _ in range(max(many // 2, 1)):
        memos.put(Memo())
    workspaces = [Workspace(history.data)]
    workspaces += [workspaces[0].another() for _ in range(many - 1)]

    def take() -> range | None:
        with one_at_a_time:
            return left.pop() if left and not ended.is_set() else None

    def decide(chunk: range, wanted: TargetArray) -> None:
        for row, at in enumerate(chunk):
            if ended.is_set():
                return
            one = StrategyOnInterval(strategy, parameters[at], history.interval)
            targets = one.targets(history.frames, history.warm_bars)
            wanted[row] = account.direction.admitted(targets[len(targets) - n :])

    def work(workspace: Workspace) -> None:
        wanted = np.empty((size, n), np.int8)
        while (chunk := take()) is not None:
            memo = memos.get()
            try:
                with sharing(memo):
                    decide(chunk, wanted)
            finally:
                memos.put(memo)
            if ended.is_set():
                return
            table[chunk.start : chunk.stop] = workspace.measure_each(wanted[: len(chunk)], account)
            with one_at_a_time:
                progress(len(chunk))

    with ThreadPoolExecutor(many) as pool:
        try:
            working = [pool.submit(work, workspace) for workspace in workspaces]
            wait(working, return_when=FIRST_EXCEPTION)
        finally:
            # What one thread or Ctrl-C ends, the others must not go on with.
            ended.set()
        for done in working:
            done.result()
    return table


def longest_lookbacks(
    strategy: Strategy, parameters: Sequence[Parameters], interval: Interval
) -> Mapping[Interval, int]:
    """How many slots of each interval all sets together look at, as `StrategyOnInterval.lookbacks` of one."""
    longest: dict[Interval, int] = {}
    for one in parameters:
        for other, slots in StrategyOnInterval(strategy, one, interval).lookbacks().items():
            longest[other] = max(longest.get(other, 0), slots)
    return longest


def column_of(metric: str) -> int:
    """The column of a metric in a sweep's table.

    Raises:
        UnknownNameError: there is none of that name; the message offers the nearest one.
    """
    from btc_pipeline.backtest.metrics import NAMES

    if metric in NAMES:
        return NAMES.index(metric)
    near = get_close_matches(metric, NAMES, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UnknownNameError(f"metric {metric!r:.40} is unknown: use {', '.join(NAMES)}.{hint}", field="rank")


def ranking(table: Float64Array, metric: str) -> Int64Array:
    """The rows of a sweep's table with the best first, int64[k]; undefined ones last, equal ones in their order."""
    from btc_pipeline.backtest.metrics import LOWER_IS_BETTER

    values = table[:, column_of(metric)]
    # NaN sorts last.
    return np.argsort(values if metric in LOWER_IS_BETTER else -values, kind="stable")
