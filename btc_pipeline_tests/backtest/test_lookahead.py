"""`prove`: planted faults are found and called by their names, honest strategies pass, whatever their data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from btc_pipeline.backtest import lookahead
from btc_pipeline.backtest.bar_maker import BarMaker
from btc_pipeline.backtest.lookahead import Fault, chosen_bars, prove
from btc_pipeline.market.intervals import Interval
from btc_pipeline.market.warm_up import WarmBars, WarmUp
from btc_pipeline.strategies.base import Opinions
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.registry import load_strategies
from btc_pipeline_tests.backtest import peeking_strategies as peeking
from btc_pipeline_tests.backtest.honest_strategies import HONEST, HalfHours
from btc_pipeline_tests.backtest.peeking_strategies import PEEKING
from btc_pipeline_tests.strategies.made_frames import torn_minutes

pytestmark = pytest.mark.proof

FIVE = Interval.parse("5m")
MINUTES = torn_minutes(1, 3_000, start=400_000)


def at_work(cls, interval=FIVE):
    strategy = cls()
    return StrategyOnInterval(strategy, strategy.resolve({}), interval)


def maker_of(one, minutes=MINUTES):
    start, end = int(minutes.time[0]), int(minutes.time[-1]) + 1
    return BarMaker(minutes, {i: range(i.slot(start), i.slot(end)) for i in one.lookbacks()})


def proof_of(cls, minutes=MINUTES, **how):
    one = at_work(cls)
    return prove(one, maker_of(one, minutes), **how)


def test_the_data_has_holes_and_enough_bars():
    bars = maker_of(at_work(HalfHours)).frames()[FIVE]
    assert len(bars) > 500
    assert not bars.usable.all()
    assert np.any(np.diff(bars.slot) > 1)


@pytest.mark.parametrize("cls", PEEKING, ids=lambda cls: cls.__name__)
def test_a_fault_is_found_and_called_by_its_name(cls):
    found = proof_of(cls).difference
    assert found is not None
    assert found.fault == cls.fault, found
    assert found.whole != found.part


@pytest.mark.parametrize("cls", HONEST, ids=lambda cls: cls.__name__)
def test_an_honest_strategy_passes(cls):
    proof = proof_of(cls)
    assert proof.difference is None
    assert proof.windows == proof.bars > 500
    assert proof.prefixes == lookahead.PREFIXES
    assert proof.futures == 2 * lookahead.FUTURES


def test_rare_leaks_are_rare():
    for cls in (peeking.RareLeak, peeking.RareRise, peeking.LastBar, peeking.RolledWrap):
        found = proof_of(cls).difference
        assert 1 <= found.bars <= 0.02 * 600 or cls is peeking.LastBar


def test_a_difference_says_where_it_is_and_gives_both_values():
    found = proof_of(peeking.NextClose).difference
    bars = maker_of(at_work(peeking.NextClose)).frames()[FIVE]
    at = int(np.searchsorted(bars.time, found.time))
    assert bars.time[at] == found.time
    assert found.known == bars.close_time[at]
    rises = bars.close[at + 1] > bars.close[at]
    assert (found.field, found.whole, found.part) == ("target", 1 if rises else -1, -1)


def test_other_intervals_and_other_data():
    for interval, seed in (("3m", 1), ("15m", 2), ("37m", 3)):
        minutes = torn_minutes(seed, 20 * Interval.parse(interval).minutes + 900)
        for cls in (HalfHours, peeking.CloseOfTheDay, peeking.CentredWindow):
            one = at_work(cls, Interval.parse(interval))
            found = prove(one, maker_of(one, minutes)).difference
            assert (found is None) == (cls is HalfHours), found


def test_a_warm_up_is_part_of_what_is_replayed():
    until = 400_060
    warm_minutes = torn_minutes(6, 3_000, start=400_000 - 1_000)
    for cls in (HalfHours, peeking.NextClose):
        one = at_work(cls)
        maker = maker_of(one)
        start, end = 399_000, until
        warm = {i: range(i.slot(start), i.slot(end)) for i in one.lookbacks()}
        warm_bars = WarmBars(WarmUp("OTHER.VENUE", until), replace(maker, minutes=warm_minutes, slots=warm).frames())
        proof = prove(one, maker, warm_bars=warm_bars)
        assert (proof.difference is None) == (cls is HalfHours), proof.difference
        whole = one.decide(maker.frames(), range(10**6), warm_bars)
        assert whole.warmed.any()


@pytest.mark.parametrize("most", [1, 2, 20, 200, 10_000])
def test_of_many_bars_the_last_and_those_where_the_target_changes_are_chosen_first(most):
    target = np.repeat(np.array([0, 1, -1, 1], np.int8), [300, 100, 200, 400])
    chosen = chosen_bars(target, most)
    assert len(chosen) == min(most, 1_000)
    assert np.all(np.diff(chosen) > 0)
    assert chosen[-1] == 999
    if most >= 4:
        assert {300, 400, 600} <= set(chosen.tolist())
    assert chosen.tolist() == chosen_bars(target, most).tolist()


def test_once_a_fault_is_found_the_look_ends_soon(monkeypatch):
    whole = proof_of(HalfHours).windows
    proof = proof_of(peeking.NextClose)
    assert proof.difference.bars == lookahead.ENOUGH
    assert proof.difference.of == proof.windows < whole / 4
    assert (proof.prefixes, proof.futures) == (1, 0)
    failing = proof_of(peeking.FailsOnFew)
    assert failing.difference.of == failing.windows < whole
    rare = proof_of(peeking.RareRise)
    assert rare.windows == whole
    monkeypatch.setattr(lookahead, "MOST_BEHIND", 20)
    sooner = proof_of(peeking.RareRise)
    assert sooner.difference.of == sooner.windows < whole
    assert replace(sooner.difference, bars=0, of=0) == replace(rare.difference, bars=0, of=0)


def test_fewer_windows_are_fewer():
    proof = proof_of(HalfHours, cuts=50)
    assert proof.windows == 50
    assert proof.difference is None
    assert proof_of(peeking.NextClose, cuts=50).difference.fault == Fault.LOOK_AHEAD


def test_progress_ends_with_all():
    told = []
    proof_of(HalfHours, cuts=300, progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 300), (256, 300), (300, 300)]


def test_a_strategy_is_left_as_it_was_found():
    peeking.RISES.clear()
    proof_of(peeking.RemembersByTime)
    proof_of(peeking.RemembersInItsModule)
    assert peeking.RemembersByTime.known == {}
    assert peeking.RISES == {}


def test_what_a_strategy_keeps_in_a_file_beside_it_is_forgotten_too(tmp_path):
    (tmp_path / "_memory.py").write_text(
        "RISES = {}\ndef first_answer(time, up):\n    return RISES.setdefault(time, up)\n"
    )
    (tmp_path / "sly.py").write_text(
        "import numpy as np\n"
        "from btc_pipeline.strategies import LONG, SHORT, Opinions, Strategy\n"
        "from ._memory import first_answer\n"
        "class Sly(Strategy):\n"
        "    name, display_name, description = 'sly', 'Sly', 'Remembers elsewhere.'\n"
        "    def inputs(self, p):\n"
        "        return {}\n"
        "    def decide(self, view, p):\n"
        "        close = view.bars.close\n"
        "        ahead = (np.append(close[1:], close[-1:]) > close).tolist()\n"
        "        up = np.array([first_answer(t, one) for t, one in zip(view.bars.time.tolist(), ahead, strict=True)])\n"
        "        return Opinions(np.where(up, LONG, SHORT).astype(np.int8), np.ones(len(up)), [])\n"
    )
    strategy = load_strategies(tmp_path).get("sly")
    one = StrategyOnInterval(strategy, {}, FIVE)
    found = prove(one, maker_of(one)).difference
    assert found is not None
    assert found.fault == Fault.LOOK_AHEAD


def test_an_answer_that_cannot_be_used_is_told_in_its_own_words():
    class Short(HalfHours):
        def decide(self, view, p):
            return Opinions(np.ones(3, np.int8), np.ones(3), [])

    found = proof_of(Short).difference
    assert found is not None
    assert found.fault == Fault.FAILS
    assert "answered for 3 bars instead of " in str(found.part)


def test_no_bars_prove_nothing_and_break_nothing():
    proof = proof_of(HalfHours, MINUTES.take(slice(0, 1)))
    assert (proof.bars, proof.difference) == (0, None)
