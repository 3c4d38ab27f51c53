"""Binance's archive: names, times of publication, bytes and ranges."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from btc_pipeline.exchanges.replay import Behaviour, MinuteRow, SyntheticMarket
from btc_pipeline_tests.exchanges.replay.bench import EPOCH, MINUTE, Bench, TableMarket, play

DAY = "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-09-22.zip"
UM_DAY = "futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-09-22.zip"
MONTH = "spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2026-08.zip"
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def lines_of(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        return archive.read(name).decode().splitlines()


def minute_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 60


async def lines(bench: Bench, path: str, venue: str = "BINANCE") -> list[str]:
    answer = await bench.file(path, venue)
    assert answer.status_code == 200, answer.text
    return lines_of(answer.content)


async def checked(bench: Bench, path: str, venue: str = "BINANCE") -> bool:
    """Whether a file's checksum is the one that is told."""
    digest, name = (await bench.file(f"{path}.CHECKSUM", venue)).text.split("  ")
    assert name == f"{path.rsplit('/', 1)[1]}\n"
    return digest == hashlib.sha256((await bench.file(path, venue)).content).hexdigest()


def sparse(*days: str) -> TableMarket:
    """Single minutes, of one trade each, whose aggressor sold."""
    return TableMarket([MinuteRow(minute_of(day), 841430, 841430, 841430, 841430, 36, 1) for day in days])


def test_a_file_of_spot_is_written_as_binance_writes_it() -> None:
    async def scenario(bench: Bench) -> None:
        answer = await bench.file(DAY)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == ["BTCUSDT-1m-2026-09-22.csv"]
            assert archive.read("BTCUSDT-1m-2026-09-22.csv") == (
                b"1790039340000000,84143.00000000,84143.00000000,84143.00000000,84143.00000000,0.00036000,"
                b"1790039399999999,30.29148000,1,0.00000000,0.00000000,0\n"
            )
        assert await lines(bench, UM_DAY, "BINANCE_UM") == [
            HEADER,
            "1790039340000,84143.0,84143.0,84143.0,84143.0,0.00036,1790039399999,30.291480,1,0.00000,0.000000,0",
        ]
        assert await checked(bench, DAY)
        assert await checked(bench, UM_DAY, "BINANCE_UM")

    play(scenario, market=sparse("2026-09-22T01:09"))


def test_spot_tells_milliseconds_before_2025_and_microseconds_since() -> None:
    async def scenario(bench: Bench) -> None:
        for path, first in (
            ("spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12-31.zip", "1735603200000,"),
            ("spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-12.zip", "1735603200000,"),
            ("spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip", "1735689600000000,"),
            ("spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01.zip", "1735689600000000,"),
        ):
            found = await lines(bench, path)
            assert len(found) == 1
            assert found[0].startswith(first)
        futures = "futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip"
        assert (await lines(bench, futures, "BINANCE_UM"))[1].startswith("1735689600000,")

    play(scenario, market=sparse("2024-12-31", "2025-01-01"))


def test_the_bytes_are_always_the_same() -> None:
    found = []

    async def scenario(bench: Bench) -> None:
        found.append((await bench.file(DAY)).content)

    play(scenario)
    play(scenario, begin=100_000)
    assert found[0] == found[1]
    assert len(lines_of(found[0])) == 1440


def test_a_month_has_all_of_its_minutes() -> None:
    async def scenario(bench: Bench) -> None:
        found = await lines(bench, MONTH)
        assert len(found) == 31 * 1440
        times = [int(line.partition(",")[0]) for line in found]
        assert times == [(minute_of("2026-08-01") + k) * 60_000_000 for k in range(31 * 1440)]
        assert await checked(bench, MONTH)

    first = minute_of("2026-08-01")
    row = MinuteRow(first, 841430, 841430, 841430, 841430, 36, 1)
    play(scenario, market=TableMarket([row._replace(minute=first + k) for k in range(-3, 31 * 1440 + 3)]))


@pytest.mark.parametrize(
    "path",
    [
        "spot/daily/klines/NOPEUSDT/1m/NOPEUSDT-1m-2026-09-22.zip",
        "spot/daily/klines/MATICUSDT/1m/MATICUSDT-1m-2026-09-22.zip",
        "spot/daily/klines/BTCUSDT/1m/ETHUSDT-1m-2026-09-22.zip",
        "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-09.zip",
        "spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2026-08-01.zip",
        "spot/daily/klines/BTCUSDT/5m/BTCUSDT-5m-2026-09-22.zip",
        "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-02-30.zip",
        "spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-9999-12.zip",
        "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-09-22.csv",
        UM_DAY,
    ],
)
def test_what_can_be_no_file_is_not_there(path: str) -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.file(path)).status_code == 404
        assert (await bench.file(f"{path}.CHECKSUM")).status_code == 404

    play(scenario)


def seconds_to(text: str) -> float:
    """From EPOCH to a time."""
    return minute_of(text) * 60.0 - EPOCH


def test_a_day_is_published_at_four_and_a_month_on_the_third_at_eight() -> None:
    async def scenario(bench: Bench) -> None:
        for path, moment in (
            ("spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-09-24.zip", "2026-09-25T04:00"),
            ("spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2026-09.zip", "2026-10-03T08:00"),
        ):
            await bench.until(seconds_to(moment) - 1)
            assert (await bench.file(path)).status_code == 404
            assert (await bench.file(f"{path}.CHECKSUM")).status_code == 404
            await bench.until(seconds_to(moment))
            assert (await bench.file(path)).status_code == 200

    play(scenario, market=sparse("2026-09-24T01:00"))


