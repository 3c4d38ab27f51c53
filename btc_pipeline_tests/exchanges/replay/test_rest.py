"""REST: rows of a range, retention, the forming row, weights, and the ways to refuse."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, MinuteRow
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, TableMarket, play, snapshot

NOW_MS = EPOCH * 1000
ROW = MinuteRow(MINUTE - 3, 1000, 1100, 900, 1050, 5000, 50)


def opens(candles: list[dict[str, Any]]) -> list[int]:
    """Open times in minutes after EPOCH."""
    return [candle["t"] // 60_000 - MINUTE for candle in candles]


def test_rows_overlap_the_range_whose_end_is_inclusive() -> None:
    async def scenario(bench: Bench) -> None:
        start, end = NOW_MS - 600_000, NOW_MS - 300_000
        assert opens(await bench.candles(start, end)) == [-10, -9, -8, -7, -6, -5]
        assert opens(await bench.candles(start, end - 1)) == [-10, -9, -8, -7, -6]
        assert opens(await bench.candles(start + 59_999, end - 1)) == [-10, -9, -8, -7, -6]
        assert opens(await bench.candles(start + 60_000, end - 1)) == [-9, -8, -7, -6]
        assert await bench.candles(end, start) == []
        assert await bench.candles(NOW_MS + 10**9, NOW_MS + 2 * 10**9) == []

    play(scenario)


def test_the_forming_row_is_the_last_one_and_grows() -> None:
    async def scenario(bench: Bench) -> None:
        early = (await bench.candles(NOW_MS - 60_000, NOW_MS + 10**7))[-1]
        await bench.until(50)
        late = (await bench.candles(NOW_MS - 60_000, NOW_MS + 10**7))[-1]
        await bench.until(60)
        final = await bench.minute(MINUTE)
        assert final is not None
        assert early["t"] == late["t"] == final["t"] == NOW_MS
        assert early["n"] < late["n"] < final["n"]
        assert early["o"] == final["o"]
        # Before its end, REST does not tell it to those who ask for less.
        assert opens(await bench.candles(NOW_MS - 60_000, NOW_MS - 1)) == [-1]

    play(scenario, begin=30)


def test_only_the_newest_five_thousand_minutes_exist() -> None:
    async def scenario(bench: Bench) -> None:
        rows = await bench.candles(0, NOW_MS * 2)
        assert len(rows) == 5000
        assert opens(rows) == list(range(-4999, 1))
        assert await bench.candles(0, NOW_MS - 5000 * 60_000) == []
        assert opens(await bench.candles(0, NOW_MS - 4999 * 60_000)) == [-4999]
        assert bench.exchange.counters.weight_used == 103 + 20 + 20

    play(scenario, begin=30)


def test_retention_moves_with_the_time() -> None:
    async def scenario(bench: Bench) -> None:
        assert opens(await bench.candles(0, NOW_MS - 60_000)) == [-2, -1]
        await bench.until(61)
        assert opens(await bench.candles(0, NOW_MS)) == [-1, 0]

    play(scenario, Behaviour(retention=3), begin=1)


@pytest.mark.parametrize(
    ("interval", "first", "length"),
    [
        ("3m", NOW_MS // 180_000 * 180_000, 180_000),
        ("1h", NOW_MS // 3_600_000 * 3_600_000, 3_600_000),
        ("1d", NOW_MS // 86_400_000 * 86_400_000, 86_400_000),
        # Weeks of this exchange begin on Thursday: 2026-09-24 is one.
        ("1w", int(datetime(2026, 9, 24, tzinfo=UTC).timestamp()) * 1000, 7 * 86_400_000),
        ("1M", int(datetime(2026, 9, 1, tzinfo=UTC).timestamp()) * 1000, 30 * 86_400_000),
    ],
)
def test_longer_bars_begin_where_the_exchange_begins_them(interval: str, first: int, length: int) -> None:
    async def scenario(bench: Bench) -> None:
        bars = await bench.candles(first, NOW_MS, interval=interval)
        assert (bars[0]["t"], bars[0]["T"], bars[0]["i"]) == (first, first + length - 1, interval)

    play(scenario, Behaviour(empty_minute=EmptyMinute.OMIT), TableMarket([ROW._replace(minute=first // 60_000)]))


def test_longer_bars_add_up_their_minutes() -> None:
    async def scenario(bench: Bench) -> None:
        start = NOW_MS - 3_600_000
        bars = await bench.candles(start, NOW_MS - 1, interval="15m")
        assert len(bars) == 5
        first = bars[1]
        minutes = await bench.candles(first["t"], first["T"])
        assert len(minutes) == 15
        assert Decimal(first["v"]) == sum(Decimal(minute["v"]) for minute in minutes)
        assert Decimal(first["h"]) == max(Decimal(minute["h"]) for minute in minutes)
        assert Decimal(first["l"]) == min(Decimal(minute["l"]) for minute in minutes)
        assert (first["o"], first["c"]) == (minutes[0]["o"], minutes[-1]["c"])
        assert first["n"] == sum(minute["n"] for minute in minutes)

    play(scenario, begin=600)


def test_too_many_minutes_of_longer_bars_are_refused_in_words() -> None:
    async def scenario(bench: Bench) -> None:
        response = await bench.info(snapshot(0, NOW_MS, interval="1d"))
        assert response.status_code == 422
        assert "at most 100000 in one request" in response.text

    play(scenario)


@pytest.mark.parametrize("policy", list(EmptyMinute))
def test_an_empty_minute_is_omitted_or_flat_or_flat_later(policy: EmptyMinute) -> None:
    rows = [ROW, ROW._replace(minute=MINUTE - 1)]
    flat = {"o": "105.0", "c": "105.0", "h": "105.0", "l": "105.0", "v": "0.0", "n": 0}

    async def scenario(bench: Bench) -> None:
        said = []
        for moment in (-59.0, 29.0, 30.0, 10_000.0):
            await bench.until(moment)
            found = await bench.minute(MINUTE - 2)
            said.append(None if found is None else {key: found[key] for key in flat})
        assert (
            said
            == {
                EmptyMinute.OMIT: [None, None, None, None],
                EmptyMinute.LATE_FLAT: [None, None, flat, flat],
                EmptyMinute.FLAT: [flat, flat, flat, flat],
            }[policy]
        )

    behaviour = Behaviour(empty_minute=policy, late_flat_seconds=90)
    play(scenario, behaviour, TableMarket(rows), begin=-60)


def test_nothing_is_flat_before_the_first_trade() -> None:
    async def scenario(bench: Bench) -> None:
        assert opens(await bench.candles(0, NOW_MS)) == [-3, -2, -1]

    play(scenario, Behaviour(empty_minute=EmptyMinute.FLAT), TableMarket([ROW]))


def test_weight_of_a_minute_is_limited_and_then_answered_null() -> None:
    async def scenario(bench: Bench) -> None:
        answers = [await bench.info(snapshot(0, NOW_MS)) for _ in range(12)]
        assert [answer.status_code for answer in answers] == [200] * 11 + [429]
        assert answers[-1].text == "null"
        assert (await bench.info({"type": "exchangeStatus"})).status_code == 200
        await bench.until(59)
        assert (await bench.info(snapshot(0, NOW_MS))).status_code == 429
        await bench.until(61)
        assert (await bench.info(snapshot(0, NOW_MS))).status_code == 200
        assert bench.exchange.counters.rate_limited == 2
        assert [request.weight for request in bench.exchange.counters.requests][:13] == [103] * 11 + [0, 2]

    play(scenario)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"type": "nonsense"},
        {"type": ["meta"]},
        {"type": "candleSnapshot"},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": 0}},
        snapshot(-1, 10),
        snapshot(0, 1.5),
        snapshot("0", 10),
        snapshot(0, True),
        snapshot(0, 10**30),
        snapshot(0, 10, coin=["BTC"]),
        snapshot(0, 10, interval="6h"),
        snapshot(0, 10, interval=1),
    ],
)
def test_what_it_cannot_read_is_refused_as_the_exchange_does(body: Any) -> None:
    async def scenario(bench: Bench) -> None:
        response = await bench.info(body)
        assert response.status_code == 422
        assert response.text == "Failed to deserialize the JSON body into the target type"
        assert response.headers["content-type"].startswith("text/plain")

    play(scenario)


def test_a_body_that_is_no_json_is_refused_the_same_way() -> None:
    async def scenario(bench: Bench) -> None:
        for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
            response = await bench.http.post("/info", content=content)
            assert response.status_code == 422

    play(scenario)


@pytest.mark.parametrize("coin", ["btc", "cbBTC", "NOPE", ""])
def test_an_unknown_coin_is_a_server_error_with_null(coin: str) -> None:
    async def scenario(bench: Bench) -> None:
        response = await bench.info(snapshot(0, 10, coin=coin))
        assert (response.status_code, response.text) == (500, "null")

    play(scenario)


def test_meta_lists_coins_with_their_decimals_and_the_delisted_one() -> None:
    async def scenario(bench: Bench) -> None:
        universe = {coin["name"]: coin for coin in (await bench.info({"type": "meta"})).json()["universe"]}
        assert (universe["BTC"]["szDecimals"], universe["BTC"]["maxLeverage"]) == (5, 40)
        assert "isDelisted" not in universe["BTC"]
        assert universe["MATIC"]["isDelisted"] is True
        spot = (await bench.info({"type": "spotMeta"})).json()
        assert spot["universe"][0]["name"] == "@142"

    play(scenario)


def test_status_tells_the_exchanges_time_and_mids_the_last_prices() -> None:
    async def scenario(bench: Bench) -> None:
        status = (await bench.info({"type": "exchangeStatus"})).json()
        assert status == {"specialStatuses": None, "time": NOW_MS + 30_000}
        forming = await bench.minute(MINUTE)
        assert forming is not None
        mids = (await bench.info({"type": "allMids"})).json()
        assert set(mids) == {"BTC", "ETH"}
        assert mids["BTC"] == forming["c"]

    play(scenario, begin=30)


def test_other_paths_and_methods_are_not_there() -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.http.get("/info")).status_code == 405
        assert (await bench.http.post("/exchange", json={})).status_code == 404
        assert (await bench.http.get("/")).status_code == 404
        async with httpx.AsyncClient(base_url=bench.exchange.api_url, trust_env=False) as fresh:
            assert (await fresh.get("/ws")).status_code == 426

    play(scenario)


def test_requests_are_counted_with_their_times() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.info({"type": "exchangeStatus"})
        await bench.until(5)
        await bench.candles(0, NOW_MS)
        requests = list(bench.exchange.counters.requests)
        assert [(request.kind, request.status, request.weight) for request in requests] == [
            ("exchangeStatus", 200, 2),
            ("candleSnapshot", 200, 103),
        ]
        assert [request.time - EPOCH for request in requests] == pytest.approx([0, 5], abs=0.01)

    play(scenario)
