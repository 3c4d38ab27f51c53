"""The real files, read exactly, and against an independent reading of the same bytes."""

from __future__ import annotations

import csv
import gzip
import hashlib
from datetime import datetime
from decimal import Decimal

import numpy as np
import pytest

from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline.market.candles import Scale, to_ticks
from btc_pipeline_tests.importing.files import error_of
from btc_pipeline_tests.real_data import DATA, bitfinex_minutes, needs_real_data

pytestmark = needs_real_data

BINANCEUS = "binanceus_btcusdt_1m_2023-03.csv.gz"


def columns_of(name: str) -> list[tuple[str, ...]]:
    with gzip.open(DATA / name, "rt") as file:
        return list(zip(*csv.reader(file), strict=True))


@pytest.mark.parametrize(("year", "rows", "scale"), [(2015, 366_710, Scale(8, 8)), (2016, 293_230, Scale(2, 8))])
def test_bitfinex_is_found_out_and_read_as_numpy_reads_it(year, rows, scale):
    name = f"bitfinex_btcusd_1m_{year}.csv.gz"
    read = read_candle_file(DATA / name)
    assert (read.layout, read.time_unit, read.rows_read, read.skipped) == ("bitfinex", "ms", rows, [])
    assert read.minutes.scale == scale
    assert read.sha256 == hashlib.sha256((DATA / name).read_bytes()).hexdigest()
    expected = bitfinex_minutes(year)
    for column in ("time", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(read.minutes, column), getattr(expected, column)), column


def test_the_scale_is_the_smallest_and_ticks_are_the_written_decimals():
    read = read_candle_file(DATA / "bitfinex_btcusd_1m_2015.csv.gz")
    texts = dict(
        zip(
            ("time", "open", "close", "high", "low", "volume"),
            columns_of("bitfinex_btcusd_1m_2015.csv.gz"),
            strict=True,
        )
    )
    for column, decimals in (("open", 8), ("high", 8), ("low", 8), ("close", 8), ("volume", 8)):
        ticks = to_ticks(getattr(read.minutes, column), decimals).tolist()
        assert ticks == [int(Decimal(text).scaleb(decimals)) for text in texts[column]]
    needed = max(-Decimal(text).normalize().as_tuple().exponent for text in set(texts["volume"]))
    assert needed == read.minutes.scale.volume


def test_binance_us_with_a_header_and_iso_times():
    read = read_candle_file(DATA / BINANCEUS)
    assert (read.layout, read.time_unit, read.rows_read, read.skipped) == ("header", "iso8601", 30_240, [])
    assert read.minutes.scale == Scale(price=2, volume=6)
    times, open_, high, low, close, volume = (column[1:] for column in columns_of(BINANCEUS))
    assert read.minutes.time.tolist() == [int(datetime.fromisoformat(t).timestamp()) // 60 for t in times]
    for column, texts in zip(
        ("open", "high", "low", "close", "volume"), (open_, high, low, close, volume), strict=True
    ):
        assert getattr(read.minutes, column).tolist() == [float(text) for text in texts]
    assert read.minutes.quiet_minutes.sum() == sum(float(text) == 0 for text in volume)


def test_a_cut_real_file_is_refused(tmp_path):
    path = tmp_path / "cut.csv.gz"
    path.write_bytes((DATA / BINANCEUS).read_bytes()[:300_000])
    assert "ends in the middle (truncated gzip): re-download it" in error_of(path)
