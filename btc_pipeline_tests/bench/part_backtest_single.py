"""Single runs, warm: decisions where the target changes, trades, all metrics and the report of both slippages."""

from __future__ import annotations

from typing import Final

from btc_pipeline.backtest.history import History
from btc_pipeline.backtest.report import backtest
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.bench.backtest_market import ACCOUNT, BacktestSpace, seconds
from btc_pipeline_tests.bench.figures import Figure, alternate

ROUNDS: Final = 5
ASKED: Final = 20.0
ASKED_MINUTES: Final = 1.0
ALL: Final = range(1 << 40)


def with_trades(history: History) -> None:
    """Targets, trades, all metrics at both slippages, break-even cost, buy and hold, monthly returns."""
    one = StrategyOnInterval(MovingAverage(), {"period": 44}, history.interval)
    backtest(history.data, one.targets(history.frames), ACCOUNT)


def with_decisions(history: History) -> None:
    """The same and every decision that is stored with a run."""
    one = StrategyOnInterval(MovingAverage(), {"period": 44}, history.interval)
    targets, _, _ = one.changes(history.frames, ALL)
    backtest(history.data, targets, ACCOUNT)


def run(space: BacktestSpace) -> list[Figure]:
    figures = []
    for name, history in space.histories().items():
        other = space.yardstick("backtesting", name)
        cold = other.run()
        with_decisions(history)
        sides = {
            "trades": seconds(lambda history=history: with_trades(history)),  # type: ignore[misc]
            "decisions": seconds(lambda history=history: with_decisions(history)),  # type: ignore[misc]
            "backtesting": other.run,
        }
        laps = alternate(ROUNDS, sides)
        ratio = laps["backtesting"].median / laps["trades"].median
        figures.append(
            Figure(
                f"single run MA44 with all metrics and trades, {name} of 37m",
                f"{ratio:.0f} x faster than backtesting.py",
                f"at least {ASKED:.0f} x",
                ratio >= ASKED,
                [
                    f"{laps['trades'].median * 1000:.0f} ms",
                    f"with the stored decisions, reasons and digests: {laps['decisions'].median * 1000:.0f} ms",
                    f"backtesting.py {laps['backtesting']}; its first run {cold:.2f} s",
                ],
            )
        )
    history = space.minutes
    with_trades(history)
    laps = alternate(
        ROUNDS,
        {"trades": seconds(lambda: with_trades(history)), "decisions": seconds(lambda: with_decisions(history))},
    )
    figures.append(
        Figure(
            "single run MA44 with all metrics, four years of 1m (synthetic, every minute traded)",
            f"{laps['trades'].median:.2f} s",
            f"at most {ASKED_MINUTES:.0f} s",
            laps["trades"].median <= ASKED_MINUTES,
            [
                f"{len(history.data.bars):,} bars: {laps['trades']}",
                f"with the decisions that are stored {laps['decisions']}",
            ],
        )
    )
    return figures
