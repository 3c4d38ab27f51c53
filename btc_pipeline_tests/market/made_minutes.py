"""Random minutes: traded, quiet, missing, vouched for, without volume but moved, with and without optional columns."""

from __future__ import annotations

import random

import numpy as np

from btc_pipeline.market.candles import UNKNOWN_TRADES, Candles, Scale, minute_candles
from btc_pipeline.market.spans import Spans
from btc_pipeline_tests.market.brute_force import Row


def random_rows(rng: random.Random, start: int, length: int) -> tuple[list[Row], set[int]]:
    """(rows, vouched minutes) somewhere in [start, start + length); what is vouched for may have rows, too."""
    missing, silent, vouching = (rng.choice((0.0, 0.01, 0.1, 0.6, 1.0)) for _ in range(3))
    tells = {name: rng.choice((0.0, 0.98, 1.0)) for name in ("quote", "taker", "trades")}
    rows, vouched, price = [], set(), rng.randint(1, 10**6)
    for minute in range(start, start + length):
        if rng.random() < missing:
            if rng.random() < vouching:
                vouched.add(minute)
            continue
        if rng.random() < 0.01:
            vouched.add(minute)
        if rng.random() < silent:
            rows.append(Row(minute, price, price, price, price, 0, *_told(rng, tells, 0)))
            continue
        open_, close = (max(1, price + rng.randint(-50, 50)) for _ in range(2))
        high, low = max(open_, close) + rng.randint(0, 9), max(1, min(open_, close) - rng.randint(0, 9))
        volume = 0 if rng.random() < 0.02 else rng.randint(0, 10**7)
        rows.append(Row(minute, open_, high, low, close, volume, *_told(rng, tells, volume)))
        price = close
    return rows, vouched


def _told(rng: random.Random, tells: dict[str, float], volume: int) -> list[int | None]:
    values = {"quote": rng.randint(0, 10**9), "taker": rng.randint(0, volume), "trades": rng.randint(0, 999)}
    return [values[name] if rng.random() < share else None for name, share in tells.items()]


def frame(rows: list[Row], scale: Scale) -> Candles:
    """Rows as the product holds them."""

    def decimals(name: str, places: int) -> np.ndarray:
        # Python divides integers with one correct rounding, as reading the decimal would.
        values = (getattr(row, name) for row in rows)
        return np.array([np.nan if value is None else value / 10**places for value in values], np.float64)

    return minute_candles(
        scale,
        np.array([row.minute for row in rows], np.int64),
        tuple(decimals(name, scale.price) for name in ("open", "high", "low", "close")),
        decimals("volume", scale.volume),
        quote_volume=decimals("quote", scale.quote),
        taker_buy_volume=decimals("taker", scale.volume),
        trades=np.array([UNKNOWN_TRADES if row.trades is None else row.trades for row in rows], np.int64),
    )


def spans(minutes: set[int]) -> Spans:
    return Spans.of_minutes(np.array(sorted(minutes), np.int64))


def as_tuples(bars: Candles) -> list[tuple]:
    """Bars as `brute_force.resampled` writes them; the doubles must be the nearest to the integers' quotients."""
    scale = bars.scale
    places = dict.fromkeys(("open", "high", "low", "close"), scale.price)
    places |= {"volume": scale.volume, "quote_volume": scale.quote, "taker_buy_volume": scale.volume}
    columns = {"time": bars.time.tolist()}
    for name, decimals in places.items():
        columns[name] = [_integer(value, decimals) for value in getattr(bars, name).tolist()]
    columns["trades"] = [None if n == UNKNOWN_TRADES else n for n in bars.trades.tolist()]
    for name in ("minutes", "quiet_minutes", "expected_minutes", "usable"):
        columns[name] = getattr(bars, name).tolist()
    return list(zip(*columns.values(), strict=True))


def _integer(value: float, decimals: int) -> int | None:
    if value != value:
        return None
    whole = round(value * 10**decimals)
    assert whole / 10**decimals == value
    return whole
