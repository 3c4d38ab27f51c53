"""`python yardstick_side.py LIBRARY FILE`: one round of another library for every line of input; its seconds, a line.

Runs in the environment of `yardsticks.lock`, not in the project's.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

CASH, FEE = 10_000, 0.001


def vectorbt_sweep(columns):  # type: ignore[no-untyped-def]
    import vectorbt as vbt

    close = pd.Series(columns["close"])

    def run():  # type: ignore[no-untyped-def]
        average = vbt.MA.run(close, window=list(range(5, 501)))
        above, below = average.close_above(average.ma), average.close_below(average.ma)
        return vbt.Portfolio.from_signals(close, above, below, fees=FEE, init_cash=CASH).total_return()

    return run


def backtesting_run(columns):  # type: ignore[no-untyped-def]
    from backtesting import Backtest, Strategy

    names = {name.capitalize(): columns[name] for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(names, index=pd.to_datetime(columns["time"], unit="m"))

    class Above(Strategy):
        def init(self):  # type: ignore[no-untyped-def]
            self.average = self.I(lambda close: pd.Series(close).rolling(44).mean(), self.data.Close)

        def next(self):  # type: ignore[no-untyped-def]
            if self.data.Close[-1] > self.average[-1] and not self.position:
                self.buy()
            elif self.data.Close[-1] < self.average[-1] and self.position:
                self.position.close()

    return lambda: Backtest(frame, Above, cash=1e7, commission=FEE).run()


def main() -> None:
    library, file = sys.argv[1:]
    run = {"vectorbt": vectorbt_sweep, "backtesting": backtesting_run}[library](np.load(file))
    answers, sys.stdout = sys.stdout, sys.stderr
    for _ in sys.stdin:
        began = time.perf_counter()
        run()
        print(time.perf_counter() - began, file=answers, flush=True)


if __name__ == "__main__":
    main()
