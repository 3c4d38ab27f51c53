"""Binance's REST: texts, paging, errors in its words, weights, pauses and bans."""

from __future__ import annotations

from typing import Any

import pytest

from btc_pipeline.exchanges.replay import Behaviour, Fault, FaultKind, MinuteRow, SyntheticMarket
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, TableMarket, play

NOW_MS = EPOCH * 1000
ROOT = {"BINANCE": "/api/v3", "BINANCE_UM": "/fapi/v1"}
ROW = MinuteRow(MINUTE - 3, 841430, 841430, 841430, 841430, 36, 1)
"""One trade, whose aggressor sold."""


async def klines(bench: Bench, venue: str = "BINANCE", **asked: Any) -> Any:
    response = await bench.get(venue, f"{ROOT[venue]}/klines", **{"symbol": "BTCUSDT", "interval": "1m"} | asked)
    assert response.status_code == 200, response.text
    return response.json()


def opens(rows: list[list[Any]]) -> list[int]:
    """Open times in minutes after EPOCH."""
    return [row[0] // 60_000 - MINUTE for row in rows]


SPOT_TEXT = (
    '[[1790231820000,"84143.00000000","84143.00000000","84143.00000000","84143.00000000","0.00036000",1790231879999,'
    '"30.29148000",1,"0.00000000","0.00000000","0"]]'
)
USD_M_TEXT = (
    '[[1790231820000,"84143.0","84143.0","84143.0","84143.0","0.00036",1790231879999,"30.291480",1,"0.00000",'
    '"0.000000","0"]]'
)


@pytest.mark.parametrize(("venue", "text"), [("BINANCE", SPOT_TEXT), ("BINANCE_UM", USD_M_TEXT)])
def test_a_kline_is_an_array_of_twelve(venue: str, text: str) -> None:
    async def scenario(bench: Bench) -> None:
        path = f"{ROOT[venue]}/klines"
        response = await bench.get(venue, path, symbol="BTCUSDT", interval="1m", endTime=(MINUTE - 3) * 60_000)
        assert response.text == text
        assert response.headers["content-type"] == "application/json"

    play(scenario, market=TableMarket([ROW]))


def test_rows_ascend_from_the_start_or_are_the_newest_and_the_forming_one_is_the_last() -> None:
    async def scenario(bench: Bench) -> None:
        assert opens(await klines(bench, limit=3)) == [-2, -1, 0]
        assert opens(await klines(bench, limit=3, endTime=NOW_MS - 1)) == [-3, -2, -1]
        assert opens(await klines(bench, limit=2, startTime=NOW_MS - 600_000)) == [-10, -9]
        assert opens(await klines(bench, startTime=NOW_MS - 600_000 + 1, endTime=NOW_MS - 480_000)) == [-9, -8]
        assert opens(await klines(bench, startTime=NOW_MS + 60_000)) == []
        assert len(await klines(bench)) == 500
        assert len(await klines(bench, limit=5000)) == 1000
        assert len(await klines(bench, "BINANCE_UM", limit=5000)) == 1500
        assert opens(await klines(bench, startTime=NOW_MS - 10_000_000 * 60_000, limit=1)) == [-10_000_000]

    play(scenario, begin=30)


def test_minutes_before_the_market_begins_are_skipped_without_a_walk() -> None:
    async def scenario(bench: Bench) -> None:
        assert opens(await klines(bench, startTime=0, limit=2)) == [-3, -2]

    play(scenario, market=TableMarket([ROW]))


def test_a_minute_without_trades_is_flat_also_while_it_forms() -> None:
    async def scenario(bench: Bench) -> None:
        rows = await klines(bench, limit=3)
        assert opens(rows) == [-2, -1, 0]
        price, nothing = "84143.00000000", "0.00000000"
        for row in rows:
            assert row[1:6] == [price, price, price, price, nothing]
            assert row[7:11] == [nothing, 0, nothing, nothing]

    play(scenario, market=TableMarket([ROW]), begin=30)


@pytest.mark.parametrize(
    ("path", "asked", "code"),
    [
        ("klines", {"symbol": "NOPEUSDT", "interval": "1m"}, -1121),
        ("klines", {"symbol": "BTC", "interval": "1m"}, -1121),
        ("klines", {"interval": "1m"}, -1102),
        ("klines", {"symbol": "BTCUSDT"}, -1102),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "many"}, -1100),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "-1"}, -1100),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "endTime": "1" * 21}, -1100),
        ("exchangeInfo", {"symbol": "NOPEUSDT"}, -1121),
        ("ticker/price", {"symbol": "NOPEUSDT"}, -1121),
    ],
)
def test_what_cannot_be_is_refused_with_a_code(path: str, asked: dict[str, str], code: int) -> None:
    async def scenario(bench: Bench) -> None:
        response = await bench.get("BINANCE", f"/api/v3/{path}", **asked)
        assert (response.status_code, response.json()["code"]) == (400, code)
        if code == -1121:
            assert response.text == '{"code":-1121,"msg":"Invalid symbol."}'

    play(scenario)


