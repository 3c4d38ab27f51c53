"""Made-up bars for indicator tests: random walks with or without holes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from btc_pipeline.market.candles import UNKNOWN_TRADES, Candles, Scale
from btc_pipeline.market.intervals import Interval

INTERVAL = Interval.parse("37m")
SCALE = Scale(price=2, volume=4)


def walk(n: int, seed: int, *, start: int = 3_000_000, step: int = 2_000) -> dict[str, np.ndarray]:
    """Ticks of a random walk that never falls below 1: open, high, low, close, volume, int64[n] each."""
    rng = np.random.default_rng(seed)
    close = np.maximum(start + np.cumsum(rng.integers(-step, step + 1, n)), 2 * step + 2)
    open_ = np.concatenate((close[:1], close[:-1])) + rng.integers(-step // 4, step // 4 + 1, n)
    high = np.maximum(open_, close) + rng.integers(0, step // 2 + 1, n)
    low = np.minimum(open_, close) - rng.integers(0, step // 2 + 1, n)
    return {"open": open_, "high": high, "low": low, "close": close, "volume": rng.integers(1, 10**7, n)}


def bars_of(
    ticks: dict[str, np.ndarray],
    slots: Sequence[int] | np.ndarray | None = None,
    usable: Sequence[bool] | np.ndarray | None = None,
    scale: Scale = SCALE,
) -> Candles:
    """A candle frame of those ticks, in consecutive slots unless told otherwise."""
    n = len(ticks["close"])
    slot = np.arange(n, dtype=np.int64) if slots is None else np.asarray(slots, dtype=np.int64)
    prices = {name: ticks[name].astype(np.float64) / 10.0**scale.price for name in ("open", "high", "low", "close")}
    minutes = np.full(n, INTERVAL.minutes, dtype=np.int64)
    return Candles(
        INTERVAL,
        scale,
        time=INTERVAL.open(slot),
        **prices,
        volume=ticks["volume"].astype(np.float64) / 10.0**scale.volume,
        quote_volume=np.full(n, np.nan),
        taker_buy_volume=np.full(n, np.nan),
        trades=np.full(n, UNKNOWN_TRADES, dtype=np.int64),
        minutes=minutes,
        quiet_minutes=np.zeros(n, dtype=np.int64),
        expected_minutes=minutes,
        usable=np.ones(n, dtype=np.bool_) if usable is None else np.asarray(usable, dtype=np.bool_),
    )


def random_walk(n: int, seed: int, **shape: int) -> Candles:
    """Bars without a hole."""
    return bars_of(walk(n, seed, **shape))


@st.composite
def torn_bars(draw: st.DrawFn, most: int = 140) -> Candles:
    """Bars with a few holes of every length and a few bars that are not usable; sometimes the market stands still."""
    n = draw(st.integers(1, most))
    # Mostly whole, so that windows fill; the holes are few and placed anywhere.
    hole = draw(st.dictionaries(st.integers(0, n - 1), st.sampled_from((1, 1, 1, 2, 3, 4, 9, 200)), max_size=5))
    broken = draw(st.sets(st.integers(0, n - 1), max_size=5))
    slots = np.arange(n) + np.cumsum([hole.get(i, 0) for i in range(n)])
    usable = np.array([i not in broken for i in range(n)])
    step = draw(st.sampled_from((0, 1, 3, 2_000)))
    return bars_of(walk(n, draw(st.integers(0, 2**16)), step=step), slots, usable)
