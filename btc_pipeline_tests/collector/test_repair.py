"""Repair: gaps are filled from REST, or explained; what is asked, and how often."""

from __future__ import annotations

import asyncio

import pytest

from btc_pipeline.collector.repair import repair
from btc_pipeline.collector.store import Landed
from btc_pipeline.exchanges.base import History, Unreadable, VenueUnavailableError
from btc_pipeline.exchanges.provider import Outage
from btc_pipeline.market.candles import Scale
from btc_pipeline.market.gaps import GapReason
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.pipeline.repair import repair_days
from btc_pipeline_tests.collector.made_landings import (
    DAY,
    FIRST,
    SCALE,
    SYMBOL,
    forget_touches,
    gaps,
    landing,
    minute,
    rows,
    stored,
    touched,
    versions,
)
from btc_pipeline_tests.pipeline.worlds import small_settings

pytestmark = pytest.mark.timescale

NOW = FIRST + 1000
DOWN = GapReason.COLLECTOR_DOWN


class FakeRest:
    """A venue that has every minute but those it omits, and the forming one."""

    venue = "HYPERLIQUID"
    retention_minutes = 5000

    def __init__(self, now=NOW):
        self.now = now
        self.omitted = set()
        self.changed = {}
        self.unreadable = []
        self.away = False
        self.asked = []
        self.times_asked = 0
        self.closed = False

    async def history(self, coin, start, end):
        self.asked.append((start - FIRST, end - FIRST))
        if self.away:
            raise VenueUnavailableError("no answer within 10 s")
        has = range(max(start, self.now - self.retention_minutes + 1), self.now + 1)
        told = [self.changed.get(one, minute(one)) for one in has if one <= end + 1 and one - FIRST not in self.omitted]
        return History(told, self.unreadable)

    async def time(self):
        self.times_asked += 1
        if self.away:
            raise VenueUnavailableError("no answer within 10 s")
        return self.now * 60.0 + 12.0

    async def close(self):
        self.closed = True


class StandingClock:
    def __init__(self, now=NOW):
        self.seconds = now * 60.0

    def now(self):
        return self.seconds


@pytest.fixture
def rest():
    return FakeRest()


async def fill(store, without=(), until=1000):
    """Lands the minutes since FIRST but some."""
    await store.land(SYMBOL, [landing(FIRST + n) for n in range(until) if n not in set(without)])


async def run(store, rest, clock=None, **options):
    clock = clock or StandingClock(rest.now)
    return await repair(store, rest, SYMBOL, "BTC", clock=clock, now_minute=rest.now, **{"reason": DOWN} | options)


async def test_a_gap_is_filled_with_one_request_and_resolved(store, database, rest):
    await fill(store, without=range(100, 140))
    report = await run(store, rest)
    assert (report.found, report.requests, report.missing, report.error) == (40, 1, 0, None)
    assert report.landed == Landed(added=40, unchanged=2)
    assert rest.asked == [(99, 141)]
    assert [row[0] for row in stored(database)] == list(range(1000))
    assert {row[-1] for row in stored(database)} == {"confirmed"}
    assert (gaps(database), gaps(database, resolved=True)) == ([], [(100, 140, "collector_down", 0)])


async def test_without_a_gap_nothing_is_asked_and_nothing_written(store, database, rest):
    await fill(store)
    before = versions(database)
    report = await run(store, rest)
    assert (report.found, report.requests, rest.asked) == (0, 0, [])
    assert versions(database) == before


async def test_near_gaps_are_asked_for_together_and_far_ones_apart(store, rest):
    rest.now = FIRST + 4000
    await fill(store, without=[10, 11, 500, 3000, *range(3500, 3600)], until=4000)
    report = await run(store, rest)
    assert rest.asked == [(9, 502), (2999, 3601)]
    assert (report.found, report.missing) == (104, 0)


async def test_a_request_is_never_larger_than_five_thousand_minutes(store, rest):
    rest.retention_minutes, rest.now = 20_000, FIRST + 12_000
    await fill(store, without=range(100, 11_900), until=12_000)
    report = await run(store, rest)
    assert rest.asked == [(99, 5099), (5099, 10099), (10099, 11901)]
    assert (report.found, report.missing) == (11_800, 0)


async def test_while_rest_is_away_gaps_say_so_and_are_asked_for_again(store, database, rest):
    await fill(store, without=[100])
    rest.away = True
    report = await run(store, rest)
    assert (report.error, report.missing) == ("no answer within 10 s", 1)
    assert gaps(database) == [(100, 101, "fetch_failed", 1)]
    rest.away = False
    clock = StandingClock()
    clock.seconds += 20
    assert (await run(store, rest, clock)).requests == 0
    clock.seconds += 40
    assert (await run(store, rest, clock)).missing == 0


