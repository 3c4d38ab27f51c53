"""Hyperliquid's REST: `POST /info`.

Only the newest 5,000 candles of an interval exist; wider requests are silently cut to the newest. The last row may
still be forming. Too many requests are answered 429 with the body `null`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

import httpx

from btc_pipeline.exchanges.asking import Asking, Pause
from btc_pipeline.exchanges.base import MINUTE_MS, Coin, History, Minute, VenueUnavailableError
from btc_pipeline.exchanges.budget import Budget
from btc_pipeline.exchanges.frames import history_of
from btc_pipeline.exchanges.hyperliquid.wire import INTERVAL, VENUE, read_candle, unreadable
from btc_pipeline.exchanges.retention import RETENTION_MINUTES
from btc_pipeline.market.candles import Scale
from btc_pipeline.timing.clock import Clock

WEIGHT_A_MINUTE: Final = 1_200
# Others behind the same address want some, too; a repair that Dagster runs is one of them.
OWN_SHARE: Final = 0.5
LIGHT_WEIGHT: Final = 2
CANDLES_WEIGHT: Final = 20
CANDLES_A_WEIGHT: Final = 60
PAUSE_AFTER_429_SECONDS: Final = 10.0
AT_ONCE: Final = 8
# Of a perpetual: prices have at most six decimals, less those of its size.
PRICE_DECIMALS: Final = 6


class HyperliquidRest:
    """The REST API at `url` within the weights that it allows."""

    venue = VENUE
    retention_minutes = RETENTION_MINUTES[VENUE]

    def __init__(self, url: str, clock: Clock) -> None:
        self._budget = Budget(WEIGHT_A_MINUTE * OWN_SHARE, 60.0, clock)
        self._asking = Asking(url, self._budget, _pause_of, at_once=AT_ONCE)

    @property
    def weight_spent(self) -> float:
        """Weight of the last minute."""
        return self._budget.spent

    async def coins(self, wanted: Collection[str]) -> dict[str, Coin]:  # noqa: ARG002 one answer has all
        answer = await self._ask({"type": "meta"}, LIGHT_WEIGHT * 10)
        try:
            return {row["name"]: _coin(row) for row in answer["universe"]}
        except (TypeError, KeyError, ValueError) as error:
            raise VenueUnavailableError("meta is not a list of coins") from error

    async def history(self, coin: str, start: int, end: int) -> History:
        first = max(start, 0)
        request = {"coin": coin, "interval": INTERVAL, "startTime": first * MINUTE_MS, "endTime": end * MINUTE_MS - 1}
        rows_at_most = min(end - first, self.retention_minutes) + 1
        weight = CANDLES_WEIGHT + -(-rows_at_most // CANDLES_A_WEIGHT)
        answer = await self._ask({"type": "candleSnapshot", "req": request}, weight)
        if not isinstance(answer, list):
            raise VenueUnavailableError(f"candleSnapshot answered {json.dumps(answer)[:80]} instead of a list")
        return history_of(answer, lambda row: _minute(row, coin), unreadable, first, end)

    async def time(self) -> float:
        answer = await self._ask({"type": "exchangeStatus"}, LIGHT_WEIGHT)
        try:
            return int(answer["time"]) / 1000
        except (TypeError, KeyError, ValueError) as error:
            raise VenueUnavailableError("exchangeStatus has no time") from error

    async def close(self) -> None:
        await self._asking.close()

    async def _ask(self, request: dict[str, Any], weight: int) -> Any:
        return await self._asking.post("/info", weight, request)


def _pause_of(response: httpx.Response) -> Pause | None:
    if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
        return None
    return Pause("too many requests (429)", PAUSE_AFTER_429_SECONDS)


def _minute(row: object, coin: str) -> Minute:
    named, minute = read_candle(row)
    if named != coin:
        raise ValueError(f"a candle of {named!r:.20} in the answer about {coin}")
    return minute


def _coin(row: dict[str, Any]) -> Coin:
    size = int(row["szDecimals"])
    price = max(0, PRICE_DECIMALS - size)
    return Coin(str(row["name"]), Scale(price, size, price + size), bool(row.get("isDelisted", False)))
