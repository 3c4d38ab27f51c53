"""Grids: what a user may write, what it stands for, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_pipeline.backtest.grid import build_grid, parse_axis
from btc_pipeline.errors import UserError
from btc_pipeline.indicators.parameters import Parameter
from btc_pipeline.market.intervals import Interval
from btc_pipeline.strategies.base import Input
from btc_pipeline.strategies.moving_average import MovingAverage
from btc_pipeline_tests.strategies.made_frames import Crossing

OWN = Interval.parse("37m")


class Macd(Crossing):
    """Its indicator wants fast below slow."""

    name = "macd_cross"
    parameters = (
        Parameter("fast", int, 12, 2, 100, "bars"),
        Parameter("slow", int, 26, 3, 200, "bars"),
        Parameter("share", float, 0.5, 0.0, 1.0, "of something"),
    )

    def inputs(self, p):
        return {"macd": Input("macd", {"fast": p["fast"], "slow": p["slow"]})}


def grid(strategy, *texts):
    return build_grid(strategy, OWN, [parse_axis(text) for text in texts])


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("period=5..8", (5, 6, 7, 8)),
        ("period=5..9:2", (5, 7, 9)),
        ("period=5..10:2", (5, 7, 9)),
        ("period=20,50, 100", (20, 50, 100)),
        ("period=44", (44,)),
        ("share=0.1..0.5:0.1", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("share=0..1:0.5", (0, 0.5, 1)),
        ("share=-1..1", (-1, 0, 1)),
    ],
)
def test_ranges_steps_and_lists(text, values):
    assert parse_axis(text).values == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("period", "is not NAME=VALUES: write period=5..500"),
        ("=5", "is not NAME=VALUES"),
        ("period=", "is not NAME=VALUES"),
        ("period=five", "'five' is not a number"),
        ("period=5..", "'' is not a number"),
        ("period=5..nan", "'nan' is not a number"),
        ("period=5..1e999999", "'1e999999' is not a number"),
        ("period=5..1e12", "values: use 100,000 at most"),
        ("share=0..1:1e-999999", "'1e-999999' is not a number"),
        ("period=9..5", "has no values"),
        ("period=5..9:0", "has no values"),
        ("period=5..9:-1", "has no values"),
        ("period=5,6,5", "has a value twice"),
        ("period=0..1:0.000001", "1,000,001 values: use 100,000 at most"),
    ],
)
def test_what_is_no_axis(text, words):
    with pytest.raises(UserError, match=words):
        parse_axis(text)


def test_the_last_axis_varies_fastest_and_defaults_fill_the_rest():
    found = grid(Macd(), "fast=5,6", "slow=20,30")
    assert [(one["fast"], one["slow"], one["share"]) for one in found.sets] == [
        (5, 20, 0.5),
        (5, 30, 0.5),
        (6, 20, 0.5),
        (6, 30, 0.5),
    ]
    assert [axis.name for axis in found.axes] == ["fast", "slow"]


def test_combinations_that_do_not_go_together_are_counted():
    found = grid(Macd(), "fast=10..40:10", "slow=20,30")
    assert [(one["fast"], one["slow"]) for one in found.sets] == [(10, 20), (10, 30), (20, 30)]
    assert found.refused == 5
    assert "fast 20 is not valid: use less than slow" in found.refusal


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("period=4..500",), "period 4 is not valid: use a whole number from 5 to 500"),
        (("period=5..501",), "period 501 is not valid"),
        (("period=5.5,6",), "period 5.5 is not valid"),
        (("perod=5..9",), "Did you mean period"),
        (("period=5..9", "period=10"), "period is given twice"),
    ],
)
def test_mistakes_are_not_left_out_in_silence(texts, words):
    with pytest.raises(UserError, match=words):
        grid(MovingAverage(), *texts)


def test_a_grid_of_which_nothing_is_accepted():
    with pytest.raises(
        UserError, match="accepts none of the combinations: input 'macd' of strategy macd_cross: macd: fast 50"
    ):
        grid(Macd(), "fast=50,60", "slow=20,30")


def test_too_many_combinations():
    with pytest.raises(UserError, match="combinations are too many: use 100,000 at most"):
        grid(Macd(), "fast=2..100", "slow=3..200", "share=0..1:0.1")


@given(count=st.integers(1, 496), parts=st.integers(1, 600))
def test_parts_together_are_the_whole(count, parts):
    found = grid(MovingAverage(), f"period=5..{4 + count}")
    together = [row for number in range(1, parts + 1) for row in found.part(number, parts)]
    assert together == list(range(count))
    sizes = [len(found.part(number, parts)) for number in range(1, parts + 1)]
    assert max(sizes) - min(sizes) <= 1


def test_a_part_that_is_not_there():
    for number, parts in ((0, 4), (5, 4), (1, 0)):
        with pytest.raises(UserError, match="is not valid: use 1 to"):
            grid(MovingAverage(), "period=5..9").part(number, parts)
