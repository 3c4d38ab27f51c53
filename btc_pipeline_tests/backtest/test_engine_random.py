"""Random markets, targets and accounts: the compiled simulation equals the slow one to the bit."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_pipeline.backtest.account import Account
from btc_pipeline.backtest.engine import simulate
from btc_pipeline.backtest.fees import EPOCH, Fee
from btc_pipeline.strategies.base import NO_OPINION, Exits
from btc_pipeline_tests.backtest.recount import Recount
from btc_pipeline_tests.backtest.recount_market import FIRST_DAY, assert_same, made_market

FIRST = EPOCH + timedelta(days=FIRST_DAY)
LATER_FEE = Fee(FIRST + timedelta(days=1), 50.0, 1.5)

fractions = st.none() | st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.5])
accounts = st.builds(
    Account,
    capital=st.sampled_from([100.0, 10_000.0]),
    leverage=st.sampled_from([3.0, 10.0, 40.0]),
    size=st.sampled_from([0.3, 1.0, 3.0]),
    notional=st.none() | st.sampled_from([50.0, 1e6]),
    compounding=st.booleans(),
    fees=st.sampled_from([(Fee(date(1970, 1, 1), 0.0, 0.0),), (Fee(date(1970, 1, 1), 10.0, 1.0), LATER_FEE)]),
    slippage_bps=st.sampled_from([0.0, 10.0]),
    exits=st.builds(Exits, stop=fractions, target=fractions, trailing=fractions),
    maintenance_margin=st.sampled_from([0.0, 0.0125]),
    lot_decimals=st.sampled_from([0, 2, 8]),
)
markets = st.builds(
    made_market,
    seed=st.integers(0, 1 << 32),
    length=st.sampled_from([1, 3, 37, 148, 1440]),
    count=st.integers(1, 3500),
    tick=st.sampled_from([0.5, 0.01]),
    volatility=st.sampled_from([0.2, 1.0, 5.0]),
    missing=st.sampled_from([0.0, 0.1, 0.9]),
    hole=st.sampled_from([0, 50, 1500]),
    offset=st.sampled_from([0, 17, 2000]),
    funding_every=st.sampled_from([0, 60, 480]),
)


def bits(ours: float, theirs: object) -> bool:
    """Equal doubles; the sign of a zero is not looked at."""
    return ours == theirs


@given(markets, accounts, st.integers(0, 1 << 32), st.sampled_from([1, 5, 30]))
@settings(max_examples=300)
def test_the_compiled_simulation_equals_a_plain_one_to_the_bit(market, account, seed, stays):
    random = np.random.default_rng(seed)
    n = len(market.bars)
    changes = random.choice([-1, 0, 1, NO_OPINION], n // stays + 1)
    targets = np.repeat(changes, stays)[:n].astype(np.int8)

    outcome = simulate(market.data, targets, account)
    books = Recount(account, float).run(market.bars, market.minutes, targets.tolist(), market.days, market.funding)

    assert_same(outcome, books, bits)
