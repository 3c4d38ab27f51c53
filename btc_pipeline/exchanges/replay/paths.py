"""How a minute forms: the states that a stream tells until the last one equals the final row."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate, compress, pairwise
from operator import mul
from typing import Final, NamedTuple

from btc_pipeline.exchanges.replay.market import MINUTE_MS, MinuteRow
from btc_pipeline.exchanges.replay.noise import mixed

_LAST_SIDE: Final = 63


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


class Flow(NamedTuple):
    """What trades add up to: value in price ticks times volume ticks, and the part whose aggressor bought.

    Attributes:
        quote: value of all of them.
        buy: volume ticks of the bought part.
        buy_quote: value of the bought part.
    """

    quote: int
    buy: int
    buy_quote: int


NO_FLOW: Final = Flow(0, 0, 0)


def forming_path(row: MinuteRow, frames: int, seed: int) -> tuple[Step, ...]:
    """The states of a minute, at most `frames`, the last one equal to the row; none for a minute without trades.

    Open stays, high rises, low falls, volume and trades grow. Every step has at least one trade, all of a step at one
    price (`leading_prices` apart) and on one side, so that trades made from steps add up to the candle and to its flow.
    The same arguments give the same path.
    """
    if not row.trades:
        return ()
    source = random.Random(seed)  # noqa: S311 no secret
    prices, trades, volumes = _plan(source, row, frames)
    count = len(prices)
    steps = []
    high = low = row.open
    for k in range(count - 1):
        price = prices[k]
        high, low = max(high, price), min(low, price)
        offset = int(MINUTE_MS * (k + 0.05 + 0.9 * source.random()) / count)
        steps.append(Step(offset, MinuteRow(row.minute, row.open, high, low, price, volumes[k], trades[k]), price))
    last = int(MINUTE_MS * (count - 1 + 0.05 + 0.9 * source.random()) / count)
    steps.append(Step(last, row, row.close))
    return tuple(steps)


def path_flows(steps: Sequence[Step], seed: int) -> tuple[Flow, ...]:
    """What was traded from the minute's open to each of its states."""
    sides = sides_of(seed)
    flows: list[Flow] = []
    so_far, before = NO_FLOW, None
    for index, step in enumerate(steps):
        row = step.row
        volume, trades = (
            (row.volume - before.volume, row.trades - before.trades) if before else (row.volume, row.trades)
        )
        quote = _quote(leading_prices(row, before, step.price, trades), step.price, volume, trades)
        bought = sides >> (index & _LAST_SIDE) & 1
        so_far = Flow(so_far.quote + quote, so_far.buy + volume * bought, so_far.buy_quote + quote * bought)
        flows.append(so_far)
        before = row
    return tuple(flows)


def final_flow(row: MinuteRow, frames: int, seed: int) -> Flow:
    """The last of the flows of that minute's path, for a fraction of the work."""
    if not row.trades:
        return NO_FLOW
    prices, trades, volumes = _plan(random.Random(seed), row, frames)  # noqa: S311 no secret
    sides = sides_of(seed)
    last = len(prices) - 1
    # All but the last state have one price: an extreme is new only where the newest price is it.
    parts = [now - before for before, now in pairwise([0, *volumes])]
    amounts = list(map(mul, parts, prices))
    seen = prices[:last]
    known = row._replace(high=max(seen), low=min(seen)) if seen else None
    count = trades[last] - (trades[last - 1] if last else 0)
    amounts[last] = _quote(leading_prices(row, known, row.close, count), row.close, parts[last], count)
    bought = [sides >> (index & _LAST_SIDE) & 1 for index in range(len(prices))]
    return Flow(sum(amounts), sum(compress(parts, bought)), sum(compress(amounts, bought)))


def sides_of(seed: int) -> int:
    """Whether the aggressors of a state's trades buy: a bit for each state, again and again."""
    return mixed(seed, 1)


def is_buy(sides: int, index: int) -> bool:
    return bool(sides >> (index & _LAST_SIDE) & 1)


def leading_prices(row: MinuteRow, before: MinuteRow | None, price: int, count: int) -> list[int]:
    """The prices of the first of the `count` trades that lead to a state; all others are at the state's own price.

    The open comes first, then extremes that no earlier trade had, as far as there are trades for them.
    """
    known = (row.open,) if before is None else (before.high, before.low)
    missing = [extreme for extreme in (row.high, row.low) if extreme not in known and extreme != price]
    return [*([row.open] if before is None else []), *missing][: count - 1]


def part_of(volume: int, count: int, k: int) -> int:
    """The size of the k-th of `count` trades that share a volume."""
    return volume * (k + 1) // count - volume * k // count


def _quote(leading: Sequence[int], price: int, volume: int, count: int) -> int:
    extra = sum((lead - price) * part_of(volume, count, k) for k, lead in enumerate(leading))
    return volume * price + extra


def _plan(source: random.Random, row: MinuteRow, frames: int) -> tuple[list[int], list[int], list[int]]:
    """Price of each state, and trades and volume up to it."""
    count = max(1, min(frames, row.trades))
    shares = _ascending_shares(source, count)
    prices = _prices(source, row, count)
    # A tick for every trade where there are enough.
    enough, spare = row.volume >= row.trades, row.trades - count
    rest = row.volume - row.trades if enough else row.volume
    trades = [k + 1 + int(spare * share) for k, share in enumerate(shares)]
    volumes = [(done if enough else 0) + int(rest * share) for done, share in zip(trades, shares, strict=True)]
    trades[-1], volumes[-1] = row.trades, row.volume
    return prices, trades, volumes


def _ascending_shares(source: random.Random, count: int) -> list[float]:
    weights = [0.1 + source.random() for _ in range(count)]
    whole = sum(weights)
    return [share / whole if share < whole else 1.0 for share in accumulate(weights)]


def _prices(source: random.Random, row: MinuteRow, count: int) -> list[int]:
    """One price a step, from open to close, by way of high and low as far as there are steps for them."""
    extremes = [row.high, row.low]
    source.shuffle(extremes)
    inner = sorted(source.sample(range(1, count - 1), min(2, count - 2))) if count > 2 else []
    anchors = [(0, row.open), *zip(inner, extremes, strict=False), (count - 1, row.close)]
    prices = [row.open]
    high, low, draw = row.high, row.low, source.random
    span = high - low
    for (start, a), (end, b) in pairwise(anchors):
        move, steps = b - a, end - start
        for k in range(1, steps):
            price = round(a + move * k / steps + (draw() - 0.5) * 0.2 * span)
            prices.append(low if price < low else high if price > high else price)
        if steps:
            prices.append(b)
    return prices
