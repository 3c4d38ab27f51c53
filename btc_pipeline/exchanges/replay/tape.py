"""What was traded by when: minutes as they form, and trades that add up to them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from btc_pipeline.exchanges.replay.market import MINUTE_MS, Listing, Market, MinuteRow, epoch_ms, flat_row
from btc_pipeline.exchanges.replay.noise import mixed, text_seed
from btc_pipeline.exchanges.replay.paths import (
    NO_FLOW,
    Flow,
    Step,
    final_flow,
    forming_path,
    is_buy,
    leading_prices,
    part_of,
    path_flows,
    sides_of,
)

_FURTHEST_BACK_MINUTES: Final = 240


class Trade(NamedTuple):
    """One trade: time in epoch milliseconds, price and size in ticks, `tid` unique together with time and coin."""

    time_ms: int
    price: int
    size: int
    is_buy: bool
    tid: int


class Tape:
    """The minutes of a market, unrolled in time. Moments are UTC seconds since 1970."""

    def __init__(self, market: Market, frames_per_minute: int) -> None:
        self.market = market
        self._frames = frames_per_minute
        self._seeds: dict[str, int] = {}
        self.steps = lru_cache(maxsize=64)(self._steps)
        self._flows = lru_cache(maxsize=64)(self._make_flows)
        self._final_flow = lru_cache(maxsize=16_384)(self._make_final_flow)

    @property
    def listings(self) -> Mapping[str, Listing]:
        return self.market.listings

    def now_forming(self, coin: str, moment: float) -> Step | None:
        """The newest state of the minute that contains a moment; None if it had no trade yet."""
        minute, offset = divmod(epoch_ms(moment), MINUTE_MS)
        steps = self.steps(coin, minute)
        done = bisect_right(steps, offset, key=lambda step: step.offset_ms)
        return steps[done - 1] if done else None

    def untraded(self, coin: str, minute: int) -> MinuteRow | None:
        """The row of a minute as long as it has no trade; None outside of the market's span."""
        row = self.market.minute(coin, minute)
        if row is not None and not row.trades:
            return row
        price = self.market.last_close(coin, minute)
        return None if price is None else flat_row(minute, price)

    def last_price(self, coin: str, moment: float) -> int | None:
        """The price of the newest trade, in ticks."""
        step = self.now_forming(coin, moment)
        return step.price if step else self.market.last_close(coin, epoch_ms(moment) // MINUTE_MS)

    def trades_of(self, coin: str, minute: int, index: int) -> list[Trade]:
        """The trades between a step of a minute's path and the one before it, by time."""
        steps = self.steps(coin, minute)
        step = steps[index]
        row = step.row
        before = steps[index - 1] if index else None
        since = before.offset_ms if before else 0
        count = row.trades - (before.row.trades if before else 0)
        volume = row.volume - (before.row.volume if before else 0)
        leading = leading_prices(row, before.row if before else None, step.price, count)
        seed = mixed(self._seed(coin), minute)
        bought = is_buy(sides_of(seed), index)
        first = row.trades - count
        return [
            Trade(
                time_ms=minute * MINUTE_MS + since + (step.offset_ms - since) * (k + 1) // count,
                price=leading[k] if k < len(leading) else step.price,
                size=part_of(volume, count, k),
                is_buy=bought,
                tid=mixed(seed, first + k) >> 14,
            )
            for k in range(count)
        ]

    def flow(self, coin: str, row: MinuteRow) -> Flow:
        """What the trades of a minute up to one of its states add up to."""
        if not row.trades:
            return NO_FLOW
        final = self.market.minute(coin, row.minute)
        if final is not None and final.trades == row.trades:
            return self._final_flow(coin, row.minute)
        steps = self.steps(coin, row.minute)
        return self._flows(coin, row.minute)[bisect_left(steps, row.trades, key=lambda step: step.row.trades)]

    def newest_trades(self, coin: str, moment: float, count: int) -> list[Trade]:
        """The newest trades up to a moment, by time."""
        minute, offset = divmod(epoch_ms(moment), MINUTE_MS)
        found: list[Trade] = []
        for back in range(_FURTHEST_BACK_MINUTES):
            steps = self.steps(coin, minute - back)
            for index in range(len(steps) - 1, -1, -1):
                if (back or steps[index].offset_ms <= offset) and len(found) < count:
                    found = self.trades_of(coin, minute - back, index) + found
            if len(found) >= count:
                break
        return found[-count:] if count else []

    def _steps(self, coin: str, minute: int) -> tuple[Step, ...]:
        row = self.market.minute(coin, minute)
        return forming_path(row, self._frames, mixed(self._seed(coin), minute)) if row else ()

    def _make_flows(self, coin: str, minute: int) -> tuple[Flow, ...]:
        return path_flows(self.steps(coin, minute), mixed(self._seed(coin), minute))

    def _make_final_flow(self, coin: str, minute: int) -> Flow:
        row = self.market.minute(coin, minute)
        return final_flow(row, self._frames, mixed(self._seed(coin), minute)) if row else NO_FLOW

    def _seed(self, coin: str) -> int:
        seed = self._seeds.get(coin)
        if seed is None:
            seed = self._seeds[coin] = text_seed(0, coin)
        return seed
