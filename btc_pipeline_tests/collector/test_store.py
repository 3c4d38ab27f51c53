"""Landing minutes: which word about a minute holds, what is kept of the others, which days are touched."""

from __future__ import annotations

import itertools
import math

import pytest

from btc_pipeline.collector.store import CollectorState, Landed
from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import Scale
from btc_pipeline_tests.collector.made_landings import (
    CONFIRMED,
    FIRST,
    PROVISIONAL,
    SCALE,
    SYMBOL,
    forget_touches,
    landing,
    minute,
    revisions,
    rows,
    stored,
    touched,
    versions,
)

pytestmark = pytest.mark.timescale


async def test_a_new_minute_is_added_with_its_status_and_touches_its_day(store, database):
    assert await store.land(SYMBOL, [landing(FIRST + 5, PROVISIONAL), landing(FIRST + 6)]) == Landed(added=2)
    assert stored(database) == [(5, 100.0, 1.0, 3, "provisional"), (6, 100.0, 1.0, 3, "confirmed")]
    assert touched(database) == {0: 5}
    assert revisions(database) == []


async def test_landing_the_same_again_writes_nothing(store, database):
    batch = [landing(FIRST, PROVISIONAL), landing(FIRST + 1), landing(FIRST + 3000, CONFIRMED, close=101.0)]
    await store.land(SYMBOL, batch)
    before = versions(database)
    assert len(before) > 3
    assert await store.land(SYMBOL, batch) == Landed(unchanged=3)
    assert versions(database) == before


async def test_a_provisional_word_replaces_one_that_had_seen_fewer_trades_only(store, database):
    await store.land(SYMBOL, [landing(FIRST, PROVISIONAL, trades=5, volume=2.0)])
    forget_touches(database)
    assert await store.land(SYMBOL, [landing(FIRST, PROVISIONAL, trades=4, volume=1.0, close=99.0)]) == Landed(
        unchanged=1
    )
    assert touched(database) == {}
    assert await store.land(SYMBOL, [landing(FIRST, PROVISIONAL, trades=6, volume=2.5, close=98.0)]) == Landed(
        replaced=1
    )
    assert stored(database) == [(0, 98.0, 2.5, 6, "provisional")]
    assert revisions(database) == [(0, 100.0, "provisional", "test")]
    assert touched(database) == {0: 0}


async def test_a_provisional_word_never_replaces_a_confirmed_one(store, database):
    await store.land(SYMBOL, [landing(FIRST)])
    await store.land(SYMBOL, [landing(FIRST, PROVISIONAL, trades=99, volume=99.0, close=101.0)])
    assert stored(database) == [(0, 100.0, 1.0, 3, "confirmed")]


async def test_an_equal_confirmed_word_lifts_the_status_and_touches_nothing(store, database):
    await store.land(SYMBOL, [landing(FIRST, PROVISIONAL)])
    known_since = rows(database, "SELECT recorded_at FROM candles")
    forget_touches(database)
    assert await store.land(SYMBOL, [landing(FIRST)]) == Landed(confirmed=1)
    assert stored(database) == [(0, 100.0, 1.0, 3, "confirmed")]
    assert (touched(database), revisions(database)) == ({}, [])
    assert rows(database, "SELECT recorded_at FROM candles") == known_since


async def test_what_rest_says_otherwise_replaces_a_provisional_minute_and_revises_a_confirmed_one(store, database):
    await store.land(SYMBOL, [landing(FIRST, PROVISIONAL)])
    assert await store.land(SYMBOL, [landing(FIRST, reason="REST after 5 s", close=101.0)]) == Landed(replaced=1)
    assert stored(database) == [(0, 101.0, 1.0, 3, "confirmed")]
    assert await store.land(SYMBOL, [landing(FIRST, reason="audit", close=102.0)]) == Landed(replaced=1)
    assert stored(database) == [(0, 102.0, 1.0, 3, "revised")]
    assert await store.land(SYMBOL, [landing(FIRST, close=102.0)]) == Landed(unchanged=1)
    assert stored(database) == [(0, 102.0, 1.0, 3, "revised")]
    assert revisions(database) == [(0, 100.0, "provisional", "REST after 5 s"), (0, 101.0, "confirmed", "audit")]
    assert rows(
        database,
        "SELECT bool_and(r.recorded_at < r.superseded_at AND r.superseded_at <= c.recorded_at) "
        "FROM candle_revisions r JOIN candles c USING (symbol, interval, time)",
    ) == [(True,)]


async def test_words_about_one_minute_in_one_batch_come_one_after_the_other(store, database):
    batch = [landing(FIRST, PROVISIONAL), landing(FIRST, close=101.0), landing(FIRST, close=102.0), landing(FIRST + 1)]
    assert await store.land(SYMBOL, batch) == Landed(added=2, replaced=2)
    assert stored(database) == [(0, 102.0, 1.0, 3, "revised"), (1, 100.0, 1.0, 3, "confirmed")]
    assert [row[1:3] for row in revisions(database)] == [(100.0, "provisional"), (101.0, "confirmed")]


