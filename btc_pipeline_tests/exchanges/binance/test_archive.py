"""Binance's public files: months that are published, then days, disjoint and ascending."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.exchanges.binance.archive import BinanceArchive
from btc_pipeline.exchanges.binance.markets import SPOT, USD_M
from btc_pipeline.exchanges.binance.provider import BINANCE

ARCHIVE = BinanceArchive(SPOT, "https://data.binance.vision/")


def minute(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() // 60)


def names(start: str, end: str, now: str) -> list[str]:
    files = ARCHIVE.files("BTCUSDT", minute(start), minute(end), minute(now))
    return [one.name.removeprefix("BTCUSDT-1m-").removesuffix(".zip") for one in files]


def test_the_addresses_are_the_documented_ones() -> None:
    (file,) = ARCHIVE.files("BTCUSDT", minute("2024-12-05"), minute("2024-12-06"), minute("2025-03-01"))
    folder = "https://data.binance.vision/data/spot/monthly/klines/BTCUSDT/1m"
    assert file.url == f"{folder}/BTCUSDT-1m-2024-12.zip"
    assert file.checksum_url == file.url + ".CHECKSUM"
    assert (file.start, file.end) == (minute("2024-12-01"), minute("2025-01-01"))
    futures = BinanceArchive(USD_M, "http://127.0.0.1:1/binance-um/archive")
    (file,) = futures.files("BTCUSDT", minute("2026-11-10"), minute("2026-11-11"), minute("2026-11-20"))
    assert file.url == (
        "http://127.0.0.1:1/binance-um/archive/data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-11-10.zip"
    )


@pytest.mark.parametrize(
    ("now", "monthly"),
    # The first Monday of November 2026 is the 2nd, of June the 1st, of October the 5th.
    [("2026-11-02", False), ("2026-11-03", True), ("2026-10-05T23:00", False), ("2026-10-06", True)],
)
def test_a_month_is_one_file_from_the_day_after_the_first_monday_on(now: str, monthly: bool) -> None:
    month = "2026-10" if now.startswith("2026-11") else "2026-09"
    found = names(f"{month}-01", now, now)
    assert (month in found) == monthly
    assert monthly or f"{month}-01" in found


def test_a_day_is_trusted_two_days_later() -> None:
    assert names("2026-11-18", "2026-11-21", "2026-11-20T23:59") == ["2026-11-18"]
    assert names("2026-11-18", "2026-11-21", "2026-11-21") == ["2026-11-18", "2026-11-19"]


def test_nothing_is_older_than_the_archive() -> None:
    assert names("2015-01-01", "2017-10-01", "2026-11-21") == ["2017-08", "2017-09"]
    assert names("2015-01-01", "2016-01-01", "2026-11-21") == []


@given(st.integers(minute("2017-01-01"), minute("2027-01-01")), st.integers(0, 400_000), st.integers(0, 400_000))
def test_files_are_ascending_and_disjoint_without_a_hole_and_hold_what_was_asked_for(
    start: int, length: int, age: int
) -> None:
    end = start + length
    now = end + age - 200_000
    files = ARCHIVE.files("BTCUSDT", start, end, now)
    for one, next_ in pairwise(files):
        assert one.end == next_.start
    for one in files:
        assert one.start < end
        assert one.end > start
        assert one.end + 1440 <= now
    if files and now - end >= 3 * 1440:
        assert files[0].start <= max(start, minute("2017-08-01"))
        assert files[-1].end >= end


def test_the_known_outage_says_where_it_is_known_from() -> None:
    (outage,) = BINANCE.outages
    assert (outage.start, outage.end) == (minute("2020-11-30T06:00"), minute("2020-11-30T07:00"))
    assert "ccxt" in outage.source
