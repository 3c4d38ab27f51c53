"""Faults at random moments, one by one and mixed: nothing lost, nothing twice, nothing wrong, every hole explained.

`make test-faults` runs more cases; a case is made from its seed alone: FAULT_CASES=1 FAULT_SEED=17 repeats one.
A few are among the quick tests, the others among the proofs.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from btc_pipeline.exchanges.replay import Behaviour, Fault, FaultKind, SyntheticMarket
from btc_pipeline.exchanges.replay.faults import COMMON_KINDS
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.databases import migrated_database
from btc_pipeline_tests.live.cases import FIRST_DAY, RETENTION_MINUTES, Case, case_of, script_of
from btc_pipeline_tests.live.judging import judge_bars, judge_minutes, judge_requests, keep_trail
from btc_pipeline_tests.live.world import World, live, run_for
from btc_pipeline_tests.pipeline.worlds import query

QUICK_CASES = 6
TELLING_CASES = 20
"""So many, one after the other, leave a trace of every kind of fault."""
CASES = int(os.environ.get("FAULT_CASES", str(QUICK_CASES + TELLING_CASES)))
FIRST_SEED = int(os.environ.get("FAULT_SEED", "0"))
SEEDS = range(FIRST_SEED, FIRST_SEED + CASES)


traces: Counter[FaultKind] = Counter()
"""In how many cases a kind of fault left a trace, so that none is injected in vain."""


@pytest.mark.parametrize(
    "seed", [*SEEDS[:QUICK_CASES], *(pytest.param(seed, marks=pytest.mark.proof) for seed in SEEDS[QUICK_CASES:])]
)
def test_whatever_goes_wrong_the_minutes_are_right_in_the_end(
    seed: int, hasty_database: Database, server_uri: str, template: str, tmp_path: Path
) -> None:
    database, case = hasty_database, case_of(seed)
    keep_trail(database)
    world = live(
        database,
        tmp_path,
        case.market,
        script_of(case),
        start=case.start,
        faults=case.faults,
        behaviour=case.behaviour,
        seed=seed,
        settings=case.settings,
    )
    problems = judge_minutes(
        database,
        case.market,
        case.behaviour,
        first=int(case.start // 60) - RETENTION_MINUTES + 2,
        now=case.end,
    )
    starts = [case.start, *(one.at + one.pause for one in case.interruptions)]
    problems += judge_requests(world.exchange, case.faults, starts)
    traces.update(seen_faults(case, world, database))
    with migrated_database(server_uri, template) as other:
        problems += judge_bars(database, other, case.market, case.behaviour, tmp_path)
    assert not problems, "\n".join([str(case), *problems, f"FAULT_CASES=1 FAULT_SEED={seed} make test-faults"])


@pytest.mark.parametrize("kind", [FaultKind.REFUSE, FaultKind.SERVER_ERROR])
def test_what_is_revised_while_rest_does_not_answer_is_found_afterwards(
    kind: FaultKind, hasty_database: Database, tmp_path: Path
) -> None:
    # Minutes that were confirmed up to a quarter of an hour before the outage change in it.
    revised = Fault(FaultKind.LATE_REVISION, at=FIRST_DAY + 600, seconds=900, value=840)
    outage = Fault(kind, at=FIRST_DAY + 1500, seconds=3000)
    assert problems_after(hasty_database, tmp_path, 0, 7240, revised, outage) == []
    assert len(query(hasty_database, "SELECT 1 FROM candles WHERE status = 'revised'")) >= 10


def test_what_is_revised_hours_later_is_found_by_the_daily_audit(hasty_database: Database, tmp_path: Path) -> None:
    start = 86_400 - 2 * 3600
    revised = Fault(FaultKind.LATE_REVISION, at=FIRST_DAY + start + 600, seconds=900, value=5400)
    assert problems_after(hasty_database, tmp_path, start, 86_400 + 910, revised) == []
    assert ("daily audit", 15) in query(hasty_database, "SELECT reason, count(*) FROM candle_revisions GROUP BY 1")


def problems_after(database: Database, folder: Path, start: float, end: float, *faults: Fault) -> list[str]:
    """What is wrong after a collector ran between two moments, in seconds since FIRST_DAY."""
    market, behaviour = SyntheticMarket(4, ("BTC",)), Behaviour(frames_per_minute=12, retention=RETENTION_MINUTES)
    keep_trail(database)
    script = run_for((end - start) / 3600)
    live(database, folder, market, script, start=FIRST_DAY + start, faults=faults, behaviour=behaviour)
    first = int((FIRST_DAY + start) // 60) - RETENTION_MINUTES + 2
    return judge_minutes(database, market, behaviour, first=first, now=FIRST_DAY + end)


def seen_faults(case: Case, world: World, database: Database) -> set[FaultKind]:
    """The kinds of a case whose trace can be found; of a kind that leaves none, that it was injected."""
    counters = world.exchange.counters
    statuses = {request.status for request in counters.requests}
    reasons = " ".join(reason for (reason,) in query(database, "SELECT reason FROM data_quality"))
    revised = query(database, "SELECT 1 FROM candle_revisions LIMIT 1")
    traced = {
        FaultKind.STALL: counters.frames_sent["withheld"],
        FaultKind.DISCONNECT: counters.cuts["fault"],
        FaultKind.HALF_OPEN: counters.cuts["fault"],
        FaultKind.REFUSE: 0 in statuses,
        FaultKind.BAD_GATEWAY: 502 in statuses,
        FaultKind.SERVER_ERROR: 500 in statuses,
        FaultKind.RATE_LIMIT: 429 in statuses,
        FaultKind.GARBAGE: "JSON" in reasons,
        FaultKind.WRONG_ROW: "stream: high" in reasons,
        FaultKind.WRONG_REST_ROW: "REST: high" in reasons,
        FaultKind.LOSE_LAST: revised,
        FaultKind.REORDER: revised,
        FaultKind.LATE_REVISION: revised,
    }
    return {fault.kind for fault in case.faults if traced.get(fault.kind, True)}


@pytest.mark.proof
def test_every_kind_of_fault_left_a_trace() -> None:
    if CASES < TELLING_CASES or not traces:
        pytest.skip("needs the cases above, all of them")
    assert set(COMMON_KINDS) - set(traces) == set()
