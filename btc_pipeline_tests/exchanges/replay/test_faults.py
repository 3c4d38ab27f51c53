"""Each fault does what its name says, for as long as it lasts, and nothing afterwards."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay import Fault, FaultKind, MinuteRow, SyntheticMarket, random_faults
from btc_pipeline.exchanges.replay.faults import COMMON_KINDS
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, TableMarket, play

NOW_MS = EPOCH * 1000


def minutes_of(candles: list[dict[str, Any]]) -> list[int]:
    """Open times in minutes after EPOCH."""
    return [candle["t"] // 60_000 - MINUTE for candle in candles]


def last_of(candles: list[dict[str, Any]], minute: int) -> dict[str, Any]:
    return [candle for candle in candles if candle["t"] // 60_000 - MINUTE == minute][-1]


def test_stall_stops_data_while_pongs_and_acknowledgements_go_on() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.STALL, at=EPOCH + 30, seconds=90))
        async with bench.socket() as socket:
            await socket.subscribed()
            before = await socket.candles_for(29)
            assert minutes_of(before)[-1] == 0
            await bench.until(31)
            await socket.all_for(1)
            await socket.send({"method": "ping"})
            await socket.subscribe("trades")
            channels = [message["channel"] for message in await socket.all_for(50)]
            assert channels == ["pong", "subscriptionResponse"]
            await socket.send({"method": "ping"})
            after = await socket.candles_for(60)
            assert minutes_of(after)[0] == 2
        assert bench.exchange.counters.frames_sent["withheld"] > 50

    play(scenario)


def test_lag_delivers_everything_at_its_end() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.LAG, at=EPOCH + 30, seconds=45))
        async with bench.socket() as socket:
            await socket.subscribed()
            await socket.candles_for(30)
            assert await socket.all_for(44) == []
            late = await socket.candles_for(2)
            assert last_of(late, 0) == await bench.minute(MINUTE)
            assert len(late) > 30

    play(scenario)


def test_silent_death_lasts_as_long_as_the_socket() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.SILENT_DEATH, at=EPOCH + 30, seconds=10))
        async with bench.socket() as old, bench.socket() as young:
            await old.subscribed()
            assert await old.candles_for(30)
            await young.subscribed()
            await bench.until(45)
            await old.send({"method": "ping"})
            await young.send({"method": "ping"})
            assert await old.all_for(40) == [{"channel": "pong"}]
            assert await young.all_for(1) == [{"channel": "pong"}]
        async with bench.socket() as fresh:
            await fresh.subscribed()
            assert await fresh.candles_for(10)

    play(scenario)


def test_half_open_neither_answers_nor_ends_until_it_is_over() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            await socket.candles_for(5)
            bench.exchange.inject(Fault(FaultKind.HALF_OPEN, seconds=300))
            await socket.send({"method": "ping"})
            assert await socket.all_for(200) == []
            async with bench.socket() as fresh:
                await fresh.subscribed()
                assert await fresh.candles_for(10)
            with pytest.raises(ConnectionClosed):
                await socket.next()
            assert bench.clock.now() == pytest.approx(EPOCH + 305, abs=0.1)

    play(scenario)


def test_no_pong_leaves_data_alone() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.NO_PONG, seconds=30))
        async with bench.socket() as socket:
            await socket.subscribed()
            await socket.send({"method": "ping"})
            assert {message["channel"] for message in await socket.all_for(20)} == {"candle"}
            await bench.until(31)
            await socket.send({"method": "ping"})
            assert "pong" in {message["channel"] for message in await socket.all_for(5)}

    play(scenario)


def test_reorder_sends_the_last_frame_after_its_successor() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.REORDER, at=EPOCH + 50, seconds=20))
        async with bench.socket() as socket:
            await socket.subscribed()
            candles = await socket.candles_for(130)
        found = minutes_of(candles)
        successor = found.index(1)
        assert found[: successor + 3] == [*[0] * successor, 1, 0, 1]
        assert candles[successor + 1] == await bench.minute(MINUTE)
        assert found[found.index(2) :] == [2] * found.count(2)

    play(scenario, begin=1)


def test_duplicate_sends_twice_and_tells_closed_minutes_again() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.DUPLICATE, at=EPOCH + 50, seconds=20))
        async with bench.socket() as socket:
            await socket.subscribed()
            candles = await socket.candles_for(80)
            final = await bench.minute(MINUTE)
        found = minutes_of(candles)
        boundary = found.index(1)
        assert found[boundary : boundary + 4] == [1, -1, 0, 1]
        assert candles[boundary + 2] == final
        assert candles[boundary] == candles[boundary + 3]
        assert candles[boundary - 1] == candles[boundary - 2] == final

    play(scenario)


def test_lose_last_keeps_the_end_of_a_minute_from_the_stream() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.LOSE_LAST, at=EPOCH + 50, seconds=20))
        async with bench.socket() as socket:
            await socket.subscribed()
            candles = await socket.candles_for(130)
        final = await bench.minute(MINUTE)
        assert final is not None
        assert last_of(candles, 0)["n"] < final["n"]
        assert last_of(candles, 1) == await bench.minute(MINUTE + 1)

    play(scenario)


def test_wrong_row_breaks_the_last_frame_only() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.WRONG_ROW, at=EPOCH + 50, seconds=20))
        async with bench.socket() as socket:
            await socket.subscribed()
            candles = await socket.candles_for(65)
        broken = [candle for candle in candles if float(candle["h"]) < max(float(candle["o"]), float(candle["c"]))]
        assert broken == [last_of(candles, 0)]
        final = await bench.minute(MINUTE)
        assert final is not None
        assert broken[0] | {"h": final["h"]} == final

    play(scenario)


def test_garbage_comes_between_frames_that_are_all_there() -> None:
    texts: dict[bool, list[str]] = {}

    def scenario_of(with_garbage: bool) -> Any:
        async def scenario(bench: Bench) -> None:
            if with_garbage:
                bench.exchange.inject(Fault(FaultKind.GARBAGE, seconds=200))
            texts[with_garbage] = []
            async with bench.socket() as socket:
                await socket.subscribed()
                try:
                    async with asyncio.timeout(170):
                        while True:
                            texts[with_garbage].append(await socket.text())
                except TimeoutError:
                    pass

        return scenario

    for with_garbage in (False, True):
        play(scenario_of(with_garbage))
    clean = set(texts[False])
    assert [text for text in texts[True] if text in clean] == texts[False]
    garbage = [text for text in texts[True] if text not in clean]
    assert len(set(garbage)) > 25
    assert any(not _is_json(text) for text in garbage)
    assert any('"-1.0"' in text for text in garbage)
    lists = [json.loads(text) for text in garbage if '"data":[{' in text]
    assert lists
    assert all(len(message["data"]) == 1 and message["data"][0]["s"] == "BTC" for message in lists)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def test_disconnect_cuts_all_sockets_and_new_ones_while_rest_answers() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.DISCONNECT, at=EPOCH + 55, seconds=10))
        async with bench.socket() as socket:
            await socket.subscribed()
            assert await socket.all_until_closed()
            assert socket.connection.close_code == 1006
            assert bench.clock.now() == pytest.approx(EPOCH + 55, abs=0.01)
        with pytest.raises(InvalidMessage):
            async with bench.socket():
                pass
        assert await bench.minute(MINUTE) is not None
        await bench.until(66)
        async with bench.socket() as socket:
            await socket.subscribed()
            assert minutes_of(await socket.candles_for(3))[0] == 1

    play(scenario)


def test_disconnect_may_be_polite() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            bench.exchange.inject(Fault(FaultKind.DISCONNECT, seconds=0, value=1001))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.next()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        async with bench.socket():
            assert bench.exchange.open_sockets == 1

    play(scenario)


def test_refuse_cuts_dials_and_requests_and_lets_sockets_be() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            bench.exchange.inject(Fault(FaultKind.REFUSE, seconds=20))
            with pytest.raises(InvalidMessage):
                async with bench.socket():
                    pass
            with pytest.raises(httpx.TransportError):
                await bench.info({"type": "exchangeStatus"})
            assert await socket.candles_for(10)
            assert (await bench.http.get("/replay/state")).status_code == 200
            await bench.until(21)
            assert (await bench.info({"type": "exchangeStatus"})).status_code == 200
        assert [request.status for request in bench.exchange.counters.requests] == [0, 200]

    play(scenario)


def test_skew_moves_the_exchanges_clock_and_never_sets_it_back() -> None:
    async def scenario(bench: Bench) -> None:
        async def skew() -> float:
            time: float = (await bench.info({"type": "exchangeStatus"})).json()["time"]
            return round(time / 1000 - bench.clock.now(), 2)

        bench.exchange.inject(Fault(FaultKind.SKEW, at=EPOCH + 30, seconds=60, value=7))
        async with bench.socket() as socket:
            await socket.subscribed()
            await bench.until(40)
            assert await skew() == 7
            await bench.until(54)
            forming = (await bench.candles(NOW_MS, NOW_MS * 2))[-1]
            assert minutes_of([forming]) == [1]
            await bench.until(92)
            assert await skew() == 5
            await bench.until(98)
            assert await skew() == 0
            candles = await socket.candles_for(30)
        assert minutes_of(candles) == sorted(minutes_of(candles))
        assert last_of(candles, 0) == await bench.minute(MINUTE)
        paths = [(candle["t"], candle["n"]) for candle in candles]
        assert paths == sorted(paths)

    play(scenario)


def test_a_clock_that_falls_behind_waits_and_catches_up_with_nothing_lost() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.SKEW, at=EPOCH + 55, seconds=40, value=-10))
        async with bench.socket() as socket:
            await socket.subscribed()
            candles = await socket.candles_for(61)
            assert set(minutes_of(candles)) == {0}
            assert (await bench.info({"type": "exchangeStatus"})).json()["time"] == NOW_MS + 55_000
            candles += await socket.candles_for(80)
        assert (await bench.info({"type": "exchangeStatus"})).json()["time"] == NOW_MS + 142_000
        assert minutes_of(candles) == sorted(minutes_of(candles))
        assert len({(candle["t"], candle["n"]) for candle in candles}) == len(candles)
        for minute in (0, 1):
            final = await bench.minute(MINUTE + minute)
            assert last_of(candles, minute) == final
            assert minutes_of(candles).count(minute) >= (58 if minute else 55)

    play(scenario, market=busy_market(), begin=1)


def busy_market() -> TableMarket:
    """Three minutes with a frame a second."""
    return TableMarket([MinuteRow(MINUTE + k, 8000, 9000, 7000, 8500, 90_000, 500) for k in range(-1, 3)])


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        (FaultKind.BAD_GATEWAY, 502, "<html>"),
        (FaultKind.SERVER_ERROR, 500, "null"),
        (FaultKind.RATE_LIMIT, 429, "null"),
    ],
)
def test_rest_is_answered_with_an_error_while_it_lasts(kind: FaultKind, status: int, text: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(kind, seconds=30))
        response = await bench.info({"type": "meta"})
        assert (response.status_code, response.text[: len(text)]) == (status, text)
        await bench.until(31)
        assert (await bench.info({"type": "meta"})).status_code == 200

    play(scenario)


def test_bad_gateway_answers_dials_too() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.BAD_GATEWAY, seconds=30))
        with pytest.raises(InvalidStatus) as refused:
            async with bench.socket():
                pass
        assert refused.value.response.status_code == 502

    play(scenario)


def test_slow_rest_answers_late() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.SLOW_REST, seconds=5, value=12))
        assert (await bench.info({"type": "meta"})).status_code == 200
        assert bench.clock.now() == pytest.approx(EPOCH + 12, abs=0.01)
        assert (await bench.info({"type": "meta"})).status_code == 200
        assert bench.clock.now() == pytest.approx(EPOCH + 12, abs=0.01)

    play(scenario)


def test_a_request_that_nobody_waits_for_is_charged() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.SLOW_REST, seconds=5, value=12))
        with pytest.raises(httpx.ReadTimeout):
            await bench.http.post("/info", json={"type": "meta"}, timeout=1)
        assert bench.exchange.counters.weight_used == 20

    play(scenario)


def test_cut_rest_ends_in_the_middle() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.CUT_REST, seconds=5))
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            await bench.info({"type": "meta"})

    play(scenario)


def test_stale_rest_shows_what_was_known_before() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.STALE_REST, at=EPOCH + 60, seconds=40, value=8))
        await bench.until(52)
        forming = await bench.minute(MINUTE)
        await bench.until(60)
        assert await bench.minute(MINUTE) == forming
        await bench.until(68)
        final = await bench.minute(MINUTE)
        assert final != forming
        await bench.until(101)
        assert await bench.minute(MINUTE) == final

    play(scenario)


def test_late_revision_corrects_a_closed_minute_afterwards() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.LATE_REVISION, at=EPOCH + 50, seconds=20, value=30))
        async with bench.socket() as socket:
            await socket.subscribed()
            streamed = last_of(await socket.candles_for(65), 0)
        early = await bench.minute(MINUTE)
        await bench.until(89.5)
        assert await bench.minute(MINUTE) == early
        await bench.until(90)
        final = await bench.minute(MINUTE)
        assert early is not None
        assert final is not None
        assert early["n"] < final["n"]
        assert streamed == final
        await bench.until(121)
        following = await bench.minute(MINUTE + 1)
        await bench.until(200)
        assert await bench.minute(MINUTE + 1) == following

    play(scenario)


def test_late_revision_with_lose_last_is_a_minute_that_was_agreed_on_and_changes() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.LATE_REVISION, at=EPOCH + 50, seconds=20, value=30))
        bench.exchange.inject(Fault(FaultKind.LOSE_LAST, at=EPOCH + 50, seconds=20))
        async with bench.socket() as socket:
            await socket.subscribed()
            assert last_of(await socket.candles_for(65), 0) == await bench.minute(MINUTE)

    play(scenario)


def test_wrong_rest_row_is_the_newest_closed_one() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.WRONG_REST_ROW, seconds=20))
        rows = await bench.candles(NOW_MS - 600_000, NOW_MS - 1)
        wrong = [float(row["h"]) < max(float(row["o"]), float(row["c"])) for row in rows]
        assert wrong == [False] * 9 + [True]
        await bench.until(21)
        rows = await bench.candles(NOW_MS - 600_000, NOW_MS - 1)
        assert all(float(row["h"]) >= max(float(row["o"]), float(row["c"])) for row in rows)

    play(scenario)


def test_stop_and_start_is_an_outage_on_the_same_port() -> None:
    async def scenario(bench: Bench) -> None:
        port = bench.exchange.port
        async with bench.socket() as socket:
            await socket.subscribed()
            await bench.exchange.stop()
            await socket.all_until_closed()
        with pytest.raises(ConnectionRefusedError):
            async with bench.socket():
                pass
        await bench.until(100)
        await bench.exchange.start()
        assert bench.exchange.port == port
        async with bench.socket() as socket:
            await socket.subscribed()
            assert minutes_of(await socket.candles_for(10))[0] == 1

    play(scenario)


def test_random_faults_are_a_function_of_the_seed_and_of_every_kind() -> None:
    faults = random_faults(5, EPOCH, EPOCH + 10_800, 3 * len(COMMON_KINDS))
    assert faults == random_faults(5, EPOCH, EPOCH + 10_800, 3 * len(COMMON_KINDS))
    assert faults != random_faults(6, EPOCH, EPOCH + 10_800, 3 * len(COMMON_KINDS))
    assert sorted(fault.kind for fault in faults) == sorted([*COMMON_KINDS] * 3)
    times = [fault.at for fault in faults if fault.at is not None]
    assert len(times) == len(faults)
    assert times == sorted(times)
    assert times[0] >= EPOCH
    assert times[-1] < EPOCH + 10_800


def test_all_kinds_at_once_leave_an_exchange_that_works() -> None:
    async def scenario(bench: Bench) -> None:
        for fault in random_faults(11, EPOCH, EPOCH + 1200, 2 * len(COMMON_KINDS)):
            bench.exchange.inject(fault)
        while bench.clock.now() < EPOCH + 1900:
            try:
                async with bench.socket() as socket:
                    await socket.subscribe()
                    async with asyncio.timeout(45):
                        while True:
                            await socket.text()
            except (OSError, TimeoutError, ConnectionClosed, InvalidMessage, InvalidStatus):
                await bench.clock.sleep(3)
        async with bench.socket() as socket:
            await socket.subscribed()
            candles = await socket.candles_for(130)
        complete = MINUTE + max(minutes_of(candles)) - 1
        assert last_of(candles, complete - MINUTE) == await bench.minute(complete)

    play(scenario, market=SyntheticMarket(seed=2))


async def control(bench: Bench, body: Any) -> httpx.Response:
    return await bench.http.post("/replay/faults", json=body)


def test_faults_can_be_asked_for_and_ended_over_http() -> None:
    async def scenario(bench: Bench) -> None:
        response = await control(bench, {"kind": "rate_limit", "seconds": 90})
        assert response.status_code == 200
        assert response.json()["kind"] == "rate_limit"
        assert response.json()["at"] == pytest.approx(EPOCH, abs=0.1)
        assert (await bench.info({"type": "meta"})).status_code == 429
        state = (await bench.http.get("/replay/state")).json()
        assert state["replay"] is True
        assert [fault["kind"] for fault in state["faults"]] == ["rate_limit"]
        assert state["counters"]["rate_limited"] == 1
        assert (await bench.http.delete("/replay/faults")).status_code == 200
        assert (await bench.info({"type": "meta"})).status_code == 200

    play(scenario)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "stal"}, "kind 'stal' is none of stall, lag"),
        ({}, "kind None is none of stall"),
        ([], "a fault is an object such as"),
        ({"kind": "stall", "second": 3}, "a fault is an object such as"),
        ({"kind": "stall", "seconds": -1}, "seconds -1 is negative."),
        ({"kind": "stall", "seconds": "9"}, "seconds '9' is not a number of seconds."),
        ({"kind": "stall", "at": True}, "at True is not a number of seconds."),
        ({"kind": "stall", "venue": "NYSE"}, "venue 'NYSE' is none of HYPERLIQUID, BYBIT, BINANCE, BINANCE_UM."),
    ],
)
def test_a_fault_that_is_none_is_refused_in_words(body: Any, words: str) -> None:
    async def scenario(bench: Bench) -> None:
        response = await control(bench, body)
        assert response.status_code == 422
        assert response.json()["error"].startswith(words)
        assert bench.exchange.state()["faults"] == []

    play(scenario)
    with pytest.raises(UserError):
        Fault.parse(body)
