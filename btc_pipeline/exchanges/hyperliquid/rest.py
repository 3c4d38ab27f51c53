"""Hyperliquid's REST: `POST /info`.

Only the newest 5,000 candles of an interval exist; wider requests are silently cut to the newest. The last row may
still be forming. Too many requests are answered 429 with the body `null`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

import httpx

from btc_pipeline.exchanges.addresses import is_local
from btc_pipeline.exchanges.base import (
    Coin,
    History,
    Minute,
    RateLimitedError,
    Unreadable,
    VenueRefusedError,
    VenueUnavailableError,
)
from btc_pipeline.exchanges.budget import Budget
from btc_pipeline.exchanges.hyperliquid.wire import INTERVAL, MINUTE_MS, VENUE, read_candle, unreadable
from btc_pipeline.market.candles import Scale
from btc_pipeline.timing.clock import Clock

RETENTION_MINUTES: Final = 5_000
WEIGHT_A_MINUTE: Final = 1_200
# Others behind the same address want some, too; a repair that Dagster runs is one of them.
OWN_SHARE: Final = 0.5
LIGHT_WEIGHT: Final = 2
CANDLES_WEIGHT: Final = 20
CANDLES_A_WEIGHT: Final = 60
PAUSE_AFTER_429_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0
# Of a perpetual: prices have at most six decimals, less those of its size.
PRICE_DECIMALS: Final = 6


class HyperliquidRest:
    """The REST API at `url` within the weights that it allows."""

    venue = VENUE
    retention_minutes = RETENTION_MINUTES

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url.rstrip("/") + "/info"
        self._clock = clock
        self._budget = Budget(WEIGHT_A_MINUTE * OWN_SHARE, 60.0, clock)
        # A proxy of the environment is for the world outside, not for a replay on this machine.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS), trust_env=not is_local(url)
        )

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
        rows_at_most = min(end - first, RETENTION_MINUTES) + 1
        weight = CANDLES_WEIGHT + -(-rows_at_most // CANDLES_A_WEIGHT)
        answer = await self._ask({"type": "candleSnapshot", "req": request}, weight)
        if not isinstance(answer, list):
            raise VenueUnavailableError(f"candleSnapshot answered {json.dumps(answer)[:80]} instead of a list")
        return _history(answer, coin, first, end)

    async def time(self) -> float:
        answer = await self._ask({"type": "exchangeStatus"}, LIGHT_WEIGHT)
        try:
            return int(answer["time"]) / 1000
        except (TypeError, KeyError, ValueError) as error:
            raise VenueUnavailableError("exchangeStatus has no time") from error

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, request: dict[str, Any], weight: int) -> Any:
        await self._budget.spend(weight)
        try:
            response = await self._client.post(self._url, json=request)
        except httpx.HTTPError as error:
            raise VenueUnavailableError(_reason(error)) from error
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self._budget.close(PAUSE_AFTER_429_SECONDS)
            raise RateLimitedError("too many requests (429)", PAUSE_AFTER_429_SECONDS)
        if 400 <= response.status_code < 500:
            raise VenueRefusedError(f"{request['type']} refused ({response.status_code}): {response.text[:200]}")
        if response.status_code != httpx.codes.OK:
            raise VenueUnavailableError(f"{request['type']} answered {response.status_code}")
        try:
            return json.loads(response.content, parse_float=str)
        except (ValueError, RecursionError) as error:
            raise VenueUnavailableError(f"{request['type']} answered with something that is no JSON") from error


def _history(answer: list[object], coin: str, start: int, end: int) -> History:
    minutes: dict[int, Minute] = {}
    refused: list[Unreadable] = []
    for row in answer:
        try:
            named, minute = read_candle(row)
            if named != coin:
                raise ValueError(f"a candle of {named!r:.20} in the answer about {coin}")
        except ValueError as error:
            refused.append(unreadable(row, error))
            continue
        # The row of the bucket that contains startTime may begin before it.
        if start <= minute.time < end:
            minutes[minute.time] = minute
    return History([minutes[time] for time in sorted(minutes)], refused)


def _coin(row: dict[str, Any]) -> Coin:
    size = int(row["szDecimals"])
    return Coin(str(row["name"]), Scale(max(0, PRICE_DECIMALS - size), size), bool(row.get("isDelisted", False)))


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error).strip().rstrip(".") or type(error).__name__