@pytest.mark.parametrize(
    ("venue", "padding", "gone"), [("BINANCE", "0000000", "BREAK"), ("BINANCE_UM", "", "SETTLING")]
)
def test_instruments_have_their_steps_and_their_status(venue: str, padding: str, gone: str) -> None:
    async def scenario(bench: Bench) -> None:
        symbols = {
            one["symbol"]: one for one in (await bench.get(venue, f"{ROOT[venue]}/exchangeInfo")).json()["symbols"]
        }
        assert set(symbols) == {"BTCUSDT", "ETHUSDT", "MATICUSDT"}
        filters = {one["filterType"]: one for one in symbols["BTCUSDT"]["filters"]}
        assert filters["PRICE_FILTER"]["tickSize"] == f"0.1{padding}"
        assert filters["LOT_SIZE"]["stepSize"] == f"0.00001{padding[:3]}"
        assert (symbols["BTCUSDT"]["status"], symbols["MATICUSDT"]["status"]) == ("TRADING", gone)
        assert await klines(bench, venue, symbol="MATICUSDT") == []

    play(scenario)


def test_one_instrument_is_told_alone_by_spot_and_among_all_by_futures() -> None:
    async def scenario(bench: Bench) -> None:
        for venue, count in (("BINANCE", 1), ("BINANCE_UM", 3)):
            told = await bench.get(venue, f"{ROOT[venue]}/exchangeInfo", symbol="BTCUSDT")
            assert len(told.json()["symbols"]) == count

    play(scenario)


def test_time_and_prices_are_told() -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.get("BINANCE", "/api/v3/time")).text == '{"serverTime":1790232030000}'
        prices = {one["symbol"]: one["price"] for one in (await bench.get("BINANCE", "/api/v3/ticker/price")).json()}
        assert set(prices) == {"BTCUSDT", "ETHUSDT"}
        assert prices["BTCUSDT"] == (await klines(bench, limit=1))[0][4]
        one = await bench.get("BINANCE", "/api/v3/ticker/price", symbol="BTCUSDT")
        assert one.json() == {"symbol": "BTCUSDT", "price": prices["BTCUSDT"]}

    play(scenario, begin=30)


def test_other_paths_and_methods_are_not_there() -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.get("BINANCE", "/api/v3/depth")).status_code == 404
        assert (await bench.get("BINANCE", "/fapi/v1/time")).status_code == 404
        posted = await bench.http.post(f"{bench.exchange.addresses('BINANCE').api_url}/api/v3/time")
        assert posted.status_code == 405

    play(scenario)


def test_requests_weigh_what_they_do_and_the_header_says_how_much_was_used() -> None:
    async def scenario(bench: Bench) -> None:
        async def used(venue: str, path: str, **asked: Any) -> int:
            before = bench.exchange.counters_of(venue).weight_used
            response = await bench.get(venue, ROOT[venue] + path, **asked)
            assert int(response.headers["x-mbx-used-weight-1m"]) == bench.exchange.counters_of(venue).weight_used
            return bench.exchange.counters_of(venue).weight_used - before

        rows = {"symbol": "BTCUSDT", "interval": "1m"}
        assert await used("BINANCE", "/klines", **rows, limit=1000) == 2
        assert await used("BINANCE", "/exchangeInfo") == 20
        assert await used("BINANCE", "/time") == 1
        assert [await used("BINANCE_UM", "/klines", **rows, limit=n) for n in (99, 100, 499, 500, 1000, 1001)] == [
            1, 2, 2, 5, 5, 10,
        ]  # fmt: skip

    play(scenario)


async def exhaust(bench: Bench, venue: str = "BINANCE") -> Any:
    """Asks until there is something else than an answer."""
    while True:
        response = await bench.get(venue, f"{ROOT[venue]}/exchangeInfo")
        if response.status_code != 200:
            return response