BARE = landing(FIRST)
OF_TRADES = landing(FIRST, quote_volume=100.5, taker_buy_volume=0.25)
QUOTE = "SELECT quote_volume, taker_buy_volume, trades, status FROM candles"


@pytest.mark.parametrize("again", [[], [BARE], [OF_TRADES], [BARE, OF_TRADES, BARE]])
async def test_what_a_confirmed_word_does_not_tell_it_does_not_take_away(store, database, again):
    for order in ([BARE, OF_TRADES], [OF_TRADES, BARE]):
        rows(database, "TRUNCATE candles, candle_revisions")
        for word in (*order, *again):
            await store.land(SYMBOL, [word])
        assert rows(database, QUOTE) == [(100.5, 0.25, 3, "confirmed")]
    assert await store.land(SYMBOL, [BARE]) == Landed(unchanged=1)


async def test_a_completed_minute_keeps_its_status_and_leaves_what_was_known_before(store, database):
    await store.land(SYMBOL, [BARE])
    forget_touches(database)
    assert await store.land(SYMBOL, [OF_TRADES]) == Landed(replaced=1)
    assert touched(database) == {0: 0}
    assert revisions(database) == [(0, 100.0, "confirmed", "test")]
    await store.land(SYMBOL, [landing(FIRST, close=101.0)])
    assert rows(database, QUOTE) == [(None, None, 3, "revised")]
    await store.land(SYMBOL, [landing(FIRST, close=101.0, quote_volume=7.0)])
    assert rows(database, QUOTE) == [(7.0, None, 3, "revised")]
    await store.land(SYMBOL, [landing(FIRST, close=101.0, taker_buy_volume=0.5)])
    assert rows(database, QUOTE) == [(7.0, 0.5, 3, "revised")]


async def test_words_that_contradict_each_other_do_not_complete_each_other(store, database):
    await store.land(SYMBOL, [OF_TRADES])
    await store.land(SYMBOL, [landing(FIRST, quote_volume=99.0)])
    assert rows(database, QUOTE) == [(99.0, None, 3, "revised")]


async def test_a_provisional_word_neither_completes_a_confirmed_one_nor_is_it_believed_beside_one(store, database):
    told = landing(FIRST, PROVISIONAL, quote_volume=100.5, taker_buy_volume=0.25)
    for order in ([told, BARE], [BARE, told]):
        rows(database, "TRUNCATE candles, candle_revisions")
        for word in order:
            await store.land(SYMBOL, [word])
        assert rows(database, QUOTE) == [(None, None, 3, "confirmed")]


STREAMED = [
    landing(FIRST, PROVISIONAL, trades=1, volume=0.5),
    landing(FIRST, PROVISIONAL, trades=7, volume=0.5, close=100.5),
    landing(FIRST, PROVISIONAL, trades=7, volume=0.5, close=99.5),
]
OF_REST = landing(FIRST, CONFIRMED, trades=8, volume=0.7, close=99.0)


@pytest.mark.parametrize(
    ("words", "end"),
    [(STREAMED, (0, 100.5, 0.5, 7, "provisional")), ([*STREAMED, OF_REST], (0, 99.0, 0.7, 8, "confirmed"))],
)
async def test_any_order_of_the_same_words_ends_alike(store, database, words, end):
    for order in itertools.permutations(words):
        rows(database, "TRUNCATE candles, candle_revisions")
        for word in (*order, order[0]):
            await store.land(SYMBOL, [word])
        assert stored(database) == [end]


async def test_what_a_venue_does_not_tell_is_null_and_equal_to_itself(store, database):
    unknown = [landing(FIRST, trades=-1, quote_volume=math.nan), landing(FIRST + 1, quote_volume=5.0)]
    await store.land(SYMBOL, unknown)
    assert rows(database, "SELECT trades, quote_volume, taker_buy_volume FROM candles ORDER BY time") == [
        (None, None, None),
        (3, 5.0, None),
    ]
    assert await store.land(SYMBOL, unknown) == Landed(unchanged=2)
    read = await store.stored(SYMBOL, FIRST, FIRST + 2)
    assert read[FIRST].minute.same_values(minute(FIRST, trades=-1))
    assert (list(read), read[FIRST].status) == ([FIRST, FIRST + 1], "confirmed")


async def test_a_flat_minute_without_volume_is_quiet_and_another_is_not(store, database):
    flat = landing(FIRST, volume=0.0, trades=0)
    moved = landing(FIRST + 1, volume=0.0, trades=0, close=101.0)
    await store.land(SYMBOL, [flat, moved, landing(FIRST + 2)])
    counts = "SELECT minutes, quiet_minutes, expected_minutes, usable FROM candles ORDER BY time"
    assert rows(database, counts) == [(1, 1, 1, True), (1, 0, 1, True), (1, 0, 1, True)]
    await store.land(SYMBOL, [landing(FIRST), landing(FIRST + 2, volume=0.0, trades=0)])
    assert [row[1] for row in rows(database, counts)] == [0, 0, 1]


async def test_a_minute_behind_a_hole_touches_every_day_of_the_hole_from_its_first_minute(store, database):
    await store.land(SYMBOL, [landing(FIRST + 100)])
    forget_touches(database)
    await store.land(SYMBOL, [landing(FIRST + 3 * 1440 + 30)])
    assert touched(database) == {0: 101, 1: 1440, 2: 2880, 3: 4320}


