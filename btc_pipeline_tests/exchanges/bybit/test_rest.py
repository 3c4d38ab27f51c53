"""Bybit's REST: pages, instruments, and what is not asked while the venue wants a pause."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.exchanges.base import Coin, History, RateLimitedError, VenueRefusedError, VenueUnavailableError
from btc_pipeline.exchanges.bybit.rest import BybitRest
from btc_pipeline.market.candles import Scale
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline_tests.exchanges.served import in_turn, run, serve

URL = "http://127.0.0.1:1"
INFO = {
    "symbol": "BTCUSDT",
    "status": "Trading",
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001"},
}


def told(code: int = 0, message: str = "OK", **result: Any) -> httpx.Response:
    return httpx.Response(200, json={"retCode": code, "retMsg": message, "result": result, "time": 1790232000123})


def page(request: httpx.Request, has: range) -> httpx.Response:
    """As the venue pages: the newest of [start, end], newest first, at most `limit`."""
    start, end, limit = (int(request.url.params[name]) for name in ("start", "end", "limit"))
    assert request.url.params["category"] == "linear"
    found = [one for one in reversed(has) if start <= one * 60_000 <= end][:limit]
    rows = [[str(one * 60_000), "1.5", "2", "0.5", "1", "3.25", "4.5"] for one in found]
    return told(symbol="BTCUSDT", category="linear", list=rows)


@settings(max_examples=60)
@given(st.integers(0, 3000), st.integers(0, 3500), st.integers(0, 2500), st.integers(0, 3500))
def test_pages_give_every_minute_that_there_is_once_ascending(
    start: int, length: int, listed: int, newest: int
) -> None:
    async def work(clock: LoopClock) -> tuple[History, list[httpx.Request]]:
        rest = BybitRest(URL, clock)
        asked = serve(rest, lambda request: page(request, range(listed, newest)))
        return await rest.history("BTCUSDT", start, start + length), asked

    history, asked = run(work)
    assert [one.time for one in history.minutes] == list(
        range(max(start, listed), max(start, min(start + length, newest)))
    )
    assert len(asked) == -(-length // 1000)


def test_an_instrument_has_the_decimals_of_its_tick_and_step() -> None:
    async def work(clock: LoopClock) -> tuple[dict[str, Coin], list[httpx.Request]]:
        rest = BybitRest(URL, clock)
        asked = serve(rest, in_turn(told(category="linear", list=[INFO])))
        return await rest.coins(["BTCUSDT"]), asked

    coins, asked = run(work)
    assert coins == {"BTCUSDT": Coin("BTCUSDT", Scale(1, 3, 4))}
    assert str(asked[0].url) == f"{URL}/v5/market/instruments-info?category=linear&symbol=BTCUSDT"


@pytest.mark.parametrize("nothing", [told(10001, "params error: symbol invalid"), told(category="linear", list=[])])
def test_all_instruments_are_asked_for_only_for_one_that_does_not_exist(nothing: httpx.Response) -> None:
    async def work(clock: LoopClock) -> tuple[dict[str, Coin], list[httpx.Request]]:
        rest = BybitRest(URL, clock)
        first = told(list=[INFO], nextPageCursor="first%3DBTC")
        last = told(list=[INFO | {"symbol": "ETHUSDT"}], nextPageCursor="")
        asked = serve(rest, in_turn(nothing, first, last))
        return await rest.coins(["BTCUSD"]), asked

    coins, asked = run(work)
    assert sorted(coins) == ["BTCUSDT", "ETHUSDT"]
    assert asked[2].url.params["cursor"] == "first%3DBTC"


@pytest.mark.parametrize(
    ("response", "words", "seconds"),
    [
        (told(10006, "Too many visits!"), "Too many visits", 5),
        (httpx.Response(403, text="access too frequent"), "access too frequent", 600),
        (httpx.Response(403, headers={"Retry-After": "60"}), "access too frequent", 60),
        (httpx.Response(429), "429", 10),
    ],
)
def test_while_the_venue_wants_a_pause_nothing_is_sent(response: httpx.Response, words: str, seconds: float) -> None:
    async def work(clock: LoopClock) -> None:
        rest = BybitRest(URL, clock)
        asked = serve(rest, in_turn(response, told(timeSecond="1790232000", timeNano="1790232000123999999")))
        with pytest.raises(RateLimitedError, match=words):
            await rest.history("BTCUSDT", 0, 3000)
        await clock.sleep(seconds - 0.1)
        with pytest.raises(RateLimitedError, match="asked for a pause"):
            await rest.time()
        assert len(asked) == 1
        await clock.sleep(1)
        # Never later than it is: cut, not rounded.
        assert await rest.time() == 1790232000.123

    run(work)


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (
            told(10001, "Not supported symbols"),
            VenueRefusedError,
            r"kline refused: Not supported symbols \(retCode 10001\)",
        ),
        (told(10016, "Internal server error"), VenueUnavailableError, "kline answered"),
        (httpx.Response(502, html="<html></html>"), VenueUnavailableError, "kline answered 502"),
        (httpx.Response(200, html="<html></html>"), VenueUnavailableError, "a web page instead of JSON"),
        (httpx.Response(200, json=[]), VenueUnavailableError, "kline answered"),
        (told(category="linear"), VenueUnavailableError, "kline has no list"),
    ],
)
def test_other_answers_are_errors_in_words(response: httpx.Response, error: type[Exception], words: str) -> None:
    async def work(clock: LoopClock) -> None:
        rest = BybitRest(URL, clock)
        serve(rest, lambda _: response)
        with pytest.raises(error, match=words):
            await rest.history("BTCUSDT", 0, 10)

    run(work)
