"""Budgets: a venue's limits are never passed, on virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.exchanges.budget import Budget
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline.timing.loops import VirtualLoop


def spend_all(units: list[int], limit: int, seconds: float) -> list[tuple[float, int]]:
    """(when, how much) of units asked for at once."""

    async def main() -> list[tuple[float, int]]:
        clock = LoopClock(asyncio.get_running_loop(), 0.0)
        budget, spent = Budget(limit, seconds, clock), []

        async def one(amount: int) -> None:
            await budget.spend(amount)
            spent.append((clock.monotonic(), amount))

        await asyncio.gather(*(one(amount) for amount in units))
        return spent

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@given(st.lists(st.integers(1, 10), min_size=1, max_size=40))
def test_no_window_holds_more_than_the_limit_and_everyone_is_served(units: list[int]) -> None:
    spent = spend_all(units, 10, 60.0)
    assert sorted(amount for _, amount in spent) == sorted(units)
    for start, _ in spent:
        assert sum(amount for at, amount in spent if start <= at < start + 60.0) <= 10


def test_within_the_limit_nobody_waits() -> None:
    assert spend_all([4, 3, 3], 10, 60.0) == [(0.0, 4), (0.0, 3), (0.0, 3)]


def test_what_is_over_the_limit_waits_for_the_window_to_pass() -> None:
    times = [at for at, _ in spend_all([10, 10, 10], 10, 60.0)]
    assert all(60.0 <= later - earlier < 60.1 for earlier, later in pairwise(times))


def test_a_closed_budget_gives_nothing_until_the_pause_is_over() -> None:
    async def main() -> float:
        clock = LoopClock(asyncio.get_running_loop(), 0.0)
        budget = Budget(10, 60.0, clock)
        budget.close(10.0)
        await budget.spend(1)
        return clock.monotonic()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert 10.0 <= runner.run(main()) < 10.1


def test_more_than_a_whole_window_is_an_error_and_not_an_endless_wait() -> None:
    with pytest.raises(ValueError, match="more than the 10"):
        spend_all([11], 10, 60.0)
