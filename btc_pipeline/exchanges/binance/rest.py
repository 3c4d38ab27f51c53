"""Binance's REST: `GET /api/v3/...` of the spot market, `GET /fapi/v1/...` of USD-M futures.

All minutes since a listing exist, 1,000 a request, ascending; the last one may still be forming. Requests have weights.
429 and 418 carry Retry-After: whoever asks before it is over is banned, for minutes at first and for days later.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

import httpx

from btc_pipeline.exchanges.asking import Asking, Pause, retry_after
from btc_pipeline.exchanges.base import MINUTE_MS, Coin, History, VenueRefusedError, VenueUnavailableError
from btc_pipeline.exchanges.binance.markets import Market
from btc_pipeline.exchanges.binance.wire import INTERVAL, read_row, unreadable_row
from btc_pipeline.exchanges.budget import Budget
from btc_pipeline.exchanges.decimals import decimals_of_step
from btc_pipeline.exchanges.frames import history_of, pages
from btc_pipeline.market.candles import Scale
from btc_pipeline.timing.clock import Clock

PAGE_MINUTES: Final = 1_000
# Others behind the same address want some, too; a repair that Dagster runs is one of them.
OWN_SHARE: Final = 0.5
QUOTE_DECIMALS: Final = 8
INVALID_SYMBOL: Final = -1121
PAUSE_SECONDS: Final[Mapping[int, float]] = {429: 60.0, 418: 300.0}
"""Where Retry-After is missing."""
PAUSE_AFTER_403_SECONDS: Final = 300.0


class BinanceRest:
    """The REST API of one of the markets at `url` within the weights that it allows."""

    retention_minutes = None

    def __init__(self, market: Market, url: str, clock: Clock) -> None:
        self.venue = market.venue
        self._market = market
        self._clock = clock
        self._budget = Budget(market.weight_a_minute * OWN_SHARE, 60.0, clock)
        self._asking = Asking(url, self._budget, self._pause_of)

    async def coins(self, wanted: Collection[str]) -> dict[str, Coin]:
        found: dict[str, Coin] = {}
        for name in wanted:
            # USD-M answers with all instruments, whatever was asked for.
            if name not in found:
                found |= await self._coins_of(name)
        if any(name not in found for name in wanted):
            found |= {name: Coin(name, Scale(0, 0, 0)) for name in await self._names() if name not in found}
        return found

    async def history(self, coin: str, start: int, end: int) -> History:
        rows: list[object] = []
        for first, until in pages(start, end, PAGE_MINUTES):
            answer = await self._asking.get(
                f"{self._market.api}/klines",
                self._market.klines_weight(until - first),
                symbol=coin,
                interval=INTERVAL,
                startTime=first * MINUTE_MS,
                endTime=until * MINUTE_MS - 1,
                limit=until - first,
            )
            if not isinstance(answer, list):
                raise VenueUnavailableError(f"klines answered {json.dumps(answer)[:80]} instead of a list")
            rows += answer
        return history_of(rows, read_row, unreadable_row, start, end)

    async def time(self) -> float:
        answer = await self._ask("time")
        try:
            return int(answer["serverTime"]) / 1000
        except (TypeError, KeyError, ValueError) as error:
            raise VenueUnavailableError("time has no serverTime") from error

    async def close(self) -> None:
        await self._asking.close()

    async def _coins_of(self, name: str) -> dict[str, Coin]:
        """What the venue says when it is asked for a coin: nothing about one that it does not have."""
        try:
            answer = await self._ask("exchangeInfo", symbol=name)
        except VenueRefusedError as error:
            if _code(error.body) == INVALID_SYMBOL:
                return {}
            raise
        try:
            return {row["symbol"]: self._coin(row) for row in answer["symbols"]}
        except (TypeError, KeyError, ValueError, StopIteration) as error:
            raise VenueUnavailableError("exchangeInfo is not a list of instruments") from error

    async def _names(self) -> list[str]:
        answer = await self._ask("ticker/price")
        try:
            return [str(row["symbol"]) for row in answer]
        except (TypeError, KeyError) as error:
            raise VenueUnavailableError("ticker/price is not a list of instruments") from error

    def _coin(self, row: Mapping[str, Any]) -> Coin:
        filters = {one["filterType"]: one for one in row["filters"]}
        price = decimals_of_step(filters["PRICE_FILTER"]["tickSize"], "tickSize")
        volume = decimals_of_step(filters["LOT_SIZE"]["stepSize"], "stepSize")
        scale = Scale(price, volume, min(price + volume, QUOTE_DECIMALS))
        return Coin(str(row["symbol"]), scale, row.get("status") in self._market.gone)

    async def _ask(self, what: str, **parameters: str) -> Any:
        return await self._asking.get(f"{self._market.api}/{what}", self._market.weights[what], **parameters)

    def _pause_of(self, response: httpx.Response) -> Pause | None:
        status = response.status_code
        if status in PAUSE_SECONDS:
            words = f"too many requests ({status})" if status == 429 else f"banned for too many requests ({status})"
            return Pause(words, retry_after(response, PAUSE_SECONDS[status], self._clock.now()))
        if status == 403:
            return Pause(
                "the venue's firewall refuses requests (403)",
                retry_after(response, PAUSE_AFTER_403_SECONDS, self._clock.now()),
            )
        return None


def _code(body: bytes) -> int | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer.get("code") if isinstance(answer, dict) else None
