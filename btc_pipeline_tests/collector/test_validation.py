"""Rows of REST: what may be stored, and what becomes of a quote volume with too many digits."""

from __future__ import annotations

import math

import pytest

from btc_pipeline.collector.validation import accept, with_held_quote
from btc_pipeline.exchanges.base import History, Minute
from btc_pipeline.market.candles import Scale
from btc_pipeline_tests.collector.made_landings import minute


async def declared(scale: Scale) -> Scale:
    return scale


def busy(quote: float, decimals: int) -> Minute:
    return minute(29_700_000, quote_volume=quote, decimals=Scale(2, 5, decimals))


@pytest.mark.parametrize(
    ("quote", "decimals", "kept"),
    [(99_999_999.5, 1, True), (100_000_000.0, 0, False), (7.12345678, 8, False), (7.1234567, 7, True)],
)
def test_a_quote_volume_is_kept_as_far_as_the_instrument_s_decimals_hold_it(
    quote: float, decimals: int, kept: bool
) -> None:
    told = busy(quote, decimals)
    held = with_held_quote(told, Scale(2, 5, 7))
    assert held.same_values(told) == kept
    assert math.isnan(held.quote_volume) != kept
    assert (held.close, held.volume, held.trades) == (told.close, told.volume, told.trades)


def test_a_venue_that_tells_no_quote_volume_is_left_alone() -> None:
    told = minute(29_700_000)
    assert with_held_quote(told, Scale(1, 5, 8)) is told


async def test_a_row_of_rest_is_taken_without_it_and_prices_stay_strict() -> None:
    wrong = minute(29_700_001, volume=-1.0)
    history = History([busy(123_456_789.5, 1), wrong])
    rows, refused, scale = await accept(history, Scale(2, 5, 7), declared, "BTCUSDT.BINANCE")
    assert [(row.time, math.isnan(row.quote_volume)) for row in rows] == [(29_700_000, True)]
    assert [row.time for row in refused] == [29_700_001]
    assert scale == Scale(2, 5, 7)


async def test_finer_quote_volumes_widen_the_instrument() -> None:
    rows, refused, scale = await accept(History([busy(7.12345678, 8)]), Scale(2, 5, 7), declared, "BTCUSDT.BINANCE")
    assert ([row.quote_volume for row in rows], refused, scale) == ([7.12345678], [], Scale(2, 5, 8))
