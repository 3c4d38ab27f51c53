"""How a minute forms, for any minute at all."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.exchanges.replay import Listing, MinuteRow
from btc_pipeline.exchanges.replay.paths import forming_path
from btc_pipeline.exchanges.replay.tape import Tape
from btc_pipeline_tests.exchanges.replay.bench import TableMarket


@st.composite
def rows(draw: st.DrawFn) -> MinuteRow:
    prices = st.integers(1, 10**7)
    open_, close = draw(prices), draw(prices)
    high = max(open_, close) + draw(st.integers(0, 10**5))
    low = max(1, min(open_, close) - draw(st.integers(0, 10**5)))
    volume, trades = draw(st.integers(0, 10**9)), draw(st.integers(0, 400))
    return MinuteRow(100, open_, high, low, close, volume, trades)


@given(row=rows(), frames=st.integers(1, 200), seed=st.integers(0, 2**64 - 1))
def test_a_path_is_monotonic_and_ends_at_the_final_row(row: MinuteRow, frames: int, seed: int) -> None:
    path = forming_path(row, frames, seed)
    assert path == forming_path(row, frames, seed)
    if not row.trades:
        assert path == ()
        return
    assert len(path) == min(frames, row.trades)
    assert path[-1].row == row
    for step in path:
        assert 0 <= step.offset_ms < 60_000
        assert step.row.minute == row.minute
        assert step.row.open == row.open
        assert row.low <= step.row.low <= min(step.row.open, step.row.close)
        assert row.high >= step.row.high >= max(step.row.open, step.row.close)
        assert step.row.trades >= 1
        if row.volume >= row.trades:
            assert step.row.volume >= step.row.trades
    for before, after in pairwise(path):
        assert before.offset_ms <= after.offset_ms
        assert before.row.high <= after.row.high
        assert before.row.low >= after.row.low
        assert before.row.volume <= after.row.volume
        assert before.row.trades < after.row.trades


@given(row=rows().filter(lambda row: row.trades > 0), frames=st.integers(1, 200))
def test_trades_add_up_to_the_row(row: MinuteRow, frames: int) -> None:
    tape = Tape(TableMarket([row]), frames)
    steps = tape.steps("BTC", row.minute)
    trades = [trade for index in range(len(steps)) for trade in tape.trades_of("BTC", row.minute, index)]
    assert len(trades) == row.trades
    assert sum(trade.size for trade in trades) == row.volume
    assert trades[-1].price == row.close
    assert [trade.time_ms for trade in trades] == sorted(trade.time_ms for trade in trades)
    assert all(row.minute * 60_000 <= trade.time_ms < (row.minute + 1) * 60_000 for trade in trades)
    assert all(row.low <= trade.price <= row.high for trade in trades)
    if row.trades >= 4:
        assert trades[0].price == row.open
        if frames >= 4 or frames == 1:
            assert (min(t.price for t in trades), max(t.price for t in trades)) == (row.low, row.high)


def test_listing_of_the_table_is_what_numbers_are_written_with() -> None:
    assert TableMarket([]).listings["BTC"] == Listing("BTC", 1, 5)
