"""The stream: order, payloads, errors in words, silence, and what kills a socket."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from btc_pipeline.exchanges.replay import Behaviour, MinuteRow, SyntheticMarket
from btc_pipeline.exchanges.replay.behaviour import PongFrames
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, TableMarket, play, subscription

BOUNDARY_MS = EPOCH * 1000


def of_minute(candles: list[dict[str, Any]], minute: int) -> list[dict[str, Any]]:
    return [candle for candle in candles if candle["t"] == minute * 60_000]


def test_acknowledgement_comes_first_and_is_normalised_then_the_forming_bucket_alone() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribe()
            acknowledged = await socket.next()
            assert acknowledged == {
                "channel": "subscriptionResponse",
                "data": {"method": "subscribe", "subscription": subscription("candle", "BTC")},
            }
            assert list(acknowledged["data"]["subscription"]) == ["type", "interval", "coin"]
            first = await socket.next()
            assert first["channel"] == "candle"
            assert first["data"]["t"] == BOUNDARY_MS
            assert (await socket.next())["data"]["n"] > first["data"]["n"]

    play(scenario, begin=30)


def test_payload_is_one_object_of_integers_and_decimal_strings() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            message = await socket.next()
            assert list(message) == ["channel", "data"]
            candle = message["data"]
            assert list(candle) == ["t", "T", "s", "i", "o", "c", "h", "l", "v", "n"]
            assert candle["T"] == candle["t"] + 59_999
            assert (candle["s"], candle["i"]) == ("BTC", "1m")
            assert isinstance(candle["n"], int)
            for name in "ocohlv":
                assert isinstance(candle[name], str)
                assert "." in candle[name]

    play(scenario, begin=30)


def test_numbers_keep_one_decimal_and_no_trailing_zeros() -> None:
    row = MinuteRow(MINUTE, 841430, 841440, 841430, 841430, 36, 1)

    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            candle = (await socket.next())["data"]
            assert (candle["o"], candle["h"], candle["v"]) == ("84143.0", "84144.0", "0.00036")

    play(scenario, market=TableMarket([row]))


def test_frames_grow_to_the_final_row_which_rest_confirms() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            candles = await socket.candles_for(200)
        for minute in (MINUTE, MINUTE + 1, MINUTE + 2):
            path = of_minute(candles, minute)
            assert len(path) > 20
            assert path[-1] == await bench.minute(minute)
            for before, after in pairwise(path):
                assert after["o"] == before["o"]
                assert after["n"] > before["n"]
                assert Decimal(after["v"]) > Decimal(before["v"])
                assert Decimal(after["h"]) >= Decimal(before["h"])
                assert Decimal(after["l"]) <= Decimal(before["l"])
        times = [candle["t"] for candle in candles]
        assert times == sorted(times)

    play(scenario)


def test_cadence_is_the_behaviours() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            assert len(of_minute(await socket.candles_for(130), MINUTE + 1)) == 12

    play(scenario, Behaviour(frames_per_minute=12))


def test_a_minute_without_trades_sends_nothing() -> None:
    rows = [MinuteRow(MINUTE + k, 100, 110, 90, 105, 5000, 50) for k in (0, 2)]

    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            candles = await socket.candles_for(200)
        assert {candle["t"] for candle in candles} == {MINUTE * 60_000, (MINUTE + 2) * 60_000}

    play(scenario, Behaviour(silence_seconds=600), TableMarket(rows))


def test_a_subscription_in_a_minute_without_trades_begins_with_nothing() -> None:
    rows = [MinuteRow(MINUTE + k, 100, 110, 90, 105, 5000, 50) for k in (0, 2)]

    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            assert (await socket.next())["data"]["t"] == (MINUTE + 2) * 60_000
            assert bench.clock.now() >= EPOCH + 120

    play(scenario, market=TableMarket(rows), begin=90)


def test_a_longer_interval_adds_up_its_minutes() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed(interval="5m")
            candles = await socket.candles_for(301)
        last = [candle for candle in candles if candle["t"] == BOUNDARY_MS][-1]
        assert last["T"] == BOUNDARY_MS + 299_999
        minutes = await bench.candles(BOUNDARY_MS, BOUNDARY_MS + 299_999)
        assert len(minutes) == 5
        assert Decimal(last["v"]) == sum(Decimal(minute["v"]) for minute in minutes)
        assert last["n"] == sum(minute["n"] for minute in minutes)
        assert (last["o"], last["c"]) == (minutes[0]["o"], minutes[-1]["c"])
        assert await bench.candles(BOUNDARY_MS, BOUNDARY_MS, interval="5m") == [last]

    play(scenario)


def test_a_second_subscription_to_the_same_is_an_error_in_words() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            await socket.next()
            await socket.subscribe()
            words = 'Already subscribed: {"type":"candle","interval":"1m","coin":"BTC"}'
            assert await socket.next() == {"channel": "error", "data": words}

    play(scenario, begin=30)


def test_unsubscribing_ends_the_frames_and_works_once() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            ending = {"method": "unsubscribe", "subscription": subscription("candle", "BTC")}
            await socket.send(ending)
            await socket.send(ending)
            messages = [message for message in await socket.all_for(50) if message["channel"] != "candle"]
            assert messages[0]["data"]["method"] == "unsubscribe"
            words = 'Already unsubscribed: {"type":"candle","interval":"1m","coin":"BTC"}'
            assert messages[1:] == [{"channel": "error", "data": words}]
            assert await socket.all_for(8) == []

    play(scenario, begin=30)


@pytest.mark.parametrize("coin", ["btc", "NOPE", "@142", "0", ""])
def test_an_unknown_coin_kills_the_socket_with_all_its_subscriptions_and_no_word(coin: str) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            asked = bench.clock.now()
            await socket.subscribe(coin=coin)
            assert {message["channel"] for message in await socket.all_until_closed()} <= {"candle"}
            assert socket.connection.close_code == 1006
            assert bench.clock.now() - asked == pytest.approx(0.1, abs=1e-4)
        assert bench.exchange.counters.cuts == {"poison coin": 1}

    play(scenario, begin=30)


def test_a_delisted_coin_is_acknowledged_and_silent() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed(coin="MATIC")
            await socket.subscribed("trades", coin="MATIC")
            assert await socket.all_for(55) == []
        assert await bench.candles(0, BOUNDARY_MS * 2, coin="MATIC") == []

    play(scenario)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "hello",
        "[]",
        '{"method":"dance"}',
        '{"method":"subscribe"}',
        '{"method":"subscribe","subscription":{"type":"candle","coin":["BTC"],"interval":"1m"}}',
        '{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":"6h"}}',
        '{"method":"subscribe","subscription":{"type":"candle","coin":"BTC"}}',
        '{"method":"subscribe","subscription":{"type":"weather","coin":"BTC"}}',
        "[" * 5000,
    ],
)
def test_what_is_no_request_is_echoed_in_an_error_and_the_socket_stays(text: str) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.send(text)
            words = f"Error parsing JSON into valid websocket request: {text}"
            assert await socket.next() == {"channel": "error", "data": words}
            await socket.send({"method": "ping"})
            assert await socket.next() == {"channel": "pong"}

    play(scenario)


def test_a_socket_that_was_sent_nothing_for_a_minute_is_cut_without_a_close_frame() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await socket.next()
            assert closed.value.rcvd is None
            assert bench.clock.now() == pytest.approx(EPOCH + 60, abs=0.01)
        assert bench.exchange.counters.cuts == {"silence": 1}

    play(scenario)


def test_a_pong_counts_against_silence() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await bench.until(50)
            await socket.send({"method": "ping"})
            assert await socket.next() == {"channel": "pong"}
            with pytest.raises(ConnectionClosed):
                await socket.next()
            assert bench.clock.now() == pytest.approx(EPOCH + 110, abs=0.01)

    play(scenario)


@pytest.mark.parametrize(
    ("answer", "answered", "lives"),
    [(PongFrames.IGNORED, False, 60), (PongFrames.ANSWERED, True, 60), (PongFrames.COUNTED, True, 110)],
)
def test_ping_frames_are_answered_as_the_behaviour_says(answer: PongFrames, answered: bool, lives: float) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await bench.until(50)
            pong = await socket.connection.ping()
            await bench.until(51)
            assert pong.done() is answered
            with pytest.raises(ConnectionClosed):
                await socket.next()
            assert bench.clock.now() == pytest.approx(EPOCH + lives, abs=0.01)
            pong.cancel()

    play(scenario, Behaviour(pong_frames=answer))


def test_greeting_is_no_json() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            assert await socket.text() == "Websocket connection established."

    play(scenario, Behaviour(greeting=True))


def test_no_compression_is_agreed() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            assert socket.connection.response is not None
            assert "Sec-WebSocket-Extensions" not in socket.connection.response.headers

    play(scenario)


def test_trades_begin_with_the_newest_thirty_and_come_again_with_every_subscription() -> None:
    async def scenario(bench: Bench) -> None:
        replayed = []
        for _ in range(2):
            async with bench.socket() as socket:
                await socket.subscribed("trades")
                message = await socket.next()
                assert message["channel"] == "trades"
                replayed.append(message["data"])
        first = replayed[0]
        assert len(first) == 30
        assert set(first[0]) == {"coin", "side", "px", "sz", "time", "hash", "tid", "users"}
        assert [trade["time"] for trade in first] == sorted(trade["time"] for trade in first)
        assert first[-1]["time"] <= bench.clock.now() * 1000
        assert replayed[1] == first

    play(scenario, begin=30)


def test_trades_add_up_to_the_candles() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed("trades")
            messages = await socket.all_for(185)
        trades = {(trade["time"], trade["tid"]): trade for message in messages[1:] for trade in message["data"]}
        assert len(trades) == sum(len(message["data"]) for message in messages[1:])
        for minute in (MINUTE, MINUTE + 1, MINUTE + 2):
            candle = await bench.minute(minute)
            assert candle is not None
            within = [trade for (time, _), trade in trades.items() if candle["t"] <= time <= candle["T"]]
            prices = [Decimal(trade["px"]) for trade in within]
            assert len(within) == candle["n"]
            assert sum(Decimal(trade["sz"]) for trade in within) == Decimal(candle["v"])
            assert (prices[0], prices[-1]) == (Decimal(candle["o"]), Decimal(candle["c"]))
            assert (max(prices), min(prices)) == (Decimal(candle["h"]), Decimal(candle["l"]))

    play(scenario)


def test_several_coins_go_over_one_socket() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed(coin="BTC")
            await socket.subscribe(coin="ETH")
            candles = await socket.candles_for(90)
        assert {candle["s"] for candle in candles} == {"BTC", "ETH"}
        assert len({(candle["s"], candle["t"]) for candle in candles}) == 6

    play(scenario)


def test_eleventh_connection_is_refused_until_one_ends() -> None:
    async def scenario(bench: Bench) -> None:
        sockets = [bench.socket() for _ in range(10)]
        for socket in sockets:
            await socket.__aenter__()
        with pytest.raises(Exception, match="did not receive a valid HTTP response"):
            async with bench.socket():
                pass
        for socket in sockets:
            await socket.__aexit__(None, None, None)
        async with bench.socket():
            assert bench.exchange.open_sockets == 1
        assert bench.exchange.counters.dials_refused == 1

    play(scenario)


def test_thirty_dials_a_minute_are_taken() -> None:
    async def scenario(bench: Bench) -> None:
        for _ in range(30):
            async with bench.socket():
                pass
        with pytest.raises(Exception, match="HTTP 429"):
            async with bench.socket():
                pass
        await bench.until(61)
        async with bench.socket():
            pass
        assert len(bench.exchange.counters.dials) == 32
        assert bench.exchange.state()["counters"]["most_dials_in_a_minute"] == 31

    play(scenario, Behaviour(refusal_status=429))


def test_subscriptions_have_a_limit() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed(coin="MATIC")
            await socket.subscribed("trades", coin="MATIC")
            await socket.subscribe(coin="BTC")
            assert await socket.next() == {"channel": "error", "data": "Cannot subscribe to more than 2 channels."}

    play(scenario, Behaviour(max_subscriptions=2))


def test_messages_have_a_limit_a_minute() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            for _ in range(2001):
                await socket.send({"method": "ping"})
            messages = await socket.all_for(1)
            assert messages[:2000] == [{"channel": "pong"}] * 2000
            words = "Cannot send more than 2000 messages per minute."
            assert messages[2000:] == [{"channel": "error", "data": words}]

    play(scenario)


def test_a_client_that_does_not_read_is_cut() -> None:
    async def scenario(bench: Bench) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.exchange.port)
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        head = (
            f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        )
        writer.write(head.encode() + b"Sec-WebSocket-Version: 13\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        junk = b"x" * 60_000
        for _ in range(1000):
            writer.write(b"\x81\xfe" + len(junk).to_bytes(2, "big") + bytes(4) + junk)
            await asyncio.sleep(0)
            if not bench.exchange.open_sockets and bench.exchange.counters.received:
                break
        assert bench.exchange.open_sockets == 0
        writer.transport.abort()

    play(scenario)


def test_the_same_seed_sends_the_same_frames() -> None:
    told: list[list[dict[str, Any]]] = []

    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            told.append(await socket.candles_for(125))

    for seed in (3, 3, 4):
        play(scenario, market=SyntheticMarket(seed=seed))
    assert told[0] == told[1]
    assert told[0] != told[2]
