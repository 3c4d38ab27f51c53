"""Bybit v5's REST: `GET /v5/market/...`.

All minutes since a listing exist, 1,000 a request, the newest first, the first one perhaps still forming. An error may
come with status 200 and a `retCode`. Too many requests are answered with a `retCode` of their own, and many more with
403: then nothing is to be asked for ten minutes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import httpx

from btc_pipeline.exchanges.asking import Asking, Pause, retry_after
from btc_pipeline.exchanges.base import MINUTE_MS, Coin, History, VenueRefusedError, VenueUnavailableError
from btc_pipeline.exchanges.budget import Budget
from btc_pipeline.exchanges.bybit.wire import INTERVAL, VENUE, read_row, unreadable_row
from btc_pipeline.exchanges.decimals import decimals_of_step
from btc_pipeline.exchanges.frames import history_of, pages
from btc_pipeline.market.candles import Scale
from btc_pipeline.timing.clock import Clock

CATEGORY: Final = "linear"
PAGE_MINUTES: Final = 1_000
INSTRUMENTS_PAGE: Final = 1_000
MOST_INSTRUMENT_PAGES: Final = 10
REQUESTS: Final = 600
WINDOW_SECONDS: Final = 5.0
# Others behind the same address want some, too; a repair that Dagster runs is one of them.
OWN_SHARE: Final = 0.5
PAUSE_AFTER_403_SECONDS: Final = 600.0
PAUSE_AFTER_429_SECONDS: Final = 10.0
PAUSE_AFTER_VISITS_SECONDS: Final = 5.0
TOO_MANY_VISITS: Final = frozenset({10006, 10018})
WRONG_REQUEST: Final = 10001
BUSY: Final = frozenset({10000, 10016})
QUOTE_DECIMALS: Final = 8
GONE: Final = frozenset({"Closed"})


class BybitRest:
    """The REST API at `url` within the requests that it allows."""

    venue = VENUE
    retention_minutes = None

    def __init__(self, url: str, clock: Clock) -> None:
        self._clock = clock
        self._budget = Budget(REQUESTS * OWN_SHARE, WINDOW_SECONDS, clock)
        self._asking = Asking(url, self._budget, self._pause_of)

    async def coins(self, wanted: Collection[str]) -> dict[str, Coin]:
        found: dict[str, Coin] = {}
        for name in wanted:
            found |= await self._coins_of(name)
        if any(name not in found for name in wanted):
            found |= await self._all_coins()
        return found

    async def history(self, coin: str, start: int, end: int) -> History:
        rows: list[object] = []
        for first, until in pages(start, end, PAGE_MINUTES):
            span = {"start": first * MINUTE_MS, "end": until * MINUTE_MS - 1, "limit": PAGE_MINUTES}
            result = await self._ask("kline", symbol=coin, interval=INTERVAL, **span)
            rows += _list(result, "kline")
        return history_of(rows, read_row, unreadable_row, start, end)

    async def time(self) -> float:
        result = await self._ask("time")
        try:
            return int(result["timeNano"]) // 1_000_000 / 1000
        except (TypeError, KeyError, ValueError) as error:
            raise VenueUnavailableError("time has no timeNano") from error

    async def close(self) -> None:
        await self._asking.close()

    async def _coins_of(self, name: str) -> dict[str, Coin]:
        """What the venue says when it is asked for a coin: nothing about one that it does not have."""
        try:
            return _coins(await self._ask("instruments-info", symbol=name))
        except _WrongRequestError:
            return {}

    async def _all_coins(self) -> dict[str, Coin]:
        found: dict[str, Coin] = {}
        more: dict[str, str] = {}
        for _ in range(MOST_INSTRUMENT_PAGES):
            result = await self._ask("instruments-info", limit=INSTRUMENTS_PAGE, **more)
            found |= _coins(result)
            if not (cursor := result.get("nextPageCursor")):
                break
            more = {"cursor": str(cursor)}
        return found

    async def _ask(self, what: str, **parameters: str | int) -> Any:
        if what != "time":
            parameters = {"category": CATEGORY, **parameters}
        answer = await self._asking.get(f"/v5/market/{what}", 1, **parameters)
        code = answer.get("retCode") if isinstance(answer, dict) else None
        if code == 0 and isinstance(answer.get("result"), dict):
            return answer["result"]
        if not isinstance(code, int) or code == 0 or code in BUSY:
            raise VenueUnavailableError(f"{what} answered {str(answer)[:80]}")
        said = f"{answer.get('retMsg')} (retCode {code})"
        if code in TOO_MANY_VISITS:
            raise self._asking.wants_pause(Pause(said, PAUSE_AFTER_VISITS_SECONDS))
        raise (_WrongRequestError if code == WRONG_REQUEST else VenueRefusedError)(f"{what} refused: {said}")

    def _pause_of(self, response: httpx.Response) -> Pause | None:
        now = self._clock.now()
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return Pause("too many requests (429)", retry_after(response, PAUSE_AFTER_429_SECONDS, now))
        if response.status_code == httpx.codes.FORBIDDEN:
            return Pause("access too frequent (403)", retry_after(response, PAUSE_AFTER_403_SECONDS, now))
        return None


class _WrongRequestError(VenueRefusedError):
    """A parameter that the venue does not take; of a request for one instrument: that it has none of this name."""


def _coins(result: Mapping[str, Any]) -> dict[str, Coin]:
    try:
        return {row["symbol"]: _coin(row) for row in _list(result, "instruments-info")}
    except (TypeError, KeyError, ValueError) as error:
        raise VenueUnavailableError("instruments-info is not a list of instruments") from error


def _coin(row: Mapping[str, Any]) -> Coin:
    price = decimals_of_step(row["priceFilter"]["tickSize"], "tickSize")
    volume = decimals_of_step(row["lotSizeFilter"]["qtyStep"], "qtyStep")
    return Coin(
        str(row["symbol"]), Scale(price, volume, min(price + volume, QUOTE_DECIMALS)), row.get("status") in GONE
    )


def _list(result: Mapping[str, Any], what: str) -> list[Any]:
    rows = result.get("list")
    if not isinstance(rows, list):
        raise VenueUnavailableError(f"{what} has no list")
    return rows
