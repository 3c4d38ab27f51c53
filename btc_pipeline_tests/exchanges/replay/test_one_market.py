"""All venues trade one market: whoever listens to several hears the same, save what a venue does not tell."""

from __future__ import annotations

import asyncio
import csv
import io
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, MinuteRow, SyntheticMarket
from btc_pipeline.exchanges.replay.paths import NO_FLOW
from btc_pipeline.exchanges.replay.tape import Tape
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, TableMarket, play
from btc_pipeline_tests.exchanges.replay.test_paths import rows

COUNT = 30
START_MS, END_MS = (MINUTE - COUNT) * 60_000, MINUTE * 60_000 - 1
KLINES = {"BINANCE": "/api/v3/klines", "BINANCE_UM": "/fapi/v1/klines"}


def test_rest_of_every_venue_tells_the_same_minutes() -> None:
    async def scenario(bench: Bench) -> None:
        hyperliquid = [
            (one["t"], *(Decimal(one[name]) for name in "ohlcv"), one["n"])
            for one in await bench.candles(START_MS, END_MS)
        ]
        asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START_MS, "endTime": END_MS}
        told = {venue: (await bench.get(venue, path, **asked)).json() for venue, path in KLINES.items()}
        answer = (await bench.get("BYBIT", "/v5/market/kline", category="linear", symbol="BTCUSDT", interval="1",
                                  start=START_MS, end=END_MS)).json()  # fmt: skip
        assert len(hyperliquid) == COUNT
        for found in told.values():
            assert [(row[0], *map(Decimal, row[1:6]), row[8]) for row in found] == hyperliquid
        assert [list(map(Decimal, row[7:11])) for row in told["BINANCE"]] == [
            list(map(Decimal, row[7:11])) for row in told["BINANCE_UM"]
        ]
        bybit = [(int(row[0]), *map(Decimal, row[1:7])) for row in reversed(answer["result"]["list"])]
        assert bybit == [(*row[:6], Decimal(kline[7])) for row, kline in zip(hyperliquid, told["BINANCE"], strict=True)]

    play(scenario, Behaviour(empty_minute=EmptyMinute.FLAT), SyntheticMarket(seed=7, empty_share=0.2), begin=0.5)


def test_a_file_of_the_archive_tells_what_rest_tells() -> None:
    async def scenario(bench: Bench) -> None:
        for venue, folder, units in (("BINANCE", "spot", 1000), ("BINANCE_UM", "futures/um", 1)):
            answer = await bench.file(f"{folder}/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-09-22.zip", venue)
            lines = [row for row in csv.reader(io.StringIO(_text(answer.content))) if row[0].isdigit()]
            assert len(lines) == 1440
            asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": int(lines[0][0]) // units, "limit": 1000}
            rows = (await bench.get(venue, KLINES[venue], **asked)).json()
            assert len(rows) == 1000
            for row, line in zip(rows, lines, strict=False):
                assert line[1:6] + line[7:] == [*row[1:6], row[7], str(row[8]), *row[9:]]
                assert int(line[0]) == row[0] * units
                assert int(line[6]) == (row[6] + 1) * units - 1

    play(scenario)


