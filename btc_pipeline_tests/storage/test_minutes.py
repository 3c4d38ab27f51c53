"""Writing whole files of minutes: what they do not tell is not taken away from what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.exchanges.base import Minute
from btc_pipeline.market.candles import UNKNOWN_TRADES, Candles, Scale, empty_candles, minute_candles
from btc_pipeline.market.intervals import MINUTE
from btc_pipeline.storage.candles import read_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.minutes import compare, complete, write_minutes

SYMBOL = "BTC"
START = 29_700_000
SCALE = Scale(1, 5, 6)
NAN = float("nan")


def made(closes: list[float], quote: list[float], taker: list[float], trades: list[int], first: int = START) -> Candles:
    n = len(closes)
    hundred = np.full(n, 100.0)
    close = np.array(closes)
    prices = (hundred, np.maximum(hundred, close), np.minimum(hundred, close), close)
    return minute_candles(
        SCALE,
        np.arange(first, first + n),
        prices,
        np.ones(n),
        quote_volume=np.array(quote),
        taker_buy_volume=np.array(taker),
        trades=np.array(trades, np.int64),
    )


def rows(minutes: Candles) -> list[tuple[float, ...]]:
    """(close, quote volume, taker-buy volume, trades); -1 where not told."""
    columns = (minutes.close, np.nan_to_num(minutes.quote_volume, nan=-1.0))
    more = (np.nan_to_num(minutes.taker_buy_volume, nan=-1.0), minutes.trades)
    return list(zip(*(column.tolist() for column in (*columns, *more)), strict=True))


KNOWN = made([100.0] * 4, [5.0] * 4, [0.5] * 4, [7] * 4)
AGAIN = made([100.0, 101.0, 100.0, 100.0, 100.0], [NAN, NAN, 6.0, NAN, NAN], [NAN] * 5, [7, 7, 7, UNKNOWN_TRADES, 7])


def test_only_minutes_that_agree_are_completed() -> None:
    assert rows(complete(KNOWN, AGAIN)) == [
        (100.0, 5.0, 0.5, 7),
        (101.0, -1.0, -1.0, 7),
        (100.0, 6.0, -1.0, 7),
        (100.0, 5.0, 0.5, 7),
        (100.0, -1.0, -1.0, 7),
    ]


def test_nothing_known_completes_nothing() -> None:
    nothing = empty_candles(MINUTE, SCALE)
    assert rows(complete(nothing, AGAIN)) == rows(AGAIN)
    added, changed = compare(nothing, AGAIN)
    assert added.all()
    assert not changed.any()


@pytest.mark.timescale
def test_the_same_rows_again_erase_nothing_and_write_nothing(database: Database) -> None:
    bare = replace(KNOWN, quote_volume=np.full(4, NAN), taker_buy_volume=np.full(4, NAN))
    with database.arrow() as cursor:
        upsert_instrument(cursor, SYMBOL, SCALE)
    for minutes, done in ((bare, (4, 0)), (KNOWN, (0, 4)), (bare, (0, 0)), (KNOWN, (0, 0)), (AGAIN, (1, 2))):
        with database.arrow() as cursor:
            assert write_minutes(cursor, SYMBOL, minutes, status="confirmed", reason="test") == done
    with database.arrow() as cursor:
        stored = read_candles(cursor, SYMBOL, MINUTE, SCALE, START, START + 10)
    assert rows(stored) == rows(complete(KNOWN, AGAIN))


Row = tuple[int, float, float, float, int]
TOLD = st.tuples(
    st.integers(0, 2),
    st.sampled_from([100.0, 101.0]),
    st.sampled_from([NAN, 5.0]),
    st.sampled_from([NAN, 0.5]),
    st.sampled_from([UNKNOWN_TRADES, 7, 8]),
)


def one_by_one(told: list[Row]) -> Candles:
    by_minute = {minute: (close, quote, taker, trades) for minute, close, quote, taker, trades in told}
    if not by_minute:
        return empty_candles(MINUTE, SCALE)
    parts = [
        made([close], [quote], [taker], [trades], START + minute)
        for minute, (close, quote, taker, trades) in sorted(by_minute.items())
    ]
    return Candles.concatenate(parts)


@given(st.lists(TOLD, max_size=3), st.lists(TOLD, min_size=1, max_size=3))
def test_completing_agrees_with_a_minute_of_its_own(known: list[Row], minutes: list[Row]) -> None:
    """The same rule as the collector's, which takes minutes one by one."""

    def singles(candles: Candles) -> dict[int, Minute]:
        names = ("time", "open", "high", "low", "close", "volume", "trades", "quote_volume", "taker_buy_volume")
        columns = [getattr(candles, name).tolist() for name in names]
        return {row[0]: Minute(*row) for row in zip(*columns, strict=True)}

    before, after = singles(one_by_one(known)), singles(one_by_one(minutes))
    for time, found in singles(complete(one_by_one(known), one_by_one(minutes))).items():
        wanted = after[time].completed_from(before[time]) if time in before else after[time]
        assert found.same_values(wanted)
