"""Faults on the other wires: what Hyperliquid's do there, and that one venue's leave the others alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from btc_pipeline.exchanges.replay import Behaviour, Fault, FaultKind, SyntheticMarket, random_faults
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, RawSocket, play

PATIENT = Behaviour(client_silence_seconds=1e6, max_messages_per_minute=10**6)


class Told(NamedTuple):
    """A candle of a stream: minute after EPOCH, whether it is closed, its high, close and volume as texts."""

    minute: int
    closed: bool
    high: str
    close: str
    volume: str


def of_binance(message: Any) -> Told | None:
    if message.get("e") != "kline":
        return None
    kline = message["k"]
    return Told(kline["t"] // 60_000 - MINUTE, kline["x"], kline["h"], kline["c"], kline["v"])


def of_bybit(message: Any) -> Told | None:
    if not str(message.get("topic", "")).startswith("kline"):
        return None
    (one,) = message["data"]
    return Told(one["start"] // 60_000 - MINUTE, one["confirm"], one["high"], one["close"], one["volume"])


class Wire(NamedTuple):
    """How a venue is subscribed to, and read."""

    venue: str
    request: dict[str, Any]
    read: Callable[[Any], Told | None]


WIRES = (
    Wire("BINANCE", {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 1}, of_binance),
    Wire("BINANCE_UM", {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 1}, of_binance),
    Wire("BYBIT", {"op": "subscribe", "args": ["kline.1.BTCUSDT"]}, of_bybit),
)
each_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.venue)


async def listen(bench: Bench, wire: Wire, seconds: float) -> list[Told]:
    """The candles that a new socket is told within so many seconds."""
    async with bench.socket(wire.venue) as socket:
        await socket.answer(wire.request)
        return await candles(socket, wire, seconds)


async def candles(socket: RawSocket, wire: Wire, seconds: float) -> list[Told]:
    found = [wire.read(message) for message in await socket.all_for(seconds)]
    return [one for one in found if one is not None]


def closed(told: list[Told]) -> list[int]:
    return [one.minute for one in told if one.closed]


@each_wire
def test_stall_withholds_data_and_lag_sends_it_later(wire: Wire) -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.STALL, at=EPOCH + 50, seconds=20))
        bench.exchange.inject(Fault(FaultKind.LAG, at=EPOCH + 110, seconds=40))
        told = await listen(bench, wire, 200)
        assert closed(told) == [1, 2]
        assert told == sorted(told, key=lambda one: (one.minute, one.closed))

    play(scenario, PATIENT, begin=1)


@each_wire
def test_silent_death_lasts_as_long_as_the_socket(wire: Wire) -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.SILENT_DEATH, at=EPOCH + 20, seconds=10))
        told = await listen(bench, wire, 150)
        assert not closed(told)
        assert told
        assert await listen(bench, wire, 10)

    play(scenario, PATIENT, begin=1)


@each_wire
def test_lose_last_loses_the_closed_one(wire: Wire) -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.LOSE_LAST, at=EPOCH + 50, seconds=20))
        assert closed(await listen(bench, wire, 190)) == [1, 2]

    play(scenario, PATIENT, begin=1)


@each_wire
def test_reorder_tells_the_closed_one_after_the_first_of_the_next(wire: Wire) -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.REORDER, at=EPOCH + 50, seconds=20))
        told = await listen(bench, wire, 125)
        at = next(k for k, one in enumerate(told) if one.minute == 1)
        assert [(one.minute, one.closed) for one in told[at - 1 : at + 3]] == [
            (0, False), (1, False), (0, True), (1, False),
        ]  # fmt: skip
        assert closed(told) == [0, 1]

    play(scenario, PATIENT, begin=1)


@each_wire
def test_duplicate_tells_closed_ones_again(wire: Wire) -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.DUPLICATE, at=EPOCH + 50, seconds=20))
        told = await listen(bench, wire, 130)
        assert closed(told) == [0, 0, -1, 0, 1]
        assert len({one for one in told if one.minute == 0 and one.closed}) == 1

    play(scenario, PATIENT, begin=1)


@each_wire
def test_wrong_row_breaks_the_closed_one(wire: Wire) -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.WRONG_ROW, at=EPOCH + 50, seconds=20))
        told = await listen(bench, wire, 130)
        broken = [one for one in told if float(one.high) < float(one.close)]
        assert [(one.minute, one.closed) for one in broken] in ([], [(0, True)])
        last = [one for one in told if one.minute == 0]
        assert float(last[-1].high) < float(last[-2].high)

    play(scenario, PATIENT, begin=1)


@each_wire
def test_garbage_comes_between_frames_that_are_all_there(wire: Wire) -> None:
    heard: dict[bool, list[str]] = {}

    def scenario_of(with_garbage: bool) -> Any:
        async def scenario(bench: Bench) -> None:
            if with_garbage:
                bench.exchange.inject(Fault(FaultKind.GARBAGE, seconds=600))
            texts = heard[with_garbage] = []
            async with bench.socket(wire.venue) as socket:
                await socket.send(wire.request)
                while bench.clock.now() < EPOCH + 300:
                    texts.append(await socket.text())

        return scenario

    for with_garbage in (False, True):
        play(scenario_of(with_garbage), PATIENT, begin=1)
    clean = set(heard[False])
    true = [text for text in heard[True] if text in clean]
    assert true == heard[False][: len(true)]
    assert len(heard[False]) - len(true) < 3
    garbage = {text for text in heard[True] if text not in clean}
    assert len(garbage) > 20
    assert any(not _is_json(text) for text in garbage)
    assert any('"-1.0"' in text for text in garbage)
    assert any("NOPE" in text for text in garbage)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@each_wire
def test_sockets_are_cut_refused_and_frozen(wire: Wire) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket(wire.venue) as socket:
            await socket.answer(wire.request)
            await socket.all_for(1)
            bench.exchange.inject(Fault(FaultKind.HALF_OPEN, seconds=30))
            assert await socket.all_for(29) == []
            await socket.all_until_closed()
        async with bench.socket(wire.venue) as socket:
            await socket.answer(wire.request)
            bench.exchange.inject(Fault(FaultKind.DISCONNECT, seconds=10))
            await socket.all_until_closed()
        with pytest.raises(InvalidMessage):
            await listen(bench, wire, 1)
        bench.exchange.clear_faults()
        bench.exchange.inject(Fault(FaultKind.BAD_GATEWAY, seconds=10))
        with pytest.raises(InvalidStatus):
            await listen(bench, wire, 1)
        bench.exchange.clear_faults()
        assert await listen(bench, wire, 5)
        assert bench.exchange.counters_of(wire.venue).dials_refused == 2

    play(scenario, PATIENT, begin=1)


TIMES = {"BINANCE": "/api/v3/time", "BINANCE_UM": "/fapi/v1/time", "BYBIT": "/v5/market/time"}


def test_a_fault_of_one_venue_leaves_the_others_alone() -> None:
    async def scenario(bench: Bench) -> None:
        async def statuses() -> dict[str, int]:
            found = {venue: (await bench.get(venue, path)).status_code for venue, path in TIMES.items()}
            return found | {"HYPERLIQUID": (await bench.info({"type": "meta"})).status_code}

        for venue in (*TIMES, "HYPERLIQUID"):
            body = {"kind": "bad_gateway", "seconds": 60, "venue": venue}
            answer = await bench.http.post("/replay/faults", json=body)
            assert answer.json()["venue"] == venue
            assert [name for name, status in (await statuses()).items() if status == 502] == [venue]
            await bench.http.delete("/replay/faults")
        assert set((await statuses()).values()) == {200}
        await bench.http.post("/replay/faults", json={"kind": "bad_gateway"})
        assert set((await statuses()).values()) == {502}

    play(scenario)


def test_the_clock_of_one_venue_may_be_ahead() -> None:
    async def scenario(bench: Bench) -> None:
        bench.exchange.inject(Fault(FaultKind.SKEW, seconds=60, value=7, venue="BINANCE"))
        ahead = (await bench.get("BINANCE", "/api/v3/time")).json()["serverTime"]
        other = (await bench.get("BINANCE_UM", "/fapi/v1/time")).json()["serverTime"]
        assert ahead - other == 7000

    play(scenario)


def test_a_socket_of_one_venue_is_cut_alone() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as one, bench.socket("BYBIT") as two:
            await one.subscribed()
            bench.exchange.inject(Fault(FaultKind.DISCONNECT, seconds=5, venue="BYBIT"))
            await two.all_until_closed()
            assert await one.candles_for(10)

    play(scenario, begin=1)


def test_state_shows_counters_by_venue() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.get("BYBIT", "/v5/market/time")
        await bench.get("BYBIT", "/v5/market/time")
        await bench.get("BINANCE", "/api/v3/exchangeInfo")
        state = (await bench.http.get("/replay/state")).json()
        assert set(state["venues"]) == {"HYPERLIQUID", "BYBIT", "BINANCE", "BINANCE_UM"}
        assert state["venues"]["BYBIT"]["requests"] == {"time": 2}
        assert state["venues"]["BINANCE"]["weight_used"] == 20
        assert state["venues"]["HYPERLIQUID"] == state["counters"]
        with pytest.raises(KeyError):
            bench.exchange.counters_of("NYSE")

    play(scenario)


@each_wire
def test_all_kinds_at_once_leave_an_exchange_that_works(wire: Wire) -> None:
    async def scenario(bench: Bench) -> None:
        for fault in random_faults(11, EPOCH, EPOCH + 1200, 2 * len(FaultKind), tuple(FaultKind)):
            bench.exchange.inject(fault)
        while bench.clock.now() < EPOCH + 1900:
            with suppress(OSError, ConnectionClosed, InvalidMessage, InvalidStatus):
                await listen(bench, wire, 45)
            await bench.clock.sleep(3)
        told = await listen(bench, wire, 130)
        assert len(closed(told)) >= 2
        assert closed(told) == sorted(set(closed(told)))

    play(scenario, PATIENT, SyntheticMarket(seed=2))