def _text(content: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        return archive.read(name).decode()


def test_trades_of_two_venues_add_up_to_every_state_that_a_third_one_tells() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as one, bench.socket("BYBIT") as two, bench.socket("BINANCE") as three:
            await one.subscribed("trades")
            await two.answer({"op": "subscribe", "args": ["publicTrade.BTCUSDT", "kline.1.BTCUSDT"]})
            await three.answer({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 1})
            heard = await asyncio.gather(*(socket.all_for(170) for socket in (one, two, three)))
        hyperliquid = {
            (trade["time"], trade["tid"]): (Decimal(trade["px"]), Decimal(trade["sz"]), trade["side"] == "B")
            for message in heard[0]
            for trade in message["data"]
        }
        bybit = [
            (trade["T"], trade["i"], Decimal(trade["p"]), Decimal(trade["v"]), trade["S"] == "Buy")
            for message in heard[1]
            if "publicTrade" in message.get("topic", "")
            for trade in message["data"]
        ]
        assert len({(time, name) for time, name, *_ in bybit}) == len(bybit)
        checked = 0
        for frame in (message["k"] for message in heard[2]):
            for trades in (
                [(time, *rest) for (time, _), rest in hyperliquid.items() if time // 60_000 * 60_000 == frame["t"]],
                [(time, *rest) for time, _, *rest in bybit if time // 60_000 * 60_000 == frame["t"]],
            ):
                told = trades[: frame["n"]]
                if frame["t"] == EPOCH * 1000:
                    continue  # it had begun before
                checked += 1
                assert len(told) == frame["n"]
                assert sum(size for _, _, size, _ in told) == Decimal(frame["v"])
                assert sum(price * size for _, price, size, _ in told) == Decimal(frame["q"])
                assert sum(size for _, _, size, buys in told if buys) == Decimal(frame["V"])
                assert sum(price * size for _, price, size, buys in told if buys) == Decimal(frame["Q"])
                if frame["x"]:
                    assert len(trades) == frame["n"]
        assert checked > 60
        _same_turnover(heard[1], heard[2])

    play(scenario, Behaviour(client_silence_seconds=600), begin=30)


def _same_turnover(bybit: Sequence[Any], binance: Sequence[Any]) -> None:
    closed = {message["k"]["t"]: message["k"] for message in binance if message["k"]["x"]}
    confirmed = [one for message in bybit for one in message["data"] if one.get("confirm")]
    assert len(confirmed) == len(closed) == 3
    for one in confirmed:
        kline = closed[one["start"]]
        for mine, other in zip(("open", "high", "low", "close", "volume", "turnover"), "ohlcvq", strict=True):
            assert Decimal(one[mine]) == Decimal(kline[other])


def test_a_flat_row_of_the_market_is_told_as_it_is_on_every_road() -> None:
    traded = MinuteRow(MINUTE, 841430, 841430, 841430, 841430, 36, 1)
    quiet = MinuteRow(MINUTE + 1, 841500, 841500, 841500, 841500, 0, 0)

    async def scenario(bench: Bench) -> None:
        async with bench.socket("BINANCE", "/btcusdt@kline_1m") as one, bench.socket("BYBIT") as two:
            await two.answer({"op": "subscribe", "args": ["kline.1.BTCUSDT"]})
            spot, bybit = await asyncio.gather(one.all_for(130), two.all_for(130))
        told = [Decimal(message["k"]["c"]) for message in spot if message["k"]["t"] == quiet.minute * 60_000]
        told += [
            Decimal(each["close"])
            for message in bybit
            for each in message["data"]
            if each["start"] == quiet.minute * 60_000
        ]
        rest = await bench.minute(quiet.minute)
        assert rest is not None
        told.append(Decimal(rest["c"]))
        asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": quiet.minute * 60_000, "limit": 1}
        told.append(Decimal((await bench.get("BINANCE", KLINES["BINANCE"], **asked)).json()[0][4]))
        assert told == [Decimal(84150)] * 6

    behaviour = Behaviour(empty_minute=EmptyMinute.FLAT, client_silence_seconds=600)
    play(scenario, behaviour, TableMarket([traded, quiet]), begin=1)


@given(row=rows().filter(lambda row: row.trades > 0), frames=st.integers(1, 200))
def test_a_flow_is_the_sum_over_the_trades_up_to_every_state(row: MinuteRow, frames: int) -> None:
    tape = Tape(TableMarket([row]), frames)
    quote = buy = buy_quote = 0
    for index, step in enumerate(tape.steps("BTC", row.minute)):
        for trade in tape.trades_of("BTC", row.minute, index):
            quote += trade.price * trade.size
            buy += trade.size * trade.is_buy
            buy_quote += trade.price * trade.size * trade.is_buy
        assert tape.flow("BTC", step.row) == (quote, buy, buy_quote)


def test_a_minute_without_trades_has_no_flow() -> None:
    assert Tape(TableMarket([]), 60).flow("BTC", MinuteRow(1, 5, 5, 5, 5, 0, 0)) == NO_FLOW


def test_both_sides_trade_in_most_minutes() -> None:
    market = SyntheticMarket(seed=1)
    tape = Tape(market, 12)
    found = [
        (row.volume, tape.flow("BTC", row).buy) for row in (market.minute("BTC", MINUTE + k) for k in range(200)) if row
    ]
    assert sum(0 < buy < volume for volume, buy in found) > 195
    assert 0.4 < sum(buy for _, buy in found) / sum(volume for volume, _ in found) < 0.6