def test_more_than_the_weight_of_a_minute_is_429_with_the_seconds_to_wait() -> None:
    async def scenario(bench: Bench) -> None:
        refused = await exhaust(bench)
        assert refused.status_code == 429
        assert refused.json()["code"] == -1003
        counters = bench.exchange.counters_of("BINANCE")
        assert (counters.weight_used, counters.rate_limited) == (6000, 1)
        wait = int(refused.headers["retry-after"])
        assert 50 <= wait <= 60
        await bench.clock.sleep(wait)
        assert (await bench.get("BINANCE", "/api/v3/time")).status_code == 200
        assert list(counters.too_soon) == []

    play(scenario)


def test_a_peer_that_does_not_wait_is_banned_each_time_for_twice_as_long() -> None:
    async def scenario(bench: Bench) -> None:
        counters = bench.exchange.counters_of("BINANCE")
        bench.exchange.inject(Fault(FaultKind.RATE_LIMIT, seconds=1, value=30, venue="BINANCE"))
        limited = await bench.get("BINANCE", "/api/v3/time")
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "30")
        # What was on its way already is nobody's fault.
        assert (await bench.get("BINANCE", "/api/v3/time")).status_code == 429
        assert not counters.too_soon
        for ban in (7, 14, 28):
            await bench.clock.sleep(5)
            banned = await bench.get("BINANCE", "/api/v3/time")
            assert (banned.status_code, banned.headers["retry-after"]) == (418, str(ban))
            assert "IP banned until" in banned.json()["msg"]
            await bench.clock.sleep(2)
            again = await bench.get("BINANCE", "/api/v3/time")
            assert (again.status_code, again.headers["retry-after"]) == (418, str(ban - 2))
            await bench.clock.sleep(ban - 2)
            assert (await bench.get("BINANCE", "/api/v3/time")).status_code == 200
            bench.exchange.inject(Fault(FaultKind.RATE_LIMIT, seconds=1, value=30, venue="BINANCE"))
            assert (await bench.get("BINANCE", "/api/v3/time")).status_code == 429
        assert [(one.kind, one.status) for one in counters.too_soon] == [("time", 418)] * 6
        assert bench.exchange.state()["venues"]["BINANCE"]["too_soon"] == 6
        assert not bench.exchange.counters_of("BINANCE_UM").too_soon

    play(scenario, Behaviour(ban_seconds=7))


def test_a_ban_is_418_until_it_is_over() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.BANNED, seconds=1, value=40))
        banned = await bench.get("BINANCE", "/api/v3/time")
        assert (banned.status_code, banned.headers["retry-after"]) == (418, "40")
        await bench.until(39)
        assert (await bench.get("BINANCE", "/api/v3/time")).status_code == 418
        await bench.until(41)
        assert (await bench.get("BINANCE", "/api/v3/time")).status_code == 200
        assert [one.time - EPOCH for one in bench.exchange.counters_of("BINANCE").too_soon] == [pytest.approx(39)]

    play(scenario)


@pytest.mark.parametrize(
    ("kind", "status"), [(FaultKind.BAD_GATEWAY, 502), (FaultKind.SERVER_ERROR, 500), (FaultKind.RATE_LIMIT, 429)]
)
def test_errors_last_as_long_as_their_fault(kind: FaultKind, status: int) -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(kind, seconds=30, value=30))
        assert (await bench.get("BINANCE", "/api/v3/time")).status_code == status
        await bench.until(31)
        assert (await bench.get("BINANCE", "/api/v3/time")).status_code == 200

    play(scenario)


def test_rest_faults_of_candles_hold_here_too() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.LATE_REVISION, at=EPOCH - 10, seconds=20, value=30))
        bench.exchange.inject(Fault(FaultKind.WRONG_REST_ROW, at=EPOCH + 40, seconds=5))
        early = (await klines(bench, endTime=NOW_MS - 1, limit=1))[0]
        await bench.until(31)
        final = (await klines(bench, endTime=NOW_MS - 1, limit=1))[0]
        assert early[8] < final[8]
        assert float(early[7]) < float(final[7])
        await bench.until(41)
        wrong = (await klines(bench, endTime=NOW_MS - 1, limit=1))[0]
        assert float(wrong[2]) < max(float(wrong[1]), float(wrong[4]))

    play(scenario, market=SyntheticMarket(seed=7))
