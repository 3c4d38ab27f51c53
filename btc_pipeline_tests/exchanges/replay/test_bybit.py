"""Bybit's wire and REST: texts, topics and their errors, confirmed minutes, limits and refusals."""

from __future__ import annotations

import re
from typing import Any

import pytest

from btc_pipeline.exchanges.replay import Behaviour, Fault, FaultKind, MinuteRow, SyntheticMarket
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, RawSocket, TableMarket, play

NOW_MS = EPOCH * 1000
KLINE, TRADES = "kline.1.BTCUSDT", "publicTrade.BTCUSDT"
ROW = MinuteRow(MINUTE, 841430, 841430, 841430, 841430, 36, 1)
PATIENT = Behaviour(client_silence_seconds=3600)


async def subscribed(socket: RawSocket, *topics: str) -> Any:
    return await socket.answer({"req_id": "1", "op": "subscribe", "args": list(topics)})


async def klines(bench: Bench, **asked: Any) -> list[list[str]]:
    wanted = {"category": "linear", "symbol": "BTCUSDT", "interval": "1"} | asked
    answer = (await bench.get("BYBIT", "/v5/market/kline", **wanted)).json()
    assert (answer["retCode"], answer["retMsg"]) == (0, "OK")
    found: list[list[str]] = answer["result"]["list"]
    return found


