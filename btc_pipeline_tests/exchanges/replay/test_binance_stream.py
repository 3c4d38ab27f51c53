"""Binance's stream: requests and their answers, klines with their end, pings, and all the ways to end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from btc_pipeline.exchanges.replay import Behaviour, Fault, FaultKind, MinuteRow, SyntheticMarket
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, RawSocket, TableMarket, play

STREAM = "btcusdt@kline_1m"
SUBSCRIBE = {"method": "SUBSCRIBE", "params": [STREAM], "id": 1}
ROW = MinuteRow(MINUTE, 841430, 841430, 841430, 841430, 36, 1)
"""One trade, whose aggressor sold."""


async def klines_for(socket: RawSocket, seconds: float) -> list[dict[str, Any]]:
    """The klines that come within so many seconds, answers to requests aside."""
    return [message["k"] for message in await socket.all_for(seconds) if "k" in message]


def minutes_of(klines: list[dict[str, Any]]) -> list[tuple[int, bool]]:
    """Minute after EPOCH and whether it is closed, of each kline."""
    return [(kline["t"] // 60_000 - MINUTE, kline["x"]) for kline in klines]


def test_a_frame_is_written_as_documented() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE", f"/{STREAM}") as socket:
            text = await socket.text()
            assert text.startswith('{"e":"kline","E":17902320')
            assert text[text.index(',"s"') :] == (
                ',"s":"BTCUSDT","k":{"t":1790232000000,"T":1790232059999,"s":"BTCUSDT","i":"1m","f":2983720000000,'
                '"L":2983720000000,"o":"84143.00000000","c":"84143.00000000","h":"84143.00000000",'
                '"l":"84143.00000000","v":"0.00036000","n":1,"x":false,"q":"30.29148000","V":"0.00000000",'
                '"Q":"0.00000000","B":"0"}}'
            )
            closed = await socket.text()
            assert closed[closed.index(',"s"') :] == text[text.index(',"s"') :].replace('"x":false', '"x":true')

    play(scenario, market=TableMarket([ROW]), begin=59.9)


def test_requests_are_answered_before_data_comes() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE") as socket:
            await socket.send(SUBSCRIBE)
            assert await socket.text() == '{"result":null,"id":1}'
            assert (await socket.next())["e"] == "kline"
            await socket.send({"method": "LIST_SUBSCRIPTIONS", "id": "a"})
            answers = [one for one in await socket.all_for(1) if "id" in one]
            assert answers == [{"result": [STREAM], "id": "a"}]
            await socket.send({"method": "UNSUBSCRIBE", "params": [STREAM], "id": 3})
            assert {"result": None, "id": 3} in await socket.all_for(1)
            await socket.send({"method": "LIST_SUBSCRIPTIONS", "id": 4})
            assert await socket.all_for(10) == [{"result": [], "id": 4}]

    play(scenario, begin=30)


def test_streams_may_stand_in_the_path() -> None:
    async def scenario(bench: Bench) -> None:
        for venue in ("BINANCE", "BINANCE_UM"):
            async with bench.socket(venue, f"/{STREAM}/ethusdt@kline_1m") as socket:
                messages = await socket.all_for(10)
                assert {message["s"] for message in messages} == {"BTCUSDT", "ETHUSDT"}

    play(scenario, begin=30)


@pytest.mark.parametrize(
    "stream", ["nopeusdt@kline_1m", "BTCUSDT@kline_1m", "btcusdt@kline_7m", "btcusdt", "maticusdt@kline_1m"]
)
def test_what_does_not_exist_is_acknowledged_and_silent(stream: str) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE") as socket:
            assert await socket.answer(SUBSCRIBE | {"params": [stream]}) == {"result": None, "id": 1}
            assert await socket.all_for(90) == []

    play(scenario)


def test_the_legacy_path_of_futures_is_acknowledged_and_silent() -> None:
    async def scenario(bench: Bench) -> None:
        from websockets.asyncio.client import connect

        url = bench.exchange.addresses("BINANCE_UM").websocket_url.replace("/market/ws", "/ws")
        async with connect(url, ping_interval=None, proxy=None) as connection:
            socket = RawSocket(connection)
            assert await socket.answer(SUBSCRIBE) == {"result": None, "id": 1}
            assert await socket.all_for(120) == []

    play(scenario)


@pytest.mark.parametrize(
    ("message", "code"),
    [("{", 3), ("[1]", 2), ('{"method":"SUBSCRIB","id":1}', 2), ('{"method":"SUBSCRIBE","params":"x","id":1}', 2)],
)
def test_what_it_cannot_read_is_answered_with_a_code(message: str, code: int) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE") as socket:
            assert (await socket.answer(message))["error"]["code"] == code

    play(scenario)


def test_every_minute_ends_with_one_closed_kline_that_rest_confirms() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE", f"/{STREAM}") as socket:
            klines = await klines_for(socket, 190)
        found = minutes_of(klines)
        assert [minute for minute, closed in found if closed] == [0, 1, 2]
        assert found == sorted(found)
        rest = (await bench.get("BINANCE", "/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=1000)).json()
        rows = {row[0]: row[:11] for row in rest}
        for kline in klines:
            if kline["x"]:
                names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")
                assert [kline[name] for name in names] == rows[kline["t"]]
        for before, after in pairwise(klines):
            if before["t"] == after["t"]:
                assert after["n"] >= before["n"]

    play(scenario, begin=1)


def test_forming_klines_come_at_most_every_two_seconds() -> None:
    times: dict[float, list[int]] = {}

    def scenario_of(seconds: float) -> Any:
        async def scenario(bench: Bench) -> None:
            async with bench.socket("BINANCE", f"/{STREAM}") as socket:
                messages = await socket.all_for(125)
            times[seconds] = [message["E"] for message in messages if minutes_of([message["k"]]) == [(1, False)]]

        return scenario

    for seconds in (2.0, 0.0):
        play(scenario_of(seconds), Behaviour(kline_seconds=seconds), SyntheticMarket(seed=7))
    assert all(after - before >= 1999 for before, after in pairwise(times[2.0]))
    assert 20 <= len(times[2.0]) <= 30
    assert len(times[0.0]) == 60


def test_minutes_without_trades_are_flat_and_closed() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE", f"/{STREAM}") as socket:
            klines = await klines_for(socket, 190)
        assert minutes_of(klines) == [(0, False), (0, True), (1, False), (1, True), (2, False), (2, True), (3, False)]
        for kline in klines[2:]:
            assert [kline[name] for name in "ohlc"] == ["84143.00000000"] * 4
            assert (kline["v"], kline["n"], kline["f"], kline["L"]) == ("0.00000000", 0, -1, -1)

    play(scenario, market=TableMarket([ROW]), begin=1)


@pytest.mark.parametrize(("venue", "every", "wait"), [("BINANCE", 20, 60), ("BINANCE_UM", 180, 600)])
def test_a_socket_that_answers_no_ping_is_cut(venue: str, every: float, wait: float) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket(venue) as socket:
            socket.connection.transport.write = _swallow_pongs(socket.connection.transport.write)  # type: ignore[method-assign]
            with pytest.raises(ConnectionClosed):
                await socket.next()
            assert bench.clock.now() == pytest.approx(EPOCH + every + wait, abs=0.1)
        assert bench.exchange.counters_of(venue).cuts["no pong"] == 1

    play(scenario)


def _swallow_pongs(write: Any) -> Any:
    return lambda data: None if data and data[0] == 0x8A else write(data)


def test_a_socket_lives_for_a_day_and_is_warned() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE") as socket:
            warning = await socket.next()
            assert warning["e"] == "serverShutdown"
            assert bench.clock.now() == pytest.approx(EPOCH + 85_800, abs=1)
            with pytest.raises(ConnectionClosed):
                await socket.next()
            assert bench.clock.now() == pytest.approx(EPOCH + 86_400, abs=1)
        assert bench.exchange.counters_of("BINANCE").cuts["lifetime"] == 1

    play(scenario)


def test_a_shutdown_is_told_before_it_comes() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.SERVER_SHUTDOWN, at=EPOCH + 20, seconds=30))
        async with bench.socket("BINANCE", f"/{STREAM}") as old, bench.socket() as other:
            await other.subscribed()
            told = await old.all_until_closed()
            assert bench.clock.now() == pytest.approx(EPOCH + 50, abs=0.1)
            warnings = [message for message in told if message["e"] == "serverShutdown"]
            assert [message["E"] // 1000 for message in warnings] == [EPOCH + 20]
            assert told.index(warnings[0]) < len(told) - 3
            assert await other.candles_for(10)

    play(scenario)


def test_six_messages_within_a_second_end_the_socket() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE") as socket:
            for number in range(5):
                await socket.send({"method": "LIST_SUBSCRIPTIONS", "id": number})
            assert len(await socket.all_for(2)) == 5
            for number in range(6):
                await socket.send({"method": "LIST_SUBSCRIPTIONS", "id": number})
            with suppress(ConnectionClosed):
                await socket.all_for(5)
            assert socket.connection.close_code == 1008

    play(scenario)


def test_pings_of_a_client_are_answered_unless_a_fault_says_so() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE") as socket:
            await asyncio.wait_for(await socket.connection.ping(), 1)
            bench.exchange.inject(Fault(FaultKind.NO_PONG, seconds=10))
            waiter = await socket.connection.ping()
            await asyncio.sleep(5)
            assert not waiter.done()
            waiter.cancel()

    play(scenario)