def test_files_are_published_when_the_behaviour_says_so() -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.file(DAY.replace("09-22", "09-23"))).status_code == 200
        assert (await bench.file(MONTH.replace("08", "07"))).status_code == 404

    behaviour = Behaviour(day_file_hours=0, month_file_hours=5000)
    play(scenario, behaviour, sparse("2026-07-23", "2026-09-23"))


def test_there_are_no_files_before_the_archive_or_the_market_begins() -> None:
    async def scenario(bench: Bench) -> None:
        for day, status in (("19", 404), ("20", 404), ("21", 200), ("22", 200)):
            assert (await bench.file(DAY.replace("09-22", f"09-{day}"))).status_code == status
        assert (await bench.file(MONTH)).status_code == 404

    rows = sparse("2026-09-20T12:00", "2026-09-21T01:00", "2026-09-22")
    play(scenario, Behaviour(archive_from=minute_of("2026-09-21T12:00")), rows)


def test_there_is_no_file_without_a_line() -> None:
    async def scenario(bench: Bench) -> None:
        for path, venue in ((DAY, "BINANCE"), (UM_DAY, "BINANCE_UM")):
            assert (await bench.file(path, venue)).status_code == 404
            assert (await bench.file(f"{path}.CHECKSUM", venue)).status_code == 404

    play(scenario, market=sparse("2026-09-20"))


def test_a_stop_ends_what_is_being_built() -> None:
    async def scenario(bench: Bench) -> None:
        building = asyncio.create_task(bench.file(MONTH))
        while not market.minutes_asked:
            await asyncio.sleep(0)
        await bench.exchange.stop()
        with pytest.raises(httpx.TransportError):
            await building
        await asyncio.get_running_loop().shutdown_default_executor()
        assert market.minutes_asked < 20 * 1440

    market = _Watched()
    play(scenario, Behaviour(frames_per_minute=2), market)


def test_a_file_can_be_had_after_a_stop_in_the_middle() -> None:
    async def scenario(bench: Bench) -> None:
        building = asyncio.create_task(bench.file(DAY))
        while not market.minutes_asked:
            await asyncio.sleep(0)
        await bench.exchange.stop()
        with pytest.raises(httpx.TransportError):
            await building
        await bench.exchange.start()
        assert len(await lines(bench, DAY)) == 1440

    market = _Watched()
    play(scenario, market=market)


class _Watched(SyntheticMarket):
    minutes_asked = 0

    def minute(self, coin: str, minute: int) -> MinuteRow | None:
        self.minutes_asked += 1
        return super().minute(coin, minute)


def test_parts_can_be_asked_for() -> None:
    async def scenario(bench: Bench) -> None:
        whole = await bench.file(DAY)
        size, tag = len(whole.content), whole.headers["etag"]
        assert (whole.headers["content-length"], whole.headers["accept-ranges"]) == (str(size), "bytes")
        for asked, start, end in (
            ("bytes=0-9", 0, 10),
            ("bytes=100-", 100, size),
            ("bytes=-7", size - 7, size),
            (f"bytes={size - 3}-{size + 100}", size - 3, size),
        ):
            part = await bench.file(DAY, headers={"Range": asked, "If-Range": tag})
            assert (part.status_code, part.content) == (206, whole.content[start:end])
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
            assert part.headers["etag"] == tag
        assert (await bench.file(DAY, headers={"Range": f"bytes={size}-"})).status_code == 416
        other = await bench.file(DAY, headers={"Range": "bytes=5-", "If-Range": '"another"'})
        assert (other.status_code, other.content) == (200, whole.content)

    play(scenario)


def test_streams_go_on_while_a_file_is_built() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.socket() as socket:
            await socket.subscribed()
            building = asyncio.create_task(bench.file(DAY))
            socket_answers = 0
            while not building.done():
                await socket.send({"method": "ping"})
                await socket.next()
                socket_answers += 1
            assert (await building).status_code == 200
            assert socket_answers > 20

    play(scenario, Behaviour(max_messages_per_minute=10**9))


def test_a_file_is_built_once_for_all_who_ask() -> None:
    async def scenario(bench: Bench) -> None:
        tape = bench.exchange.venue.tape
        asked = 0
        flow = tape.flow

        def counting(*arguments: Any) -> Any:
            nonlocal asked
            asked += 1
            return flow(*arguments)

        tape.flow = counting  # type: ignore[method-assign]
        await asyncio.gather(*(bench.file(DAY) for _ in range(3)), bench.file(f"{DAY}.CHECKSUM"))
        await bench.file(DAY)
        assert asked == 1440

    play(scenario)


def test_a_file_has_the_minutes_that_the_market_has() -> None:
    async def scenario(bench: Bench) -> None:
        rows = [
            line.split(",") for line in await lines(bench, "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-09-24.zip")
        ]
        assert [int(row[0]) // 60_000_000 - MINUTE for row in rows] == [-3, -1]
        assert [(row[5], row[8]) for row in rows] == [("0.00036000", "1"), ("0.00000000", "0")]

    traded = MinuteRow(MINUTE - 3, 841430, 841430, 841430, 841430, 36, 1)
    quiet = MinuteRow(MINUTE - 1, 841430, 841430, 841430, 841430, 0, 0)
    play(scenario, market=TableMarket([traded, quiet]), begin=86_400)