async def test_a_minute_that_rest_leaves_out_is_late_and_after_a_day_the_exchange_was_down(store, database, rest):
    await fill(store, without=range(100, 103))
    rest.omitted = {100, 102}
    await run(store, rest)
    assert gaps(database) == [(100, 101, "late_publish", 1), (102, 103, "late_publish", 1)]
    rest.now = FIRST + 103 + 1440
    await run(store, rest)
    assert gaps(database) == [(100, 101, "exchange_downtime", 2), (102, 103, "exchange_downtime", 2)]
    asked = len(rest.asked)
    rest.now += 100
    assert (await run(store, rest)).requests == 0
    rest.omitted = set()
    assert (await run(store, rest, force=True)).missing == 0
    assert len(rest.asked) == asked + 1


async def test_a_known_outage_is_explained_and_never_asked_for(store, database, rest):
    await fill(store, without=[*range(100, 110), *range(200, 260), 300])
    outages = [Outage(FIRST + 200, FIRST + 260, "said so"), Outage(FIRST + 105, FIRST + 120, "said so")]
    rest.omitted = set(range(200, 260))
    report = await run(store, rest, outages=outages, force=True)
    assert (report.missing, rest.asked) == (60, [(99, 302)])
    assert gaps(database) == [(200, 260, "exchange_downtime", 0)]
    for _ in range(2):
        await run(store, rest, outages=outages, force=True)
    assert len(rest.asked) == 1
    assert gaps(database) == [(200, 260, "exchange_downtime", 0)]


async def test_a_recent_gap_is_tried_every_five_minutes_and_an_older_one_every_fifteen(store, rest):
    await fill(store, without=[100, 990])
    rest.omitted = {100, 990}
    clock = StandingClock()
    asked = []
    for _ in range(7):
        await run(store, rest, clock)
        asked.append(rest.asked)
        rest.asked = []
        clock.seconds += 300
    both, recent = [(99, 992)], [(989, 992)]
    assert asked == [both, recent, recent, both, recent, recent, both]


async def test_quiet_minutes_are_vouched_for_a_quarter_of_an_hour_after_their_close(store, database, rest):
    await fill(store, without=[100, 970, 985, *range(300, 481)], until=1000)
    rest.omitted = {100, 970, 985, *range(300, 481)}
    forget_touches(database)
    report = await run(store, rest, omitted="quiet")
    assert report.vouched == 2
    assert gaps(database) == [(300, 481, "late_publish", 1), (985, 986, "late_publish", 1)]
    assert touched(database) == {0: 100}
    assert rows(database, "SELECT DISTINCT source FROM vouched_minutes") == [("HYPERLIQUID: REST leaves it out",)]
    rest.now = FIRST + 1001
    await run(store, rest, omitted="quiet", force=True)
    assert gaps(database) == [(300, 481, "late_publish", 2)]


async def test_what_rest_has_not_told_of_yet_is_not_taken_for_quiet(store, database, rest):
    await fill(store, without=[900])
    rest.omitted = set(range(900, 1001))
    report = await run(store, rest, omitted="quiet")
    assert (report.vouched, gaps(database)) == (0, [(900, 901, "late_publish", 1)])


async def test_a_gap_that_the_venue_cannot_give_any_more_is_beyond_retention_and_not_asked_for(store, database, rest):
    await fill(store, without=[10])
    rest.now = FIRST + 11 + 5000
    report = await run(store, rest)
    assert (report.requests, report.missing) == (0, 1)
    assert gaps(database) == [(10, 11, "beyond_retention", 0)]
    assert (await run(store, rest, force=True)).requests == 0


async def test_of_a_gap_across_the_edge_what_is_still_there_is_filled(store, database, rest):
    await fill(store, without=range(10, 30))
    rest.now = FIRST + 20 + 4999
    await run(store, rest)
    assert gaps(database) == [(10, 20, "beyond_retention", 0)]
    assert [row[0] for row in stored(database)][8:12] == [8, 9, 20, 21]


async def test_rows_that_are_forming_never_land(store, rest):
    await fill(store, without=[998])
    rest.changed[NOW] = minute(NOW, close=1.0)
    await run(store, rest)
    assert await store.bounds(SYMBOL) == (FIRST, NOW - 1)


