"""How a minute forms: the states that a stream tells until the last one equals the final row."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import NamedTuple

from btc_pipeline.exchanges.replay.market import MINUTE_MS, MinuteRow


class Step(NamedTuple):
    """A state of a forming minute.

    Attributes:
        offset_ms: when it is reached, after the minute's open; ascending along a path, below 60,000.
        row: the minute so far.
        price: of the newest trade, in ticks.
    """

    offset_ms: int
    row: MinuteRow
    price: int


def forming_path(row: MinuteRow, frames: int, seed: int) -> tuple[Step, ...]:
    """The states of a minute, at most `frames`, the last one equal to the row; none for a minute without trades.

    Open stays, high rises, low falls, volume and trades grow. Every step has at least one trade, all of a step at one
    price, so that trades made from steps add up to the candle. The same arguments give the same path.
    """
    if not row.trades:
        return ()
    source = random.Random(seed)  # noqa: S311 no secret
    count = max(1, min(frames, row.trades))
    shares = _ascending_shares(source, count)
    prices = _prices(source, row, count)
    steps = []
    high = low = row.open
    for k in range(count - 1):
        price = prices[k]
        high, low = max(high, price), min(low, price)
        trades = k + 1 + int((row.trades - count) * shares[k])
        # A tick for every trade where there are enough.
        floor, rest = (trades, row.volume - row.trades) if row.volume >= row.trades else (0, row.volume)
        volume = floor + int(rest * shares[k])
        offset = int(MINUTE_MS * (k + 0.05 + 0.9 * source.random()) / count)
        steps.append(Step(offset, MinuteRow(row.minute, row.open, high, low, price, volume, trades), price))
    last = int(MINUTE_MS * (count - 1 + 0.05 + 0.9 * source.random()) / count)
    steps.append(Step(last, row, row.close))
    return tuple(steps)


def _ascending_shares(source: random.Random, count: int) -> list[float]:
    weights = [0.1 + source.random() for _ in range(count)]
    whole = sum(weights)
    shares, so_far = [], 0.0
    for weight in weights:
        so_far += weight
        shares.append(min(1.0, so_far / whole))
    return shares


def _prices(source: random.Random, row: MinuteRow, count: int) -> list[int]:
    """One price a step, from open to close, by way of high and low as far as there are steps for them."""
    extremes = [row.high, row.low]
    source.shuffle(extremes)
    inner = sorted(source.sample(range(1, count - 1), min(2, count - 2))) if count > 2 else []
    anchors = [(0, row.open), *zip(inner, extremes, strict=False), (count - 1, row.close)]
    prices = [row.open]
    for (start, a), (end, b) in pairwise(anchors):
        for k in range(start + 1, end + 1):
            wobble = (source.random() - 0.5) * 0.2 * (row.high - row.low) if k < end else 0.0
            prices.append(min(row.high, max(row.low, round(a + (b - a) * (k - start) / (end - start) + wobble))))
    return prices
