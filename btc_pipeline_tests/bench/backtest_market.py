"""What backtests are measured on: 37m bars of both years, the same twice as four years, and four years of 1m."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.history import History
from btc_pipeline.backtest.market_data import MarketData, Minutes, marks_of
from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline.market.candles import Candles
from btc_pipeline.market.gaps import classify_holes
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline.settings import PROJECT
from btc_pipeline.strategies.base import Direction
from btc_pipeline_tests.bench.figures import timed
from btc_pipeline_tests.bench.market import END_DAY, FIRST_DAY, Market, find_market, synthetic_minutes

INTERVAL: Final = Interval.parse("37m")
FOUR_YEARS: Final = 1461
OUTAGE_MINUTES: Final = 180
ACCOUNT: Final = Account(direction=Direction.LONG)
PERIODS: Final = range(5, 501)
YARDSTICKS: Final = PROJECT / ".cache" / "yardsticks"
LOCK: Final = Path(__file__).with_name("yardsticks.lock")
SIDE: Final = Path(__file__).with_name("yardstick_side.py")


@dataclass
class BacktestSpace:
    """Data made when they are first asked for, and a folder for what other processes read."""

    folder: Path
    market: Market
    say: Callable[[str], None]
    open: ExitStack = field(default_factory=ExitStack)
    sides: dict[tuple[str, str], Side] = field(default_factory=dict)

    @cached_property
    def two_years(self) -> History:
        parts = [read_candle_file(path).minutes for path in self.market.files]
        minutes = Candles.concatenate([replace(part, scale=parts[0].scale) for part in parts])
        vouched = classify_holes(minutes.time, vouch=True, outage_after=OUTAGE_MINUTES).quiet
        slots = range(INTERVAL.slot(FIRST_DAY * MINUTES_PER_DAY - 1) + 1, INTERVAL.slot(END_DAY * MINUTES_PER_DAY))
        bars = resample(minutes, INTERVAL, slots, vouched=vouched)
        days = range(FIRST_DAY, END_DAY)
        data = MarketData(bars, days, marks_of(minutes, days), lambda: Minutes.of(minutes))
        return History(INTERVAL, {INTERVAL: bars}, data)

    @cached_property
    def four_years(self) -> History:
        """The two years, and again behind them."""
        return repeated(self.two_years, 2)

    @cached_property
    def minutes(self) -> History:
        """Four synthetic years of 1m bars, each of them traded."""
        bars, days = synthetic_minutes(FIRST_DAY, FOUR_YEARS), range(FIRST_DAY, FIRST_DAY + FOUR_YEARS)
        data = MarketData(bars, days, marks_of(bars, days), lambda: Minutes.of(bars))
        return History(MINUTE, {MINUTE: bars}, data)

    def histories(self) -> dict[str, History]:
        """Those of 37m bars by what they are called."""
        return {"two years": self.two_years, "four years": self.four_years}

    def yardstick(self, library: str, name: str) -> Side:
        """Another library over one of `histories`, in a process that waits to be asked."""
        if (library, name) not in self.sides:
            side = Side(library, self._columns(name), self.say)
            self.open.callback(side.stop)
            self.sides[library, name] = side
        return self.sides[library, name]

    def _columns(self, name: str) -> Path:
        file = self.folder / f"{name.replace(' ', '_')}.npz"
        if not file.exists():
            bars = self.histories()[name].data.bars
            columns = {column: getattr(bars, column) for column in ("time", "open", "high", "low", "close", "volume")}
            np.savez(file, **columns)
        return file


class Side:
    """A process of the yardsticks' own environment: `run` gives the seconds of one round."""

    def __init__(self, library: str, columns: Path, say: Callable[[str], None]) -> None:
        self._process = subprocess.Popen(
            [str(yardsticks(say)), str(SIDE), library, str(columns)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self) -> float:
        """The seconds of one round; the first one is cold.

        Raises:
            RuntimeError: the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{SIDE.name} ended: run it by hand to see why")
        return float(answer)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def yardsticks(say: Callable[[str], None]) -> Path:
    """The Python of an environment with what is measured against; made once, from pins."""
    python, ready = YARDSTICKS / "bin" / "python", YARDSTICKS / ".ready"
    if ready.exists() and ready.read_text() == LOCK.read_text():
        return python
    say("installing vectorbt and backtesting.py into .cache/yardsticks (once)")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(YARDSTICKS)], check=True)
    asked = ["install", "--quiet", "--require-hashes", "-r", str(LOCK)]
    uv = Path(sys.executable).with_name("uv")
    by_uv = [str(uv), "pip", *asked, "--python", str(python)]
    # As in the Makefile: uv does not read pip's configuration.
    if not uv.exists() or subprocess.run(by_uv, check=False).returncode:
        subprocess.run([str(python), "-m", "pip", "--disable-pip-version-check", *asked], check=True)
    ready.write_text(LOCK.read_text())
    return python


def repeated(history: History, times: int) -> History:
    """A history several times over, one behind the other; exits on minutes are not for it."""
    bars, data = history.data.bars, history.data
    step = (int(bars.slot[-1]) - int(bars.slot[0]) + 1) * INTERVAL.minutes
    parts = [replace(bars, time=bars.time + step * again) for again in range(times)]
    together = Candles.concatenate(parts)
    days = range(data.days.start, data.days.start + times * len(data.days))
    mark = np.concatenate([data.mark] * times)

    def no_minutes() -> Minutes:
        raise NotImplementedError("minutes of repeated years")

    return History(INTERVAL, {INTERVAL: together}, MarketData(together, days, mark, no_minutes))


def shortened(history: History, bars: int) -> History:
    """The first bars of a history and the days that they lie in."""
    data = history.data
    kept = data.bars.take(slice(0, bars))
    days = range(data.days.start, int(kept.close_time[-1]) // MINUTES_PER_DAY)
    marks = data.mark[: len(days)]
    return History(INTERVAL, {INTERVAL: kept}, MarketData(kept, days, marks, data.read_minutes))


def seconds(function: Callable[[], object]) -> Callable[[], float]:
    """A side for `figures.alternate`."""
    return lambda: timed(function)[0]


@contextmanager
def backtest_space(parent: Path | None, say: Callable[[str], None]) -> Iterator[BacktestSpace]:
    """A space in a new folder, gone afterwards with every process that it started."""
    with tempfile.TemporaryDirectory(prefix="btc-bench-", dir=parent) as folder:
        space = BacktestSpace(Path(folder), find_market(Path(folder)), say)
        with space.open:
            yield space
