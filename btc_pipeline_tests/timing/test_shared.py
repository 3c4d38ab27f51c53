"""A time that processes share, by way of an environment variable."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.timing import loops
from btc_pipeline.timing.clock import SystemClock
from btc_pipeline.timing.shared import SharedTime, loop_and_clock_from_environment, shared_time


@pytest.mark.parametrize(
    "shared",
    [
        SharedTime(1.0, 1_790_232_180.0, 1_679_270_400.0),
        SharedTime(0.5, 1_790_232_180.123456, 0.1),
        SharedTime(250, 0, 0),
    ],
)
def test_what_is_written_is_read_back_to_the_bit(shared: SharedTime) -> None:
    assert SharedTime.parse(shared.text) == shared
    assert shared_time({"BTC_PIPELINE_CLOCK": shared.text}) == shared


def test_text_is_short_where_the_numbers_are_whole() -> None:
    assert SharedTime(10.0, 1_790_232_180.0, 1_679_270_400.5).text == "10@1790232180@1679270400.5"


@pytest.mark.parametrize("text", ["x", "1@2", "1@2@3@4", "0@1@1", "-1@1@1", "nan@1@1", "1@inf@1", "1@1@-5", "1@1@"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"BTC_PIPELINE_CLOCK {text!r} is not SPEED@STARTED@EPOCH")):
        shared_time({"BTC_PIPELINE_CLOCK": text})


def test_without_the_variable_time_is_the_machines() -> None:
    for environment in ({}, {"BTC_PIPELINE_CLOCK": ""}):
        make_loop, make_clock = loop_and_clock_from_environment(environment)
        with asyncio.Runner(loop_factory=make_loop) as runner:
            assert isinstance(make_clock(runner.get_loop()), SystemClock)


def test_processes_that_begin_at_different_moments_agree_on_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = {"BTC_PIPELINE_CLOCK": SharedTime(64.0, 1_790_232_180.0, 1_679_270_400.0).text}
    clocks = []
    for machine, booted_for in ((1_790_232_190.0, 500.0), (1_790_232_200.0, 20.0)):
        set_clocks(monkeypatch, machine, booted_for)
        make_loop, make_clock = loop_and_clock_from_environment(variable)
        loop = make_loop()
        clocks.append((make_clock(loop), booted_for - machine))
        loop.close()
    for clock, offset in clocks:
        set_clocks(monkeypatch, 1_790_232_300.0, 1_790_232_300.0 + offset)
        assert clock.now() == 1_679_270_400 + 120 * 64


def set_clocks(monkeypatch: pytest.MonkeyPatch, machine: float, booted_for: float) -> None:
    """What `time.time()` and `time.monotonic()` say to the loops."""
    fixed = SimpleNamespace(time=lambda: machine, monotonic=lambda: booted_for)
    monkeypatch.setattr(loops, "time", fixed)
