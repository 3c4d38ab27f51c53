"""Everything that can be wrong with a file of the archive, each for as long as its fault lasts."""

from __future__ import annotations

import zipfile

import httpx
import pytest

from btc_pipeline.exchanges.replay import Fault, FaultKind
from btc_pipeline_tests.exchanges.replay.bench import Bench, play
from btc_pipeline_tests.exchanges.replay.test_archive import DAY, HEADER, UM_DAY, checked, lines, lines_of, sparse

FOREVER = 1e9


async def with_fault(bench: Bench, kind: FaultKind, value: float | None = None) -> None:
    bench.exchange.inject(Fault(kind, seconds=FOREVER, value=value))


def test_wrong_checksum_is_another_files() -> None:
    async def scenario(bench: Bench) -> None:
        assert await checked(bench, DAY)
        await with_fault(bench, FaultKind.WRONG_CHECKSUM)
        assert not await checked(bench, DAY)
        bench.exchange.clear_faults()
        assert await checked(bench, DAY)

    play(scenario)


def test_reissued_differs_by_one_tick_of_volume_and_its_checksum_is_right() -> None:
    async def scenario(bench: Bench) -> None:
        before, tag = await lines(bench, DAY), (await bench.file(DAY)).headers["etag"]
        await with_fault(bench, FaultKind.REISSUED)
        after = await lines(bench, DAY)
        assert await checked(bench, DAY)
        assert (await bench.file(DAY)).headers["etag"] != tag
        ((old, new),) = [(a.split(","), b.split(",")) for a, b in zip(before, after, strict=True) if a != b]
        assert round(float(new[5]) - float(old[5]), 8) == 0.00001
        assert old[:5] + old[6:] == new[:5] + new[6:]

    play(scenario)


def test_cut_archive_ends_before_its_length() -> None:
    async def scenario(bench: Bench) -> None:
        size = len((await bench.file(DAY)).content)
        await with_fault(bench, FaultKind.CUT_ARCHIVE)
        url = f"{bench.exchange.addresses('BINANCE').archive_url}/data/{DAY}"
        received: list[int] = []

        async def receive() -> None:
            async with bench.http.stream("GET", url) as answer:
                assert answer.headers["content-length"] == str(size)
                async for data in answer.aiter_raw():
                    received.append(len(data))

        with pytest.raises(httpx.RemoteProtocolError):
            await receive()
        assert sum(received) == size // 2
        assert (await bench.file(f"{DAY}.CHECKSUM")).status_code == 200

    play(scenario)


def test_short_archive_is_no_zip_though_its_checksum_is_right() -> None:
    async def scenario(bench: Bench) -> None:
        await with_fault(bench, FaultKind.SHORT_ARCHIVE)
        assert await checked(bench, DAY)
        with pytest.raises(zipfile.BadZipFile):
            lines_of((await bench.file(DAY)).content)

    play(scenario)


@pytest.mark.parametrize(("path", "venue", "usual"), [(DAY, "BINANCE", 16), (UM_DAY, "BINANCE_UM", 13)])
def test_mixed_units_tells_half_of_a_file_in_the_other_unit(path: str, venue: str, usual: int) -> None:
    async def scenario(bench: Bench) -> None:
        await with_fault(bench, FaultKind.MIXED_UNITS)
        found = [line.split(",") for line in await lines(bench, path, venue) if line[0].isdigit()]
        assert [len(line[0]) for line in found] == [usual] * 720 + [29 - usual] * 720
        assert all(len(line[0]) == len(line[6]) for line in found)
        assert await checked(bench, path, venue)

    play(scenario)


@pytest.mark.parametrize(("path", "venue"), [(DAY, "BINANCE"), (UM_DAY, "BINANCE_UM")])
def test_other_header_is_where_none_is_usual(path: str, venue: str) -> None:
    async def scenario(bench: Bench) -> None:
        usual = await lines(bench, path, venue)
        await with_fault(bench, FaultKind.OTHER_HEADER)
        other = await lines(bench, path, venue)
        assert {len(usual), len(other)} == {1440, 1441}
        assert max(usual, other, key=len)[0] == HEADER
        assert usual[-1440:] == other[-1440:]

    play(scenario)


def test_late_archive_keeps_the_newest_files_back() -> None:
    async def scenario(bench: Bench) -> None:
        await with_fault(bench, FaultKind.LATE_ARCHIVE, 2 * 86_400)
        newest, older = DAY.replace("09-22", "09-23"), DAY.replace("09-22", "09-21")
        assert [(await bench.file(path)).status_code for path in (newest, DAY, older)] == [404, 404, 200]

    play(scenario, market=sparse("2026-09-21", "2026-09-22", "2026-09-23"))


def test_html_archive_is_a_page_with_status_200() -> None:
    async def scenario(bench: Bench) -> None:
        await with_fault(bench, FaultKind.HTML_ARCHIVE)
        answer = await bench.file(DAY)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
        assert answer.text.startswith("<!DOCTYPE html>")
        assert len((await bench.file(f"{DAY}.CHECKSUM")).text.split("  ")[0]) == 64

    play(scenario)


def test_rest_faults_hold_for_files_and_limits_do_not() -> None:
    async def scenario(bench: Bench) -> None:
        for kind, status in ((FaultKind.BAD_GATEWAY, 502), (FaultKind.SERVER_ERROR, 500), (FaultKind.RATE_LIMIT, 200)):
            bench.exchange.inject(Fault(kind, seconds=10))
            assert (await bench.file(DAY)).status_code == status
            bench.exchange.clear_faults()
        counters = bench.exchange.counters_of("BINANCE")
        assert [(one.kind, one.status, one.weight) for one in counters.requests] == [
            ("archive", 502, 0), ("archive", 500, 0), ("archive", 200, 0),
        ]  # fmt: skip

    play(scenario)
