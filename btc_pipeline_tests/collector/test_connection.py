"""The stream's connection: what breaks it, how it comes back, and that it never asks for too much."""

from __future__ import annotations

import pytest

from btc_pipeline.collector.connection import DIALS_A_MINUTE
from btc_pipeline.exchanges.replay import Behaviour, Fault, FaultKind
from btc_pipeline_tests.collector.streaming import START, Heard, listen

FIRST = int(START // 60)


def wrong(heard: Heard, symbol: str = "BTC") -> list[int]:
    """Provisional minutes that REST disagrees with, relative to the start."""
    confirmed = heard.confirmed[symbol]
    return [one.time - FIRST for one in heard.provisional[symbol] if not confirmed[one.time].same_values(one)]


def test_every_minute_comes_within_a_second_of_the_next_one_s_first_frame() -> None:
    heard = listen(20, behaviour=Behaviour(frames_per_minute=60))
    assert wrong(heard) == []
    times = [one.time - FIRST for one in heard.provisional["BTC"]]
    # It began at the end of the minute before, which is tainted; the last one may not have a successor yet.
    assert times[:19] == list(range(19))
    delays = [heard.landed_at[time + FIRST] - (time + 1) * 60 for time in times]
    assert sorted(delays)[len(delays) // 2] <= 1.5


def test_a_stream_without_data_but_with_pongs_is_left_while_rest_shows_trades() -> None:
    heard = listen(20, Fault(FaultKind.SILENT_DEATH, at=300, seconds=30))
    assert heard.reasons() == ["no minute of BTC in the stream while REST shows trades"]
    broken = next(at for at, state, _ in heard.states if state == "rest_only")
    assert broken < 300 + 90 + 120
    assert heard.state_at(1200) == "streaming"
    assert wrong(heard) == []


def test_a_half_open_connection_is_given_up_within_fifty_seconds() -> None:
    heard = listen(10, Fault(FaultKind.HALF_OPEN, at=130, seconds=400))
    assert heard.reasons() in (["no frame for 45 s"], ["no pong for 50 s"])
    broken = next(at for at, state, _ in heard.states if state == "rest_only")
    assert 130 + 30 <= broken <= 130 + 50
    assert heard.state_at(600) == "streaming"


def test_pongs_that_stay_away_break_a_connection_that_has_data() -> None:
    heard = listen(10, Fault(FaultKind.NO_PONG, at=130, seconds=100))
    assert heard.reasons()[0] == "no pong for 50 s"
    assert heard.state_at(600) == "streaming"


def test_what_closed_around_a_cut_comes_from_rest_alone() -> None:
    heard = listen(15, Fault(FaultKind.DISCONNECT, at=5 * 60 + 40, seconds=50))
    assert wrong(heard) == []
    stream = {one.time - FIRST for one in heard.provisional["BTC"]}
    assert not stream & {5, 6}
    assert set(range(14)) <= {time - FIRST for time in heard.confirmed["BTC"]}


def test_dials_stay_within_the_budget_however_the_exchange_refuses() -> None:
    heard = listen(60, Fault(FaultKind.DISCONNECT, at=60, seconds=3000))
    dials = list(heard.exchange.counters.dials)
    assert len(dials) > 20
    for at in dials:
        assert sum(at <= other < at + 60 for other in dials) <= DIALS_A_MINUTE
    assert heard.state_at(3600) == "streaming"


def test_a_coin_that_kills_the_connection_is_quarantined_and_the_others_stream_on() -> None:
    heard = listen(15, coins=("BTC", "ETH", "NOPE"))
    assert heard.state_at(900) == "streaming"
    assert len(heard.exchange.counters.dials) == 3
    for symbol in ("BTC", "ETH"):
        assert len(heard.provisional[symbol]) >= 12
        assert wrong(heard, symbol) == []


@pytest.mark.parametrize("kind", [FaultKind.GARBAGE, FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.WRONG_ROW])
def test_strange_frames_break_nothing_and_what_cannot_be_read_is_kept(kind: FaultKind) -> None:
    heard = listen(12, Fault(kind, at=100, seconds=300))
    assert heard.reasons() == []
    assert bool(heard.refused) == (kind in (FaultKind.GARBAGE, FaultKind.WRONG_ROW))
    # A reordered last frame is REST's to add; nothing else that was passed on was wrong.
    assert (wrong(heard) == []) or kind is FaultKind.REORDER


def test_a_clock_that_runs_ahead_here_or_there_moves_no_minute() -> None:
    for seconds in (-20.0, 20.0):
        busy = Behaviour(frames_per_minute=90)
        heard = listen(15, Fault(FaultKind.SKEW, at=200, seconds=400, value=seconds), behaviour=busy)
        assert wrong(heard) == [], seconds
