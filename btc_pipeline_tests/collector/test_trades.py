"""Minutes of trades: what they add up to, and which candles they may complete."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.collector.trades import KEPT_MINUTES, TradeMinutes
from btc_pipeline.exchanges.base import Minute, Trade
from btc_pipeline.market.candles import UNKNOWN_TRADES, Scale

FIRST = 29_700_000
"""The minute in which the stream begins."""
SCALE = Scale(1, 5, 6)
NEXT = (FIRST + 2) * 60 + 5.0
"""Five seconds after the end of the first whole minute."""


def trade(seconds: float, size: int = 100_000, price: int = 1_000, **others: object) -> Trade:
    """A trade so long after FIRST began; size in units of 0.00001, price in units of 0.1."""
    values = {"taker_buy": True, "id": str(seconds), "decimals": Scale(1, 5), **others}
    return Trade(FIRST * 60_000 + round(seconds * 1000), price / 10, size / 100_000, **values)  # type: ignore[arg-type]


def candle(minute: int, volume: float, trades: int = 1, **others: object) -> Minute:
    values = {"decimals": Scale(1, 5), **others}
    return Minute(FIRST + minute, 100.0, 101.0, 99.0, 100.0, volume, trades, **values)  # type: ignore[arg-type]


def listening() -> TradeMinutes:
    """A stream that began with a replay in the middle of FIRST."""
    trades = TradeMinutes()
    trades.heard([trade(20.0), trade(30.0)], FIRST * 60 + 30.0)
    return trades


def test_a_whole_minute_whose_trades_add_up_gets_what_its_candle_lacks() -> None:
    trades = listening()
    trades.heard([trade(60.0, 36, 841_430), trade(119.999, 100_000, 841_435, taker_buy=False)], FIRST * 60 + 120.0)
    told = trades.judged(candle(1, 1.00036, 2), SCALE, NEXT)
    assert told.differs is None
    # 0.00036 x 84143.0 + 1 x 84143.5
    assert told.minute == candle(1, 1.00036, 2, quote_volume=84173.79148, taker_buy_volume=0.00036)


def test_the_minute_of_the_beginning_and_those_before_are_never_told() -> None:
    trades = listening()
    trades.heard([trade(61.0)], FIRST * 60 + 61.0)
    for minute, at in ((-1, NEXT), (0, NEXT), (0, NEXT + 300)):
        assert trades.judged(candle(minute, 2.0, 2), SCALE, at).minute == candle(minute, 2.0, 2)
    assert trades.judged(candle(0, 9.0, 9), SCALE, NEXT + 300).differs is None


def test_a_clock_near_the_minute_s_end_taints_the_next_one_too() -> None:
    trades = TradeMinutes()
    trades.heard([trade(20.0)], FIRST * 60 + 58.5)
    trades.heard([trade(61.0), trade(121.0)], FIRST * 60 + 121.0)
    assert [trades.is_whole(FIRST + minute) for minute in (0, 1, 2)] == [False, False, True]


def test_a_trade_that_is_told_again_counts_once() -> None:
    trades = listening()
    assert trades.heard([trade(70.0), trade(71.0), trade(70.0)], NEXT) == [trade(70.0), trade(71.0)]
    assert trades.heard([trade(71.0), trade(70.0, id="another")], NEXT) == [trade(70.0, id="another")]
    assert trades.judged(candle(1, 3.0, 3), SCALE, NEXT).minute.quote_volume == 300.0


def test_late_trades_complete_a_minute_at_the_next_look() -> None:
    trades = listening()
    trades.heard([trade(70.0)], NEXT)
    row = candle(1, 2.0, 2)
    assert trades.judged(row, SCALE, NEXT) == trades.judged(row, SCALE, NEXT + 1)
    assert trades.judged(row, SCALE, NEXT).minute == row
    trades.heard([trade(80.0), trade(121.0)], NEXT)
    assert trades.judged(row, SCALE, NEXT + 60).minute.quote_volume == 200.0


def test_trades_that_do_not_add_up_are_told_of_once_at_the_next_look_and_never_believed_later() -> None:
    trades = listening()
    trades.heard([trade(70.0), trade(130.0)], NEXT)
    row = candle(1, 2.5, 2)
    assert trades.judged(row, SCALE, NEXT).differs is None
    told = trades.judged(row, SCALE, NEXT + 60)
    assert told.minute == row
    assert told.differs == "trades add up to volume 1 in 1 trades, the candle says 2.5 in 2 trades"
    trades.heard([trade(80.0, 150_000)], NEXT + 61)
    again = trades.judged(row, SCALE, NEXT + 120)
    assert (again.minute, again.differs) == (row, None)


def test_what_the_stream_says_of_a_candle_decides_nothing() -> None:
    trades = listening()
    trades.heard([trade(70.0), trade(130.0)], NEXT)
    assert trades.judged(candle(1, 0.5, 1), SCALE, None).differs is None
    assert trades.judged(candle(1, 1.0), SCALE, None).minute.quote_volume == 100.0
    assert trades.judged(candle(1, 1.0), SCALE, NEXT + 60).minute.quote_volume == 100.0


def test_a_stream_that_says_nothing_more_contradicts_no_candle() -> None:
    trades = listening()
    trades.heard([trade(70.0)], NEXT)
    assert trades.judged(candle(1, 2.5, 2), SCALE, NEXT + 60).differs is None


def test_a_count_that_differs_is_a_difference_though_the_volume_is_equal() -> None:
    trades = listening()
    trades.heard([trade(70.0), trade(130.0)], NEXT)
    assert trades.judged(candle(1, 1.0, 2), SCALE, NEXT + 60).differs is not None


def test_a_candle_without_a_count_gets_it_and_keeps_its_own_quote_volume() -> None:
    trades = listening()
    trades.heard([trade(70.0), trade(71.0, taker_buy=False)], NEXT)
    row = candle(1, 2.0, UNKNOWN_TRADES, quote_volume=200.0, decimals=Scale(1, 5, 1))
    assert trades.judged(row, SCALE, NEXT).minute == replace(row, trades=2, taker_buy_volume=1.0)


def test_a_minute_without_trades_has_volumes_of_zero() -> None:
    trades = listening()
    told = trades.judged(candle(1, 0.0, 0), SCALE, NEXT).minute
    assert (told.quote_volume, told.taker_buy_volume, told.trades) == (0.0, 0.0, 0)


def test_an_interruption_taints_from_the_minute_last_heard_of_to_that_of_the_new_beginning() -> None:
    trades = listening()
    trades.heard([trade(70.0), trade(130.0), trade(200.0)], FIRST * 60 + 200.0)
    trades.interrupted()
    trades.heard([trade(290.0), trade(310.0)], FIRST * 60 + 310.0)
    trades.heard([trade(361.0), trade(421.0)], FIRST * 60 + 421.0)
    assert [trades.is_whole(FIRST + minute) for minute in range(8)] == [
        False, True, True, False, False, False, True, True,
    ]  # fmt: skip


def test_a_stream_that_broke_before_a_minute_was_whole_tells_of_none() -> None:
    trades = listening()
    trades.interrupted()
    trades.interrupted()
    assert not trades.is_whole(FIRST + 1)


def test_a_lost_frame_taints_its_minute_alone() -> None:
    trades = listening()
    trades.taint(FIRST + 2)
    trades.heard([trade(70.0), trade(130.0), trade(190.0)], FIRST * 60 + 200.0)
    assert [trades.is_whole(FIRST + minute) for minute in (1, 2, 3)] == [True, False, True]


def test_trades_of_the_future_are_not_taken_and_old_ones_neither() -> None:
    trades = listening()
    assert trades.heard([trade(3600.0)], FIRST * 60 + 61.0) == []
    assert not trades.is_whole(FIRST + 1)
    late = trade(KEPT_MINUTES * 60 + 61.0)
    assert trades.heard([late, trade(60.0)], FIRST * 60 + KEPT_MINUTES * 60 + 61.0) == [late]


def test_a_quote_volume_that_the_instrument_s_decimals_do_not_hold_is_not_told() -> None:
    trades = listening()
    trades.heard([trade(70.0, 1, 1)], NEXT)
    row = candle(1, 0.00001)
    told = trades.judged(row, Scale(1, 5, 5), NEXT).minute
    assert math.isnan(told.quote_volume)
    assert told.taker_buy_volume == 0.00001
    assert trades.judged(row, SCALE, NEXT).minute.quote_volume == 0.000001
    assert trades.judged(row, Scale(1, 5, 15), NEXT).minute.quote_volume == 0.000001
    large = listening()
    large.heard([trade(70.0, 10**12, 10**9)], NEXT)
    told = large.judged(candle(1, 1e7), SCALE, NEXT).minute
    assert math.isnan(told.quote_volume)
    assert told.taker_buy_volume == 1e7


def test_memory_is_bounded() -> None:
    trades = listening()
    for minute in range(2, 500):
        trades.heard([trade(minute * 60.0)], (FIRST + minute) * 60.0)
        trades.taint(FIRST + minute)
        if minute % 7 == 0:
            trades.interrupted()
    assert len(trades._sums) <= KEPT_MINUTES
    assert len(trades._tainted) <= KEPT_MINUTES
    assert len(trades._clean) <= KEPT_MINUTES


@pytest.mark.parametrize("price_decimals", [0, 1, 3])
@given(data=st.data())
def test_sums_are_exact_in_any_order(price_decimals: int, data: st.DataObject) -> None:
    """Each made value is the double nearest to the exact rational sum."""
    rows = data.draw(
        st.lists(
            st.tuples(st.integers(1, 10**7), st.integers(1, 10**6), st.booleans(), st.integers(60_000, 119_999)),
            min_size=1,
            max_size=60,
        )
    )
    told = [
        Trade(FIRST * 60_000 + at, price / 10**price_decimals, size / 10**5, buy, str(i), Scale(price_decimals, 5))
        for i, (price, size, buy, at) in enumerate(rows)
    ]
    shuffled = data.draw(st.permutations(told))
    trades = listening()
    for one in shuffled:
        trades.heard([one, told[0]], FIRST * 60 + 120.0)
    volume = sum(size for _, size, _, _ in rows)
    row = candle(1, volume / 10**5, len(rows))
    found = trades.judged(row, Scale(price_decimals, 5, price_decimals + 5), NEXT).minute
    quote = sum(price * size for price, size, _, _ in rows)
    if quote >= 10**15:
        assert math.isnan(found.quote_volume)
        return
    assert found.quote_volume == float(Fraction(quote, 10 ** (price_decimals + 5)))
    assert found.taker_buy_volume == float(Fraction(sum(size for _, size, buy, _ in rows if buy), 10**5))
