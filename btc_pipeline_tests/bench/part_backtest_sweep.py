"""The sweep of `ma` period 5..500 with all metrics, warm: against vectorbt, against a bare loop, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from btc_pipeline.backtest.history import History
from btc_pipeline.backtest.sweep import sweep
from btc_pipeline.strategies.base import FLAT, LONG, Input, Opinions, Parameter, Parameters, Strategy, View
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.bench import bare_loop
from btc_pipeline_tests.bench.backtest_market import ACCOUNT, PERIODS, BacktestSpace, seconds
from btc_pipeline_tests.bench.figures import Figure, Laps, alternate

ROUNDS: Final = 7
VECTORBT_ROUNDS: Final = 3
ASKED_VECTORBT: Final = 50.0
ASKED_BARE: Final = 3.0
SETS: Final = [{"period": period} for period in PERIODS]
PAIRS: Final = [{"fast": fast, "slow": slow} for fast in range(5, 30) for slow in range(50, 450, 20)]


class Crossing(Strategy):
    """As a user writes one: two indicators, no shortcut for sweeps."""

    name = "bench_crossing"
    display_name = "Crossing"
    description = "Long while the fast average is above the slow one."
    parameters = (Parameter("fast", int, 5, 2, 100, "bars"), Parameter("slow", int, 50, 2, 500, "bars"))

    def inputs(self, p: Parameters) -> dict[str, Input]:
        return {name: Input("sma", {"period": p[name]}) for name in ("fast", "slow")}

    def decide(self, view: View, p: Parameters) -> Opinions:
        up = view["fast"] > view["slow"]
        target = np.where(up, LONG, FLAT).astype(np.int8)
        return Opinions(target, np.ones(len(target)), [(up, "fast above slow")])


def run(space: BacktestSpace) -> list[Figure]:
    return [*_vectorbt(space), *_bare(space), *_own_strategy(space)]


def all_metrics(history: History) -> None:
    """The product's side."""
    sweep(MovingAverage(), SETS, history, ACCOUNT)


def _vectorbt(space: BacktestSpace) -> Iterator[Figure]:
    for name, history in space.histories().items():
        other = space.yardstick("vectorbt", name)
        cold = other.run()
        all_metrics(history)
        laps = alternate(
            VECTORBT_ROUNDS,
            {"sweep": seconds(lambda history=history: all_metrics(history)), "vectorbt": other.run},  # type: ignore[misc]
        )
        ratio = laps["vectorbt"].median / laps["sweep"].median
        yield Figure(
            f"sweep ma 5..500, all metrics, {name} of 37m",
            f"{ratio:.0f} x faster than vectorbt",
            f"at least {ASKED_VECTORBT:.0f} x",
            ratio >= ASKED_VECTORBT,
            [
                f"{len(history.data.bars):,} bars x {len(SETS)} sets",
                f"sweep {_shown(laps['sweep'])}",
                f"vectorbt, total return alone: {laps['vectorbt']}; cold {cold:.1f} s",
            ],
        )


def _bare(space: BacktestSpace) -> Iterator[Figure]:
    for name, history in space.histories().items():
        bars = history.data.bars

        def bare(open_=bars.open, close=bars.close) -> None:  # type: ignore[no-untyped-def]
            bare_loop.run(open_, close, PERIODS)

        all_metrics(history)
        bare()
        laps = alternate(
            ROUNDS,
            {
                "sweep": seconds(lambda history=history: all_metrics(history)),  # type: ignore[misc]
                "bare": seconds(bare),
                "one": seconds(lambda history=history: sweep(MovingAverage(), SETS, history, ACCOUNT, threads=1)),  # type: ignore[misc]
            },
        )
        ratio = laps["sweep"].median / laps["bare"].median
        yield Figure(
            f"the same against a bare loop that keeps the final equity alone, {name}",
            f"{ratio:.2f} x",
            f"at most {ASKED_BARE:.0f} x",
            ratio <= ASKED_BARE,
            [
                f"sweep {_shown(laps['sweep'])}",
                f"bare loop, two threads: {_shown(laps['bare'])}",
                f"sweep with one thread: {_shown(laps['one'])}",
            ],
        )


def _own_strategy(space: BacktestSpace) -> Iterator[Figure]:
    for name, history in space.histories().items():

        def own(history: History = history) -> None:
            sweep(Crossing(), PAIRS, history, ACCOUNT)

        own()
        laps = alternate(ROUNDS, {"own": seconds(own)})["own"]
        evaluations = len(history.data.bars) * len(PAIRS) / laps.median
        yield Figure(
            f"sweep of a user's strategy with two indicators, {len(PAIRS)} pairs, {name}",
            f"{evaluations / 1e6:.0f} million bar-evaluations a second",
            details=[f"{_shown(laps)}; {len(history.data.bars):,} bars"],
        )


def _shown(laps: Laps) -> str:
    return f"{laps.median * 1000:.0f} ms (of {', '.join(f'{one * 1000:.0f}' for one in laps.seconds)})"
