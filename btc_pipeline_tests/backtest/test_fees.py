"""Accounts and fee tables: what they refuse, and in which words."""

from __future__ import annotations

from datetime import date

import pytest

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.fees import FEES, UNKNOWN_VENUE, Fee, fee_steps, fee_table
from btc_pipeline.errors import UserError
from btc_pipeline.strategies.base import Exits


def test_a_venue_has_its_table_and_another_the_default():
    assert fee_table("HYPERLIQUID") == (Fee(date(2023, 1, 1), 4.5, 1.5),)
    assert fee_table("NOWHERE") == UNKNOWN_VENUE


@pytest.mark.parametrize("table", [*FEES.values(), UNKNOWN_VENUE])
def test_every_table_is_one_that_an_account_takes(table):
    assert Account(fees=table).fees == table


def test_steps_are_minutes_and_fractions():
    assert fee_steps((Fee(date(1970, 1, 2), 4.5, 0.0), Fee(date(1970, 1, 11), 10.0, 0.0))) == (
        [1440, 14400],
        [0.00045, 0.001],
    )


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"capital": 0.0}, "capital", "capital 0.0 is not valid"),
        ({"capital": float("nan")}, "capital", "capital nan is not valid"),
        ({"leverage": 41.0}, "leverage", "give one above 0, 40 at most"),
        ({"size": 2.0}, "size", "size 2 is above leverage 1"),
        ({"notional": -1.0}, "notional", "notional -1.0"),
        ({"slippage_bps": -1.0}, "slippage_bps", "from 0 to 1,000"),
        ({"exits": Exits(stop=0.0)}, "stop", "stop 0.0"),
        ({"exits": Exits(trailing=1.5)}, "trailing", "trailing 1.5"),
        ({"fees": ()}, "fees", "no row"),
        ({"fees": (Fee(date(2020, 1, 1), -1.0, 0.0),)}, "taker_fee_bps", "-1.0"),
        ({"fees": (Fee(date(2020, 1, 1), 1.0, 0.0), Fee(date(2019, 1, 1), 1.0, 0.0))}, "fees", "rows ascend by date"),
        ({"leverage": 40.0, "maintenance_margin": 0.025}, "maintenance_margin", "liquidated as it opens"),
        ({"lot_decimals": 13}, "lot_decimals", "0 to 12"),
    ],
)
def test_values_out_of_bounds_are_refused(given, field, words):
    with pytest.raises(UserError, match=words) as refused:
        Account(**given)
    assert refused.value.field == field