async def test_rows_that_may_not_be_are_rejected_and_finer_ones_widen_the_instrument(store, database, rest):
    await fill(store, without=[100, 101, 102])
    rest.changed = {
        FIRST + 100: minute(FIRST + 100, decimals=Scale(3, 2, 0)),
        FIRST + 101: minute(FIRST + 101, volume=-1.0),
    }
    rest.unreadable = [Unreadable("no number", "{}", FIRST + 102)]
    rest.omitted = {102}
    report = await run(store, rest)
    assert (report.rejected, report.missing) == (2, 2)
    assert await store.instrument_scale(SYMBOL) == Scale(3, 5, 8)
    reasons = rows(database, "SELECT reason FROM data_quality WHERE kind = 'rejected_row' ORDER BY start_time")
    assert reasons == [("REST: volume is not negative",), ("no number",)]
    rest.changed, rest.unreadable, rest.omitted = {}, [], set()
    await run(store, rest, force=True)
    assert rows(database, "SELECT count(*) FROM data_quality WHERE NOT resolved") == [(0,)]


async def test_a_gap_of_sixty_hours_is_warned_of_once(store, database, rest):
    await fill(store, without=[100])
    rest.away, rest.now = True, FIRST + 100 + 3600
    warnings = "SELECT reason, retries FROM data_quality WHERE kind = 'anomaly'"
    await run(store, rest)
    assert rows(database, warnings) == []
    for _ in range(3):
        rest.now += 10
        await run(store, rest)
    words = "a gap is not filled after 60 h; the exchange gives minutes for 83 h"
    assert rows(database, warnings) == [(words, 2)]


async def test_a_reason_that_is_known_is_kept_and_one_that_is_not_is_given(store, database, rest):
    await fill(store, without=[100, 500])
    rest.away = True
    await store.record_gaps(SYMBOL, range(DAY, DAY + 1), reason=GapReason.UNKNOWN)
    assert [row[2] for row in gaps(database)] == ["unknown", "unknown"]
    (first, _) = await store.record_gaps(SYMBOL, range(DAY, DAY + 1), reason=DOWN)
    await store.explain_gaps(SYMBOL, [first], GapReason.EXCHANGE_DOWNTIME)
    assert [row[2] for row in gaps(database)] == ["exchange_downtime", "collector_down"]
    await store.record_gaps(SYMBOL, range(DAY, DAY + 1), reason=GapReason.LATE_PUBLISH)
    assert [row[2] for row in gaps(database)] == ["exchange_downtime", "collector_down"]


INSTRUMENT = Instrument(SYMBOL, "HYPERLIQUID", "BTC", SCALE)


async def in_thread(function, *arguments):
    """As Dagster calls it: from a thread without a loop."""

    return await asyncio.to_thread(function, *arguments)


@pytest.mark.parametrize("feed", ["live", "replay"])
async def test_days_are_repaired_from_the_venue_that_the_instrument_is_of(store, database, rest, feed):
    await fill(store, without=range(100, 200))
    settings = small_settings(feed=feed)
    days = range(DAY, DAY + 1)
    if feed == "live":
        # The machine's own clock decides what a live venue may still have.
        rest.retention_minutes = 10**8
    report = await in_thread(repair_days, settings, database.uri, INSTRUMENT, days, lambda *_: rest)
    assert (report.found, report.missing, report.requests) == (100, 0, 1)
    assert (rest.times_asked, rest.closed) == (1, True)
    report = await in_thread(repair_days, settings, database.uri, INSTRUMENT, days, lambda *_: rest)
    assert (report.found, rest.times_asked, len(rest.asked)) == (0, 1, 1)


async def test_days_that_a_live_venue_has_no_more_cost_no_request(store, database, rest):
    await fill(store, without=range(100, 200))
    days = range(DAY, DAY + 1)
    assert rows(database, "SELECT extract(epoch FROM now()) / 60 - 5000 > %s", FIRST + 1440) == [(True,)]
    report = await in_thread(repair_days, small_settings(), database.uri, INSTRUMENT, days, lambda *_: rest)
    assert (report.found, report.error, rest.times_asked, rest.asked) == (0, None, 0, [])


async def test_a_venue_or_a_database_that_is_away_is_reported(store, database, rest):
    await fill(store, without=range(100, 200))
    rest.away, rest.retention_minutes = True, 10**8
    days = range(DAY, DAY + 1)
    report = await in_thread(repair_days, small_settings(), database.uri, INSTRUMENT, days, lambda *_: rest)
    assert report.error == "no answer within 10 s"
    nowhere = "postgresql://btc_bot@127.0.0.1:1/btc_data"
    report = await in_thread(repair_days, small_settings(), nowhere, INSTRUMENT, days, lambda *_: rest)
    assert report.error.startswith("the database does not answer")
    assert await in_thread(repair_days, small_settings(), nowhere, INSTRUMENT, days, lambda *_: None) is None