def opens(rows: list[list[str]]) -> list[int]:
    """Open times in minutes after EPOCH."""
    return [int(row[0]) // 60_000 - MINUTE for row in rows]


def test_frames_are_written_as_documented() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BYBIT") as socket:
            await socket.send({"req_id": "1", "op": "subscribe", "args": [TRADES, KLINE]})
            answer = await socket.text()
            identity = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
            pattern = rf'{{"success":true,"ret_msg":"","conn_id":"{identity}","req_id":"1","op":"subscribe"}}'
            assert re.fullmatch(pattern, answer)
            flat = await socket.next()
            assert (flat["data"][0]["volume"], flat["data"][0]["open"]) == ("0", "84143")
            trade = await socket.text()
            assert re.fullmatch(
                r'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":179023200[0-9]{4},"data":\[{"T":179023200[0-9]{4},'
                rf'"s":"BTCUSDT","S":"Sell","v":"0.00036","p":"84143","L":"ZeroPlusTick","i":"{identity}","BT":false}}\]}}',
                trade,
            )
            text = await socket.text()
            time = re.search(r'"ts":([0-9]+)', text)
            assert time is not None
            assert text == (
                f'{{"topic":"kline.1.BTCUSDT","type":"snapshot","ts":{time[1]},"data":[{{"start":1790232000000,'
                '"end":1790232059999,"interval":"1","open":"84143","close":"84143","high":"84143","low":"84143",'
                f'"volume":"0.00036","turnover":"30.29148","confirm":false,"timestamp":{time[1]}}}]}}'
            )
            await bench.until(59)
            assert await socket.all_for(0.5) == []
            confirmed = (await socket.next())["data"][0]
            assert confirmed["confirm"] is True
            assert confirmed["timestamp"] == 1790232060250

    play(scenario, PATIENT, TableMarket([ROW, ROW._replace(minute=MINUTE - 1)]), begin=1)


def test_pings_are_echoed_with_their_number() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BYBIT") as socket:
            answer = await socket.answer({"req_id": "7", "op": "ping"})
            connection = answer.pop("conn_id")
            assert answer == {"success": True, "ret_msg": "pong", "req_id": "7", "op": "ping"}
            assert (await subscribed(socket, KLINE))["conn_id"] == connection

    play(scenario)


@pytest.mark.parametrize("topic", ["kline.1.NOPE", "kline.1.btcusdt", "kline.7.BTCUSDT", "nothing", "kline.1.BTC"])
def test_an_unknown_topic_refuses_the_whole_request(topic: str) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BYBIT") as socket:
            answer = await subscribed(socket, KLINE, topic)
            assert answer["success"] is False
            assert answer["ret_msg"] == f"error:handler not found,topic:{topic}"
            assert await socket.all_for(10) == []

    play(scenario)


def test_a_topic_twice_is_an_error_and_unsubscribing_ends_it() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BYBIT") as socket:
            await subscribed(socket, KLINE)
            await subscribed(socket, KLINE)
            words = [one["ret_msg"] for one in await socket.all_for(1) if "ret_msg" in one]
            assert words == [f"error:already subscribed,topic:{KLINE}"]
            await socket.send({"op": "unsubscribe", "args": [KLINE]})
            assert [one["success"] for one in await socket.all_for(1) if "op" in one] == [True]
            assert await socket.all_for(10) == []

    play(scenario, begin=30)


@pytest.mark.parametrize(
    "message", ["{", "[]", '{"op":"dance"}', '{"op":"subscribe"}', '{"op":"subscribe","args":[1]}']
)
def test_what_it_cannot_read_is_an_error(message: str) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BYBIT") as socket:
            assert (await socket.answer(message))["success"] is False

    play(scenario)


def test_arguments_have_a_length() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BYBIT") as socket:
            answer = await subscribed(socket, *["kline.1.BTCUSDT"] * 1401)
            assert answer["ret_msg"] == "error:args longer than 21000 characters"

    play(scenario)


def test_each_minute_is_confirmed_once_after_its_end_and_before_the_next() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BYBIT") as socket:
            await subscribed(socket, KLINE)
            frames = [one["data"][0] for one in await socket.all_for(250)]
        found = [(one["start"] // 60_000 - MINUTE, one["confirm"]) for one in frames]
        assert found == sorted(found)
        assert [minute for minute, confirmed in found if confirmed] == [0, 1, 2, 3]
        rows = {row[0]: row for row in await klines(bench)}
        for one in frames:
            if one["confirm"]:
                assert one["timestamp"] > one["end"]
                names = ("open", "high", "low", "close", "volume", "turnover")
                assert [one[name] for name in names] == rows[str(one["start"])][1:]

    play(scenario, PATIENT, SyntheticMarket(seed=7, empty_share=0.3), begin=1)


def test_a_silent_client_is_cut_and_nobody_pings_it() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BYBIT") as socket:
            await subscribed(socket, KLINE)
            await bench.until(30)
            await socket.send({"op": "ping"})
            await socket.all_until_closed()
            assert bench.clock.now() == pytest.approx(EPOCH + 90, abs=0.1)

    play(scenario)


def test_a_kline_of_rest_is_seven_texts() -> None:
    async def scenario(bench: Bench) -> None:
        response = await bench.get(
            "BYBIT", "/v5/market/kline", category="linear", symbol="BTCUSDT", interval="1", end=NOW_MS
        )
        assert response.text == (
            '{"retCode":0,"retMsg":"OK","result":{"symbol":"BTCUSDT","category":"linear","list":[["1790232000000",'
            '"84143","84143","84143","84143","0.00036","30.29148"]]},"retExtInfo":{},"time":1790232059000}'
        )

    play(scenario, market=TableMarket([ROW]), begin=59)


def test_rows_are_newest_first_and_include_the_forming_one() -> None:
    async def scenario(bench: Bench) -> None:
        assert opens(await klines(bench, limit=3)) == [0, -1, -2]
        assert opens(await klines(bench, start=NOW_MS - 180_000, end=NOW_MS - 60_000)) == [-1, -2, -3]
        assert opens(await klines(bench, start=NOW_MS - 180_000 + 1, end=NOW_MS - 60_001)) == [-2]
        assert opens(await klines(bench, start=NOW_MS - 600_000, end=NOW_MS, limit=2)) == [0, -1]
        assert opens(await klines(bench, start=NOW_MS - 600_000, limit=2)) == [-9, -10]
        assert len(await klines(bench)) == 200
        assert len(await klines(bench, limit=5000)) == 1000
        assert await klines(bench, symbol="MATICUSDT") == []

    play(scenario, begin=30)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("kline", {"symbol": "NOPE"}),
        ("kline", {"symbol": "btcusdt"}),
        ("kline", {"interval": "7"}),
        ("kline", {"category": "spot"}),
        ("kline", {"limit": "many"}),
        ("kline", {"start": "-1"}),
        ("instruments-info", {"symbol": "NOPE"}),
        ("instruments-info", {"category": "swap"}),
    ],
)
def test_what_cannot_be_is_code_10001_with_status_200(path: str, asked: dict[str, str]) -> None:
    async def scenario(bench: Bench) -> None:
        wanted = {"category": "linear", "symbol": "BTCUSDT", "interval": "1"} | asked
        response = await bench.get("BYBIT", f"/v5/market/{path}", **wanted)
        assert (response.status_code, response.json()["retCode"], response.json()["result"]) == (200, 10001, {})

    play(scenario)


def test_instruments_come_in_pages() -> None:
    async def scenario(bench: Bench) -> None:
        found: dict[str, Any] = {}
        cursor = ""
        pages = 0
        while pages == 0 or cursor:
            asked = {"category": "linear", "limit": 2} | ({"cursor": cursor} if cursor else {})
            result = (await bench.get("BYBIT", "/v5/market/instruments-info", **asked)).json()["result"]
            found |= {one["symbol"]: one for one in result["list"]}
            cursor, pages = result["nextPageCursor"], pages + 1
        assert pages == 2
        assert {name: one["status"] for name, one in found.items()} == {
            "BTCUSDT": "Trading", "ETHUSDT": "Trading", "MATICUSDT": "Closed",
        }  # fmt: skip
        assert found["BTCUSDT"]["priceFilter"]["tickSize"] == "0.1"
        assert found["BTCUSDT"]["lotSizeFilter"]["qtyStep"] == "0.00001"
        one = await bench.get("BYBIT", "/v5/market/instruments-info", category="linear", symbol="ETHUSDT")
        assert [each["symbol"] for each in one.json()["result"]["list"]] == ["ETHUSDT"]

    play(scenario)


def test_time_is_told_in_seconds_and_nanoseconds() -> None:
    async def scenario(bench: Bench) -> None:
        answer = (await bench.get("BYBIT", "/v5/market/time")).json()
        assert answer["result"] == {"timeSecond": "1790232030", "timeNano": "1790232030000000000"}
        assert answer["time"] == NOW_MS + 30_000

    play(scenario, begin=30)


def test_more_than_600_requests_in_five_seconds_are_refused_for_minutes() -> None:
    async def scenario(bench: Bench) -> None:
        answers = [await bench.get("BYBIT", "/v5/market/time") for _ in range(601)]
        assert [one.status_code for one in answers] == [200] * 600 + [403]
        assert "access too frequent" in answers[-1].text
        counters = bench.exchange.counters_of("BYBIT")
        await bench.until(50)
        assert (await bench.get("BYBIT", "/v5/market/time")).status_code == 403
        assert [one.status for one in counters.too_soon] == [403]
        await bench.until(100.5)
        assert (await bench.get("BYBIT", "/v5/market/time")).status_code == 200
        assert len(counters.too_soon) == 1

    play(scenario, Behaviour(refusal_seconds=100))


def test_too_many_visits_are_code_10006_with_status_200() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.RATE_LIMIT, seconds=10))
        response = await bench.get("BYBIT", "/v5/market/time")
        assert (response.status_code, response.json()["retCode"]) == (200, 10006)
        assert bench.exchange.counters_of("BYBIT").rate_limited == 1
        await bench.until(11)
        assert (await bench.get("BYBIT", "/v5/market/time")).json()["retCode"] == 0

    play(scenario)


def test_a_ban_is_403() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.BANNED, seconds=10, venue="BYBIT"))
        assert (await bench.get("BYBIT", "/v5/market/time")).status_code == 403
        await bench.until(599)
        assert (await bench.get("BYBIT", "/v5/market/time")).status_code == 403
        await bench.until(601)
        assert (await bench.get("BYBIT", "/v5/market/time")).status_code == 200

    play(scenario)
