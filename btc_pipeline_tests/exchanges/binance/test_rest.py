"""Binance's REST: pages, instruments, and what is not asked while the venue wants a pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.exchanges.base import (
    Coin,
    History,
    RateLimitedError,
    VenueRefusedError,
    VenueUnavailableError,
)
from btc_pipeline.exchanges.binance.markets import SPOT, USD_M, Market
from btc_pipeline.exchanges.binance.rest import BinanceRest
from btc_pipeline.market.candles import Scale
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline_tests.exchanges.served import NOW, in_turn, run, serve

URL = "http://127.0.0.1:1"
INFO = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
    ],
}


def row(minute: int) -> list[object]:
    start = minute * 60_000
    return [start, "1.0", "2.0", "0.5", "1.5", "3.00", start + 59_999, "4.5", 7, "1.00", "1.5", "0"]


def page(request: httpx.Request, has: range) -> httpx.Response:
    """As the venue pages: ascending, from startTime on, at most `limit`."""
    start, end, limit = (int(request.url.params[name]) for name in ("startTime", "endTime", "limit"))
    assert limit <= 1000
    found = [one for one in has if start <= one * 60_000 <= end]
    return httpx.Response(200, json=[row(one) for one in found[:limit]])


@settings(max_examples=60)
@given(st.integers(0, 3000), st.integers(0, 3500), st.integers(0, 2500), st.integers(0, 3500))
def test_pages_give_every_minute_that_there_is_once(start: int, length: int, listed: int, newest: int) -> None:
    async def work(clock: LoopClock) -> tuple[History, list[httpx.Request]]:
        rest = BinanceRest(SPOT, URL, clock)
        asked = serve(rest, lambda request: page(request, range(listed, newest)))
        return await rest.history("BTCUSDT", start, start + length), asked

    history, asked = run(work)
    assert [one.time for one in history.minutes] == list(
        range(max(start, listed), max(start, min(start + length, newest)))
    )
    assert len(asked) == -(-length // 1000)


@pytest.mark.parametrize(("market", "path"), [(SPOT, "/api/v3/klines"), (USD_M, "/fapi/v1/klines")])
def test_both_markets_are_asked_alike_at_their_own_paths(market: Market, path: str) -> None:
    async def work(clock: LoopClock) -> list[httpx.Request]:
        rest = BinanceRest(market, URL, clock)
        asked = serve(rest, in_turn(httpx.Response(200, json=[row(5)])))
        assert [one.time for one in (await rest.history("BTCUSDT", 5, 6)).minutes] == [5]
        return asked

    (asked,) = run(work)
    assert asked.url.path == path
    assert dict(asked.url.params) == {
        "symbol": "BTCUSDT",
        "interval": "1m",
        "startTime": "300000",
        "endTime": "359999",
        "limit": "1",
    }


def test_an_instrument_has_the_decimals_of_its_tick_and_step() -> None:
    async def work(clock: LoopClock) -> dict[str, Coin]:
        rest = BinanceRest(SPOT, URL, clock)
        serve(rest, in_turn(httpx.Response(200, json={"symbols": [INFO]})))
        return await rest.coins(["BTCUSDT"])

    assert run(work) == {"BTCUSDT": Coin("BTCUSDT", Scale(2, 5, 7))}


def test_all_names_are_asked_for_only_for_one_that_does_not_exist() -> None:
    async def work(clock: LoopClock) -> tuple[dict[str, Coin], list[httpx.Request]]:
        rest = BinanceRest(SPOT, URL, clock)
        wrong = httpx.Response(400, json={"code": -1121, "msg": "Invalid symbol."})
        names = httpx.Response(200, json=[{"symbol": "BTCUSDT", "price": "1"}, {"symbol": "ETHUSDT", "price": "1"}])
        asked = serve(rest, in_turn(httpx.Response(200, json={"symbols": [INFO]}), wrong, names))
        return await rest.coins(["BTCUSDT", "BTCUSD"]), asked

    coins, asked = run(work)
    assert coins["BTCUSDT"].scale == Scale(2, 5, 7)
    assert sorted(coins) == ["BTCUSDT", "ETHUSDT"]
    assert [one.url.path for one in asked] == ["/api/v3/exchangeInfo", "/api/v3/exchangeInfo", "/api/v3/ticker/price"]


def test_the_futures_market_answers_with_all_instruments_and_is_asked_once() -> None:
    async def work(clock: LoopClock) -> tuple[dict[str, Coin], list[httpx.Request]]:
        rest = BinanceRest(USD_M, URL, clock)
        gone = INFO | {"symbol": "ETHUSDT", "status": "SETTLING"}
        asked = serve(rest, in_turn(httpx.Response(200, json={"symbols": [INFO, gone]})))
        return await rest.coins(["BTCUSDT", "ETHUSDT"]), asked

    coins, asked = run(work)
    assert {name: coin.delisted for name, coin in coins.items()} == {"BTCUSDT": False, "ETHUSDT": True}
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7),
        (418, {"retry-after": "1800"}, 1800),
        (429, {}, 60),
        (418, {}, 300),
        (403, {}, 300),
    ],
)
def test_while_the_venue_wants_a_pause_nothing_is_sent(status: int, headers: dict[str, str], seconds: float) -> None:
    async def work(clock: LoopClock) -> None:
        rest = BinanceRest(SPOT, URL, clock)
        limited = httpx.Response(status, headers=headers, html="<html>Request blocked</html>")
        asked = serve(rest, in_turn(limited, httpx.Response(200, json={"serverTime": 1790232000123})))
        with pytest.raises(RateLimitedError, match=str(status)) as caught:
            await rest.time()
        assert caught.value.retry_after is not None
        assert seconds <= caught.value.retry_after <= seconds + 1
        for _ in range(3):
            with pytest.raises(RateLimitedError, match="asked for a pause") as caught:
                await rest.history("BTCUSDT", 0, 10)
            await clock.sleep(seconds / 4)
        assert len(asked) == 1
        await clock.sleep((caught.value.retry_after or 0) + 1)
        assert await rest.time() == 1790232000.123
        assert clock.now() - NOW >= seconds

    run(work)


def test_a_pause_holds_though_the_body_of_its_answer_never_comes() -> None:
    async def work(clock: LoopClock) -> int:
        async def cut() -> AsyncIterator[bytes]:
            yield b'{"code":'
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")

        rest = BinanceRest(SPOT, URL, clock)
        asked = serve(rest, lambda _: httpx.Response(418, headers={"Retry-After": "120"}, content=cut()))
        for words in ("banned", "asked for a pause"):
            with pytest.raises(RateLimitedError, match=words):
                await rest.time()
        return len(asked)

    assert run(work) == 1


def test_requests_under_way_when_the_pause_begins_are_not_sent_either() -> None:
    async def work(clock: LoopClock) -> int:
        rest = BinanceRest(SPOT, URL, clock)
        asked = serve(rest, lambda _: httpx.Response(429, headers={"Retry-After": "30"}))
        results = await asyncio.gather(*(rest.time() for _ in range(5)), return_exceptions=True)
        assert all(isinstance(result, RateLimitedError) for result in results)
        return len(asked)

    assert run(work) == 1


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (httpx.Response(503, text="busy"), VenueUnavailableError, "klines answered 503"),
        (httpx.Response(200, html="<html></html>"), VenueUnavailableError, "a web page instead of JSON"),
        (httpx.Response(200, text="{"), VenueUnavailableError, "no JSON"),
        (httpx.Response(200, json={"a": 1}), VenueUnavailableError, "instead of a list"),
        (httpx.Response(451, html="<html></html>"), VenueRefusedError, r"refused \(451\): a web page"),
        (httpx.Response(400, json={"code": -1121, "msg": "Invalid symbol."}), VenueRefusedError, "Invalid symbol"),
    ],
)
def test_other_answers_are_errors_in_words(response: httpx.Response, error: type[Exception], words: str) -> None:
    async def work(clock: LoopClock) -> None:
        rest = BinanceRest(SPOT, URL, clock)
        serve(rest, lambda _: response)
        with pytest.raises(error, match=words):
            await rest.history("BTCUSDT", 0, 10)

    run(work)


def test_a_wrong_row_is_refused_and_the_others_are_taken() -> None:
    async def work(clock: LoopClock) -> History:
        rest = BinanceRest(SPOT, URL, clock)
        serve(rest, in_turn(httpx.Response(200, json=[row(5), [*row(6)[:4], "x", *row(6)[5:]], row(7)])))
        return await rest.history("BTCUSDT", 5, 8)

    history = run(work)
    assert [one.time for one in history.minutes] == [5, 7]
    assert [(one.reason, one.time) for one in history.unreadable] == [("c 'x' is no decimal number", 6)]
