"""The rules of one candle: the same for a column and for one minute, and pandera's verdict is theirs."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from btc_pipeline.exchanges.base import Minute
from btc_pipeline.market import validity
from btc_pipeline.market.candles import Scale, minute_candles
from btc_pipeline.pipeline.schemas import find_offences

GOOD = Minute(1, 100.0, 101.0, 99.0, 100.5, 2.0, 3, 200.0, 1.0)


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, ()),
        ({"trades": -1, "quote_volume": math.nan, "taker_buy_volume": math.nan}, ()),
        ({"volume": 0.0, "taker_buy_volume": 0.0, "trades": 0}, ()),
        ({"open": 0.0, "low": 0.0}, (validity.PRICE_POSITIVE,)),
        ({"close": math.nan}, (validity.PRICE_POSITIVE,)),
        ({"high": math.inf}, (validity.PRICE_POSITIVE,)),
        ({"high": 100.2}, (validity.HIGH_HIGHEST,)),
        ({"low": 100.2}, (validity.LOW_LOWEST,)),
        ({"low": 102.0}, (validity.HIGH_HIGHEST, validity.LOW_LOWEST)),
        ({"volume": -1.0}, (validity.VOLUME_NOT_NEGATIVE, validity.TAKER_BUY_PART)),
        ({"volume": math.nan}, (validity.VOLUME_NOT_NEGATIVE,)),
        ({"quote_volume": -1.0}, (validity.VOLUME_NOT_NEGATIVE,)),
        ({"taker_buy_volume": math.inf}, (validity.VOLUME_NOT_NEGATIVE, validity.TAKER_BUY_PART)),
        ({"taker_buy_volume": 2.5}, (validity.TAKER_BUY_PART,)),
        ({"trades": -2}, (validity.TRADES_COUNTED,)),
    ],
)
def test_a_minute_breaks_the_rules_that_it_should(changed, broken):
    assert validity.offences(replace(GOOD, **changed)) == broken


def test_digits_are_counted_with_the_decimals_it_is_stored_with():
    large = replace(GOOD, high=123_456_789.5)
    assert validity.offences(large, Scale(6, 5, 8)) == ()
    assert validity.offences(large, Scale(7, 5, 8)) == (validity.DIGITS_HELD,)
    assert validity.offences(large) == ()
    assert validity.offences(replace(GOOD, volume=99_999_999_999.0), Scale(1, 5, 8)) == (validity.DIGITS_HELD,)


def test_the_verdict_on_columns_is_that_on_each_minute():
    rng = random.Random(1)
    amounts = [math.nan, math.inf, -1.0, 0.0, 0.5, 1.0, 1.5, 2.0]
    table = [(*rng.choices(amounts, k=7), rng.randint(-3, 3)) for _ in range(3000)]
    minutes = [Minute(at, *row[:5], row[7], row[5], row[6]) for at, row in enumerate(table)]
    columns = [np.array(column) for column in zip(*table, strict=True)]
    candles = minute_candles(
        Scale(1, 5, 8),
        np.arange(len(table)),
        tuple(columns[:4]),
        columns[4],
        quote_volume=columns[5],
        taker_buy_volume=columns[6],
        trades=columns[7].astype(np.int64),
    )
    by_column = {offence.row: set(offence.rules) for offence in find_offences(candles)}
    by_minute = {at: set(validity.offences(one)) for at, one in enumerate(minutes) if validity.offences(one)}
    assert by_column == by_minute
    assert 0 < len(by_minute) < len(table)
    assert set().union(*by_minute.values()) == {
        validity.PRICE_POSITIVE,
        validity.VOLUME_NOT_NEGATIVE,
        validity.HIGH_HIGHEST,
        validity.LOW_LOWEST,
        validity.TAKER_BUY_PART,
        validity.TRADES_COUNTED,
    }
