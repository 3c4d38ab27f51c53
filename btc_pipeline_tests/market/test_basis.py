"""The basis of two symbols and its alerts, against a count by hand."""

from __future__ import annotations

from fractions import Fraction
from statistics import median

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from btc_pipeline.market.basis import LEAST_MINUTES, Alert, BasisRule, Closes, basis_of, find_alerts
from btc_pipeline.market.candles import Scale, minute_candles

FIRST = 29_700_000
RULE = BasisRule()


def closes(prices: dict[int, float], decimals: int = 2) -> Closes:
    """Closes by minute since FIRST."""
    time = np.array(sorted(prices), np.int64)
    return Closes(time + FIRST, np.array([prices[minute] for minute in sorted(prices)], np.float64), decimals)


def apart(bps: dict[int, int], price: int = 10_000) -> tuple[Closes, Closes]:
    """Two symbols so many basis points apart."""
    return closes({m: price + price * n / 10_000 for m, n in bps.items()}), closes(dict.fromkeys(bps, float(price)))


def alerts(bps: dict[int, int], rule: BasisRule = RULE) -> list[tuple[int, int, float, float]]:
    """(start, end since FIRST, basis, median)."""
    found = find_alerts(basis_of(*apart(bps), rule), rule)
    return [(one.start - FIRST, one.end - FIRST, one.bps, one.median) for one in found]


def calm(count: int, bps: int = 3) -> dict[int, int]:
    return dict.fromkeys(range(count), bps)


def test_three_minutes_of_more_than_thirty_points_are_an_alert() -> None:
    assert alerts(calm(100) | {70: 34, 71: 45, 72: 34}) == [(70, 73, 45.0, 3.0)]
    assert alerts(calm(100) | {70: -28, 71: -28, 72: -45}) == [(70, 73, -45.0, 3.0)]


def test_thirty_points_exactly_and_two_minutes_are_none() -> None:
    assert alerts(calm(100) | {70: 33, 71: 33, 72: 33, 73: 33}) == []
    assert alerts(calm(100) | {70: -27, 71: -27, 72: -27}) == []
    assert alerts(calm(100) | {70: 34, 71: 34, 72: 33, 73: 34, 74: 34}) == []


@pytest.mark.parametrize("price", [100, 12_345, 84_143, 99_999])
def test_thirty_points_are_thirty_whatever_the_price(price: int) -> None:
    both = closes({0: price * 1.003}, 3), closes({0: float(price)}, 0)
    assert basis_of(*both, RULE).bps.tolist() == [30.0]


def test_a_missing_minute_breaks_a_run() -> None:
    far = calm(100) | dict.fromkeys(range(70, 76), 50)
    del far[72]
    assert alerts(far) == [(73, 76, 50.0, 3.0)]


def test_without_an_hour_before_it_nothing_is_an_alert() -> None:
    assert LEAST_MINUTES == 60
    far = calm(60) | dict.fromkeys(range(57, 63), 50)
    assert alerts(far) == [(60, 63, 50.0, 3.0)]
    del far[0]
    assert alerts(far) == []


def test_a_shorter_median_needs_only_its_own_minutes() -> None:
    assert alerts(calm(10) | dict.fromkeys(range(10, 13), 50), BasisRule(median_minutes=10)) == [(10, 13, 50.0, 3.0)]


def test_minutes_that_are_too_old_are_no_part_of_the_median() -> None:
    basis = basis_of(*apart(calm(60, 8) | {60 + m: 3 for m in range(60)} | {200: 3}), BasisRule(median_minutes=100))
    assert basis.median[110] == (8.0 + 3.0) / 2
    assert np.isnan(basis.median[120])


def test_a_quiet_minute_has_no_close() -> None:
    flat = np.array([100.0, 101.0])
    minutes = minute_candles(Scale(1, 3), np.array([7, 8]), (flat, flat, flat, flat), np.array([0.0, 1.0]))
    assert Closes.of(minutes).time.tolist() == [8]


def test_nothing_in_common_is_no_basis() -> None:
    empty = closes({})
    for pair in ((empty, empty), (closes({0: 1.0}), empty), (closes({0: 1.0}), closes({1: 1.0}))):
        basis = basis_of(*pair, RULE, since=FIRST)
        assert len(basis.time) == 0
        assert find_alerts(basis, RULE) == []


Prices = dict[int, int]
RULES = st.builds(BasisRule, st.sampled_from([5.0, 30.0, 60.0]), st.integers(1, 4), st.integers(10, 150))


@st.composite
def prices(draw: st.DrawFn) -> Prices:
    """Most minutes of 150; twenty in a row are far from the others."""
    random = draw(st.randoms(use_true_random=False))
    present, step = draw(st.sampled_from([1.0, 0.95, 0.6])), draw(st.sampled_from([1, 50, 500]))
    far = draw(st.integers(0, 150))
    return {
        minute: 100_000 + random.randint(-step, step) + (700 if far <= minute < far + 20 else 0)
        for minute in range(150)
        if random.random() < present
    }


def by_hand(
    first: Prices, second: Prices, rule: BasisRule
) -> tuple[dict[int, tuple[float, float | None]], list[Alert]]:
    """(basis, median) by minute, and the alerts."""
    common = sorted(first.keys() & second.keys())
    bps = {m: float(Fraction(first[m] - second[m], second[m]) * 10_000) for m in common}
    rows: dict[int, tuple[float, float | None]] = {}
    for m in common:
        before = [bps[n] for n in common if m - rule.median_minutes <= n < m]
        rows[m] = bps[m], median(before) if len(before) >= min(60, rule.median_minutes) else None
    found: list[Alert] = []
    run: list[tuple[int, float, float]] = []
    for m in range(152):
        value, middle = rows.get(m, (0.0, None))
        if middle is not None and abs(value - middle) > rule.alert_bps:
            run.append((m, value, middle))
            continue
        if len(run) >= rule.alert_minutes:
            worst = max(run, key=lambda one: abs(one[1] - one[2]))
            found.append(Alert(FIRST + run[0][0], FIRST + run[-1][0] + 1, worst[1], worst[2]))
        run = []
    return rows, found


@given(prices(), prices(), RULES)
def test_all_of_it_equals_a_count_by_hand(first: Prices, second: Prices, rule: BasisRule) -> None:
    basis = basis_of(
        closes({m: p / 10 for m, p in first.items()}, 1), closes({m: p / 10 for m, p in second.items()}, 3), rule
    )
    rows, found = by_hand(first, second, rule)
    assert (basis.time - FIRST).tolist() == list(rows)
    told = zip(basis.bps.tolist(), [None if np.isnan(m) else m for m in basis.median.tolist()], strict=True)
    assert list(told) == list(rows.values())
    assert find_alerts(basis, rule) == found
    event(f"{min(len(found), 2)} alerts")


@given(prices(), prices(), RULES, st.integers(0, 150), st.integers(0, 150))
def test_no_minute_depends_on_later_ones_nor_on_where_one_begins_to_look(
    first: Prices, second: Prices, rule: BasisRule, since: int, until: int
) -> None:
    whole = basis_of(closes(first, 0), closes(second, 0), rule)  # type: ignore[arg-type]
    part = basis_of(
        closes({m: p for m, p in first.items() if m < until}, 0),
        closes({m: p for m, p in second.items() if m < until}, 0),
        rule,
        since=FIRST + since,
    )
    wanted = (whole.time >= FIRST + since) & (whole.time < FIRST + until)
    for name in ("time", "bps", "median"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[wanted])
