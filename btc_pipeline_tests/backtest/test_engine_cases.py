"""Single conventions, each on a market of a few bars whose result can be reckoned by hand."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from btc_pipeline.backtest import exits, kernel, metrics
from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.compiled import cache_folder
from btc_pipeline.backtest.engine import CancelReason, ExitReason, simulate
from btc_pipeline.backtest.fees import EPOCH, Fee
from btc_pipeline.backtest.market_data import Funding, MarketData, Minutes, marks_of
from btc_pipeline.market.candles import Scale, empty_candles, minute_candles
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.resampling import resample
from btc_pipeline.strategies.base import FLAT, LONG, NO_OPINION, SHORT, Direction, Exits

DAY = 1440
NO_FEE = (Fee(EPOCH, 0.0, 0.0),)
FREE = {"fees": NO_FEE, "slippage_bps": 0.0, "capital": 1_000.0}
"""Costs nothing, so that 1,000 at a price of 100 is 10 coins."""


def minutes_of(rows):
    """1m candles from {minute: (open, high, low, close)} or {minute: price}."""
    times = sorted(rows)
    table = np.array([rows[t] if isinstance(rows[t], tuple) else (rows[t],) * 4 for t in times], np.float64)
    return minute_candles(Scale(2, 0), np.array(times, np.int64), tuple(table.T.copy()), np.ones(len(times)))


def market(rows, interval="10m", days=range(1), funding=None):
    minutes, grid = minutes_of(rows), Interval.parse(interval)
    slots = range(grid.slot(days.start * DAY), grid.slot(days.stop * DAY))
    bars = resample(minutes, grid, slots)
    return MarketData(bars, days, marks_of(minutes, days), lambda: Minutes.of(minutes), funding)


def targets(*wanted):
    return np.array(wanted, np.int8)


def bars_at(*prices, step=10):
    """A minute of one price at the start of each bar."""
    return {at * step: price for at, price in enumerate(prices)}


def test_an_order_is_filled_at_the_next_open_and_the_last_bar_orders_nothing():
    outcome = simulate(market(bars_at(90, 100, 110, 120)), targets(LONG, LONG, FLAT, LONG), Account(**FREE))
    assert outcome.trades.entry_price.tolist() == [100]
    assert outcome.trades.exit_price.tolist() == [120]
    assert outcome.trades.profit.tolist() == [200]
    assert outcome.equity.tolist() == [1000, 1200]
    assert outcome.bars_held == 2


def test_an_open_position_is_marked_to_the_last_close():
    outcome = simulate(market(bars_at(90, 100, 130)), targets(LONG, LONG, LONG), Account(**FREE))
    assert outcome.trades.reason.tolist() == [ExitReason.OPEN]
    assert outcome.trades.profit.tolist() == [300]
    assert not outcome.trades.closed.any()


def test_no_opinion_keeps_what_is_held():
    outcome = simulate(market(bars_at(90, 100, 110, 120)), targets(LONG, NO_OPINION, NO_OPINION, FLAT), Account(**FREE))
    assert outcome.trades.profit.tolist() == [200]


def test_a_flip_closes_and_opens_at_one_price():
    outcome = simulate(market(bars_at(90, 100, 125, 100)), targets(LONG, SHORT, SHORT, FLAT), Account(**FREE))
    assert outcome.trades.side.tolist() == [1, -1]
    assert outcome.trades.quantity.tolist() == [10, 10]
    assert outcome.trades.profit.tolist() == [250, 250]


def test_a_side_that_the_account_may_not_take_is_flat():
    account = Account(**FREE, direction=Direction.LONG)
    outcome = simulate(market(bars_at(90, 100, 125, 100)), targets(LONG, SHORT, SHORT, FLAT), account)
    assert outcome.trades.side.tolist() == [1]


def test_an_order_before_a_hole_is_cancelled_and_given_again_at_the_next_close():
    rows = {0: 100.0, 30: 100.0, 40: 110.0, 50: 120.0}
    outcome = simulate(market(rows), targets(LONG, LONG, LONG, LONG), Account(**FREE))
    assert outcome.cancelled.tolist() == [[0, CancelReason.HOLE]]
    assert outcome.trades.entry_time.tolist() == [40]


@pytest.mark.parametrize("last", [FLAT, LONG])
def test_after_an_exit_the_account_waits_until_the_opinion_changes(last):
    rows = bars_at(100, 100, 95, 90, 100, 100, 110)
    account = Account(**FREE, exits=Exits(stop=0.05))
    outcome = simulate(market(rows), targets(LONG, LONG, LONG, NO_OPINION, last, LONG, LONG), account)
    assert outcome.trades.reason.tolist()[0] == ExitReason.STOP
    # The flat opinion at the fifth close frees the sixth; without it nothing is bought again.
    assert outcome.trades.entry_time.tolist() == ([10, 60] if last == FLAT else [10])


def test_an_exit_may_lie_in_the_bar_of_the_entry():
    rows = {0: 100.0, 10: 100.0, 14: (99.0, 99.0, 94.0, 96.0), 20: 100.0}
    outcome = simulate(market(rows), targets(LONG, LONG, LONG), Account(**FREE, exits=Exits(stop=0.05)))
    assert outcome.trades.exit_price.tolist() == [95]
    assert outcome.trades.exit_time.tolist() == [14]
    assert outcome.trades.entry_bar.tolist() == outcome.trades.exit_bar.tolist() == [1]


@pytest.mark.parametrize(
    ("side", "minute", "price", "reason"),
    [
        (LONG, (94.0, 96.0, 93.0, 95.0), 94.0, ExitReason.STOP),
        (LONG, (100.0, 106.0, 94.0, 100.0), 95.0, ExitReason.STOP),
        (LONG, (106.0, 107.0, 99.0, 100.0), 106.0, ExitReason.TARGET),
        (LONG, (100.0, 105.0, 96.0, 100.0), 105.0, ExitReason.TARGET),
        (SHORT, (106.0, 107.0, 99.0, 100.0), 106.0, ExitReason.STOP),
        (SHORT, (100.0, 105.0, 94.0, 100.0), 105.0, ExitReason.STOP),
        (SHORT, (94.0, 96.0, 93.0, 95.0), 94.0, ExitReason.TARGET),
    ],
)
def test_in_a_minute_the_stop_is_before_the_target_and_what_opens_beyond_fills_at_the_open(side, minute, price, reason):
    account = Account(**FREE, exits=Exits(stop=0.05, target=0.05))
    outcome = simulate(market({0: 100.0, 10: 100.0, 13: minute}), targets(side, side), account)
    assert outcome.trades.exit_price.tolist() == [price]
    assert outcome.trades.reason.tolist() == [reason]


def test_a_trailing_exit_follows_the_best_price_of_earlier_minutes():
    rows = {0: 100.0, 10: 100.0, 11: (100.0, 120.0, 100.0, 120.0), 12: (118.0, 118.0, 100.0, 100.0)}
    outcome = simulate(market(rows), targets(LONG, LONG), Account(**FREE, exits=Exits(stop=0.5, trailing=0.1)))
    assert outcome.trades.exit_price.tolist() == [108]
    assert outcome.trades.exit_time.tolist() == [12]
    assert outcome.trades.reason.tolist() == [ExitReason.TRAILING]


def test_liquidation_comes_before_a_stop_beyond_it_and_leaves_no_debt():
    rows = {0: 100.0, 10: 100.0, 15: (50.0, 50.0, 50.0, 50.0), 20: 50.0}
    account = Account(**FREE, leverage=10.0, size=10.0, exits=Exits(stop=0.09))
    outcome = simulate(market(rows), targets(LONG, LONG, FLAT), account)
    assert outcome.trades.reason.tolist() == [ExitReason.LIQUIDATION]
    assert outcome.trades.profit.tolist() == [-1000]
    assert outcome.equity.tolist() == [1000, 0]


def test_the_liquidation_price_leaves_the_maintenance_margin():
    for side in (1, -1):
        price = exits.liquidation_price(side, 100.0, 100.0, 1_000.0, 0.0125)
        assert 1_000 + side * 100 * (price - 100) == pytest.approx(0.0125 * 100 * price)


def test_funding_moves_the_liquidation_price_from_the_next_bar_on():
    rows = {0: 100.0, 60: 100.0, 120: 100.0, 125: (80.0, 80.0, 80.0, 80.0), 130: (50.0, 100.0, 50.0, 50.0)}
    account = Account(**FREE, leverage=2.0, size=2.0, maintenance_margin=0.0)
    unpaid = simulate(market(rows, "1h"), targets(LONG, LONG, LONG), account)
    assert unpaid.trades.exit_time.tolist() == [130]
    # Thirty percent of the position's value of 2,000 leave 400, which 20 coins lose at 80.
    funding = Funding(np.array([100], np.int64), np.array([0.3]))
    paid = simulate(market(rows, "1h", funding=funding), targets(LONG, LONG, LONG), account)
    assert paid.trades.exit_time.tolist() == [125]
    assert paid.trades.exit_price.tolist() == [80]


def test_what_is_lost_beyond_the_account_behind_the_last_bar_is_not_owed():
    rows = {37 * 36: 100.0, 37 * 37: 100.0, 38 * 37 + 5: 50.0}
    outcome = simulate(market(rows, "37m"), targets(LONG, LONG), Account(**FREE, leverage=10.0, size=10.0))
    assert outcome.trades.reason.tolist() == [ExitReason.OPEN]
    assert outcome.equity.tolist() == [1000, 0]


def test_a_flip_out_of_a_ruinous_gap_leaves_nothing_to_open_with():
    outcome = simulate(market(bars_at(100, 100, 250, 250)), targets(SHORT, LONG, LONG, LONG), Account(**FREE))
    assert outcome.trades.profit.tolist() == [-1000]
    assert outcome.cancelled.tolist() == [[1, CancelReason.RUINED], [2, CancelReason.RUINED]]
    assert outcome.equity.tolist() == [1000, 0]


def test_the_fee_is_that_of_the_time_of_the_fill_also_within_a_bar():
    # A bar of 37m that crosses midnight, and a stop behind it.
    rows = {37 * 37: 100.0, 38 * 37: 100.0, DAY + 1: (94.0, 94.0, 94.0, 94.0)}
    table = (Fee(EPOCH, 0.0, 0.0), Fee(EPOCH + timedelta(days=1), 100.0, 0.0))
    account = Account(capital=1_000.0, slippage_bps=0.0, fees=table, exits=Exits(stop=0.05))
    outcome = simulate(market(rows, "37m", range(2)), targets(LONG, LONG), account)
    assert outcome.trades.exit_time.tolist() == [DAY + 1]
    assert outcome.trades.fees.tolist() == [pytest.approx(10 * 94.0 * 0.01)]


def test_size_and_its_fee_take_all_of_the_equity_and_quantity_is_cut_to_lots():
    account = Account(capital=1_000.0, slippage_bps=0.0, fees=(Fee(EPOCH, 100.0, 0.0),), lot_decimals=2)
    outcome = simulate(market(bars_at(100, 100, 100)), targets(LONG, LONG, LONG), account)
    assert outcome.trades.quantity.tolist() == [9.9]
    assert outcome.fees == pytest.approx(9.9)


def test_a_fixed_notional_is_the_value_of_the_position_without_its_fee():
    account = Account(capital=1_000.0, slippage_bps=0.0, fees=(Fee(EPOCH, 100.0, 0.0),), notional=500.0)
    outcome = simulate(market(bars_at(100, 100, 100)), targets(LONG, LONG, LONG), account)
    assert outcome.trades.quantity.tolist() == [5]


def test_a_quantity_below_a_lot_is_an_order_too_small():
    outcome = simulate(market(bars_at(5000, 5000, 5000)), targets(LONG, FLAT, FLAT), Account(**FREE, lot_decimals=0))
    assert outcome.cancelled.tolist() == [[0, CancelReason.TOO_SMALL]]


def test_funding_before_an_exit_in_the_same_bar_is_paid_and_behind_it_is_not():
    rows = {0: 100.0, 60: 100.0, 90: (94.0, 94.0, 94.0, 94.0), 119: 94.0}
    funding = Funding(np.array([60, 80, 100], np.int64), np.array([0.5, 0.01, 0.5]))
    data = market(rows, "1h", funding=funding)
    outcome = simulate(data, targets(LONG, LONG), Account(**FREE, exits=Exits(stop=0.05)))
    assert outcome.trades.funding.tolist() == [10]
    assert outcome.trades.profit.tolist() == [-70]


def test_funding_in_a_hole_is_paid_on_the_open_of_the_bar_before_it_and_midnights_know_it():
    rows = {0: 100.0, 60: 100.0, 2 * DAY: 200.0}
    funding = Funding(np.array([DAY - 60], np.int64), np.array([0.01]))
    data = market(rows, "1h", range(3), funding)
    outcome = simulate(data, targets(LONG, LONG, LONG), Account(**FREE))
    assert outcome.equity.tolist() == [1000, 990, 990, 1990]


def test_a_short_position_receives_funding():
    funding = Funding(np.array([90], np.int64), np.array([0.01]))
    outcome = simulate(market({0: 100.0, 60: 100.0}, "1h", funding=funding), targets(SHORT, SHORT), Account(**FREE))
    assert outcome.funding == -10
    assert outcome.equity.tolist() == [1000, 1010]


def test_midnights_before_the_first_minute_hold_the_capital():
    rows = {2 * DAY + at: 100.0 for at in range(0, 40, 10)}
    outcome = simulate(market(rows, days=range(3)), targets(LONG, LONG, LONG, LONG), Account(**FREE))
    assert outcome.equity.tolist() == [1000, 1000, 1000, 1000]


def test_a_fill_at_midnight_is_behind_the_sample_of_midnight():
    rows = {DAY - 20: 100.0, DAY - 10: 100.0, DAY: 110.0, DAY + 10: 120.0}
    outcome = simulate(market(rows, days=range(2)), targets(LONG, FLAT, FLAT, FLAT), Account(**FREE))
    assert outcome.equity.tolist() == [1000, 1000, 1100]


def test_fills_follow_from_month_to_month():
    rows = {date_minute(2024, month, 1): float(100 + month) for month in range(1, 5)}
    first, last = (date_minute(2024, month, 1) // DAY for month in (1, 5))
    outcome = simulate(market(rows, "1M", range(first, last)), targets(LONG, LONG, FLAT, FLAT), Account(**FREE))
    assert outcome.trades.entry_price.tolist() == [102]
    assert outcome.trades.exit_price.tolist() == [104]
    assert len(outcome.cancelled) == 0


def date_minute(year, month, day):
    return (date(year, month, day) - EPOCH).days * DAY


def test_bars_of_one_minute_are_their_own_minutes():
    rows = {0: 100.0, 1: 100.0, 2: (100.0, 100.0, 90.0, 95.0)}

    def unread():
        raise AssertionError("minutes were read")

    made = market(rows, "1m")
    data = MarketData(made.bars, made.days, made.mark, unread)
    outcome = simulate(data, targets(LONG, LONG, LONG), Account(**FREE, exits=Exits(stop=0.05)))
    assert outcome.trades.exit_price.tolist() == [95]


def test_without_bars_nothing_happens():
    data = MarketData(empty_candles(Interval.parse("37m"), Scale(2, 8)), range(3, 5), np.full(2, np.nan), lambda: None)
    outcome = simulate(data, targets(), Account())
    assert len(outcome.trades) == 0
    assert outcome.equity.tolist() == [10_000] * 3


@pytest.mark.parametrize("count", [1, 3])
def test_there_is_one_target_for_every_bar(count):
    with pytest.raises(ValueError, match=f"{count} targets for 2 bars"):
        simulate(market(bars_at(100, 100)), targets(*[LONG] * count), Account())


def test_read_only_and_strided_columns_are_compiled_for_once():
    rows = bars_at(90, 100, 110, 120)
    simulate(market(rows), targets(LONG, LONG, FLAT, LONG), Account(**FREE))
    known = len(metrics.measure_each.signatures)
    data = market(rows)
    for column in (data.bars.time, data.bars.open, data.mark):
        column.flags.writeable = False
    wanted = np.repeat(targets(LONG, LONG, FLAT, LONG), 2)[::2]
    assert simulate(data, wanted, Account(**FREE)).trades.profit.tolist() == [200]
    assert len(metrics.measure_each.signatures) == known


def test_the_numbers_of_reasons_are_the_compiled_ones():
    assert {one.name: one.value for one in ExitReason} == {
        name: getattr(exits, name) for name in ExitReason.__members__
    }
    assert {one.name: one.value for one in CancelReason} == {
        name: getattr(kernel, name) for name in CancelReason.__members__
    }


def test_machine_code_of_other_sources_lies_elsewhere(tmp_path):
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("a = 1")
    other.write_text("b = 1")
    before = cache_folder(tmp_path, (one, other))
    assert cache_folder(tmp_path, (one, other)) == before
    other.write_text("b = 2")
    assert cache_folder(tmp_path, (one, other)) != before
