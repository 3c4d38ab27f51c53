"""Growth of a sweep: bars and parameters doubled by turns, three times."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from btc_pipeline.backtest.sweep import sweep
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.bench.backtest_market import ACCOUNT, PERIODS, BacktestSpace, repeated, seconds, shortened
from btc_pipeline_tests.bench.figures import Figure, alternate

ROUNDS: Final = 7
ASKED: Final = 1.2
BARS: Final = 24_000
SPARSEST: Final = 4
"""Of the periods every fourth first, then every second: the same mix of short ones, which trade more, and long ones."""
STEPS: Final = ((1, 1), (2, 1), (2, 2), (4, 2))
"""(times the bars, times the sets): each twice the one before."""


def run(space: BacktestSpace) -> list[Figure]:
    base = shortened(space.two_years, BARS)
    sides = {}
    for bars, sets in STEPS:
        history = repeated(base, bars)
        wanted = [{"period": period} for period in PERIODS[:: SPARSEST // sets]]

        def side(history=history, wanted=wanted) -> None:  # type: ignore[no-untyped-def]
            sweep(MovingAverage(), wanted, history, ACCOUNT)

        side()
        sides[f"{bars} x bars, {sets} x sets"] = seconds(side)
    laps = alternate(ROUNDS, sides)
    # The best of the rounds: growth is the program's, the noise is others'.
    best = {name: min(lap.seconds) for name, lap in laps.items()}
    each = {name: best[name] / (bars * sets) for name, (bars, sets) in zip(best, STEPS, strict=True)}
    ratio = max(each.values()) / min(each.values())
    steps = ", ".join(f"{later / before:.2f}" for before, later in pairwise(best.values()))
    return [
        Figure(
            "growth: bars x parameters doubled three times",
            f"{ratio:.2f} x between the dearest and the cheapest",
            f"linear within {ASKED - 1:.0%}",
            ratio <= ASKED,
            [
                f"{BARS:,} bars and {len(PERIODS[::SPARSEST])} sets, then {', then '.join(list(laps)[1:])}",
                *(f"{name}: {laps[name]}, {one * 1000:.1f} ms a unit" for name, one in each.items()),
                f"twice the work takes {steps} x the time: part of what a set costs does not depend on the bars",
            ],
        )
    ]
