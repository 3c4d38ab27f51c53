"""Reads for people outside: literals, batches, bars made on the spot."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Scale, minute_candles
from btc_pipeline.market.intervals import MINUTE, Interval
from btc_pipeline.market.resampling import DEFAULT_USABILITY, resample
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline.storage.queries import bars_statement, check_source_minutes, make_bars, stream_bars
from btc_pipeline.storage.reading import BATCH_BYTES, read_table, with_literals
from btc_pipeline.storage.vouched import replace_vouched

pytestmark = pytest.mark.timescale

SYMBOL = "BTCUSD.BITFINEX"
START = 24_192_000


def test_literals_come_back_as_they_were(database: Database) -> None:
    values = ["'; DROP TABLE candles; --", "\\' $1 $2 %s", "ünïcödé 𝟛", "", 7, 2**40]
    values += [datetime(2016, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)]  # type: ignore[list-item]
    columns = ", ".join(f"${n} AS c{n}" for n in range(1, len(values) + 1))
    with database.arrow() as cursor:
        row = read_table(cursor, f"SELECT {columns}", values).to_pylist()[0]
    assert list(row.values()) == values


def test_a_literal_is_not_looked_at_for_places() -> None:
    assert with_literals("SELECT $1, $2, $1", ["$2", 5]) == "SELECT '$2', 5, '$2'"


def test_only_known_columns_are_read() -> None:
    with pytest.raises(ValueError, match="no such columns"):
        bars_statement(["time", "1; DROP TABLE candles"])


def test_bars_come_in_batches_and_limited(database: Database) -> None:
    count = 30_000
    ones = np.ones(count)
    minutes = minute_candles(Scale(0, 0), np.arange(START, START + count), (ones, ones, ones, ones), ones)
    with database.arrow() as cursor:
        upsert_instrument(cursor, SYMBOL, minutes.scale)
        write_minutes(cursor, SYMBOL, minutes, status="confirmed", reason="test")
    with database.arrow() as cursor:
        batches = list(stream_bars(cursor, SYMBOL, MINUTE, ["time", "open"], START, START + count, 10**12))
        sizes = [batch.num_rows for batch in batches]
        assert sum(sizes) == count
        wide = list(stream_bars(cursor, SYMBOL, MINUTE, ["time", *["open"] * 20], START, START + count, 10**12))
        assert len(wide) > 1
        assert max(batch.nbytes for batch in wide) < 2 * BATCH_BYTES
        assert sum(b.num_rows for b in stream_bars(cursor, SYMBOL, MINUTE, ["time"], START + 5, START + 50, 10)) == 10


def test_bars_made_on_the_spot_know_quiet_and_vouched_minutes(database: Database) -> None:
    random = np.random.default_rng(1)
    time = np.sort(random.choice(np.arange(START, START + 2000), 1500, replace=False))
    price = random.integers(100, 200, 1500).astype(np.float64)
    volume = random.integers(0, 3, 1500).astype(np.float64)
    minutes = minute_candles(Scale(0, 0), time, (price, price, price, price), volume)
    vouched = np.setdiff1d(np.arange(START, START + 900), time)
    interval = Interval.parse("41m")
    slots = range(interval.slot(START) + 1, interval.slot(START + 1999) + 1)
    with database.arrow() as cursor:
        instrument = upsert_instrument(cursor, SYMBOL, minutes.scale)
        write_minutes(cursor, SYMBOL, minutes, status="confirmed", reason="test")
        replace_vouched(cursor, SYMBOL, vouched, np.unique(vouched // 1440), source="test")
    with database.arrow() as cursor:
        made = make_bars(cursor, instrument, interval, slots, DEFAULT_USABILITY)
    wanted = resample(minutes, interval, slots, vouched=Spans.of_minutes(vouched))
    for name in ("time", "open", "high", "low", "close", "volume", "minutes", "quiet_minutes", "usable"):
        assert getattr(made, name).tolist() == getattr(wanted, name).tolist(), name


def test_the_limit_on_source_minutes_is_named() -> None:
    check_source_minutes(Interval.parse("50m"), range(10_000))
    with pytest.raises(UserError, match=r"10,001 bars of 50m .* 500,050 minutes, more than the limit of 500,000"):
        check_source_minutes(Interval.parse("50m"), range(10_001))