async def test_a_minute_before_the_first_touches_every_day_of_the_hole_too(store, database):
    await store.land(SYMBOL, [landing(FIRST + 2 * 1440 + 30)])
    forget_touches(database)
    await store.land(SYMBOL, [landing(FIRST + 100)])
    assert touched(database) == {0: 100, 1: 1440, 2: 2880}


async def test_a_minute_next_to_the_last_touches_its_own_day_alone(store, database):
    await store.land(SYMBOL, [landing(FIRST + 1438), landing(FIRST + 1439)])
    forget_touches(database)
    await store.land(SYMBOL, [landing(FIRST + 1440)])
    assert touched(database) == {1: 1440}


async def test_a_minute_inside_a_known_hole_touches_its_own_day_alone(store, database):
    await store.land(SYMBOL, [landing(FIRST), landing(FIRST + 5 * 1440)])
    forget_touches(database)
    await store.land(SYMBOL, [landing(FIRST + 2 * 1440 + 7)])
    assert touched(database) == {2: 2887}


async def test_holes_within_one_batch_beyond_the_last_minute_touch_their_days(store, database):
    await store.land(SYMBOL, [landing(FIRST)])
    forget_touches(database)
    await store.land(SYMBOL, [landing(FIRST + 1), landing(FIRST + 2 * 1440 + 5)])
    assert touched(database) == {0: 1, 1: 1440, 2: 2880}


async def test_the_earliest_touch_holds_until_somebody_looks(store, database):
    await store.land(SYMBOL, [landing(FIRST + n) for n in range(10)])
    forget_touches(database)
    for n in (7, 3, 5):
        await store.land(SYMBOL, [landing(FIRST + n, close=103.0)])
    assert touched(database) == {0: 3}


async def test_decimals_widen_and_never_narrow(store):
    assert await store.declare_instrument(SYMBOL, Scale(0, 7, 8)) == Scale(1, 7, 8)
    assert await store.declare_instrument(SYMBOL, Scale(2, 0, 0)) == Scale(2, 7, 8)
    assert await store.instrument_scale(SYMBOL) == Scale(2, 7, 8)
    assert await store.instrument_scale("ETH.HYPERLIQUID") is None


async def test_bounds_and_the_last_minute_before_the_first_provisional_one(store):
    assert await store.bounds(SYMBOL) is None
    assert await store.last_confirmed(SYMBOL) is None
    await store.land(SYMBOL, [landing(FIRST + n, PROVISIONAL if n == 4 else CONFIRMED) for n in range(8)])
    assert await store.bounds(SYMBOL) == (FIRST, FIRST + 7)
    assert await store.last_confirmed(SYMBOL) == FIRST + 3
    assert await store.last_confirmed(SYMBOL, since=FIRST + 5) == FIRST + 7
    await store.land(SYMBOL, [landing(FIRST + 4)])
    assert await store.last_confirmed(SYMBOL) == FIRST + 7


async def test_symbols_do_not_meet(store, database):
    other = "ETH.HYPERLIQUID"
    await store.declare_instrument(other, SCALE)
    await store.land(SYMBOL, [landing(FIRST)])
    await store.land(other, [landing(FIRST, close=101.0)])
    assert (await store.stored(other, FIRST, FIRST + 1))[FIRST].minute.close == 101.0
    assert (await store.stored(SYMBOL, FIRST, FIRST + 1))[FIRST].minute.close == 100.0
    assert revisions(database) == []


async def test_state_is_saved_and_a_state_of_another_feed_is_refused(store, database):
    state = CollectorState(SYMBOL, "replay", "host/1", "streaming", "ok", 1.0, 2.5, last_minute=120.0, minutes_landed=7)
    await store.save_state(state)
    with pytest.raises(UserError, match=r"'live'.*data folder"):
        await store.save_state(CollectorState(SYMBOL, "live", "host/2", "streaming", "ok", 1.0, 3.0))
    saved = "SELECT feed, process, extract(epoch FROM heartbeat_at)::float, minutes_landed FROM collector_state"
    assert rows(database, saved) == [("replay", "host/1", 2.5, 7)]


async def test_symbols_that_are_not_collected_any_more_are_said_to_be_stopped(store, database):
    for symbol in (SYMBOL, "ETH.HYPERLIQUID"):
        await store.save_state(CollectorState(symbol, "live", "host/1", "streaming", "ok", 1.0, 2.0))
    await store.retire_others([SYMBOL])
    states = "SELECT symbol, connection FROM collector_state ORDER BY symbol"
    assert rows(database, states) == [(SYMBOL, "streaming"), ("ETH.HYPERLIQUID", "stopped")]


async def test_a_value_that_no_column_takes_is_wrong_not_away(store, database):
    with pytest.raises(Exception, match=r"quote|int|expected") as caught:
        await store.land(SYMBOL, [landing(FIRST, trades=2**70)])
    assert type(caught.value).__name__ != "DatabaseAwayError"
    assert stored(database) == []
