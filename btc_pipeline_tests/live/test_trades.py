"""Trades beside candles: every minute heard without a break has exactly what its trades add up to, and no other has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest

from btc_pipeline.collector import trade_writer
from btc_pipeline.collector.database import DatabaseAwayError
from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, Fault, FaultKind, SyntheticMarket
from btc_pipeline.exchanges.replay.tape import Tape
from btc_pipeline.market.intervals import MINUTE
from btc_pipeline.pipeline.live import Watermark
from btc_pipeline.storage.candles import read_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument, upsert_instrument
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline_tests.databases import migrated_database
from btc_pipeline_tests.live.test_parity import do_work
from btc_pipeline_tests.live.world import World, live, stored_rows, truth
from btc_pipeline_tests.pipeline.worlds import chain_of, content, query, small_settings

START: Final = 1_790_232_030.0
FIRST: Final = int(START // 60)
BYBIT: Final = "BTCUSDT.BYBIT"
BEHAVIOUR: Final = Behaviour(frames_per_minute=12, retention=30, empty_minute=EmptyMinute.FLAT)
MARKET: Final = SyntheticMarket(3, ("BTC",))
ROWS: Final = (
    "SELECT extract(epoch FROM time)::bigint / 60 AS minute, quote_volume, taker_buy_volume, trades FROM candles "
    "WHERE symbol = %s AND interval = '1m' ORDER BY time"
)
Told = dict[int, tuple[float | None, float | None, int | None]]
"""(quote volume, taker-buy volume, count) by minute."""


def collect(
    database: Database,
    folder: Path,
    minutes: float,
    *faults: Fault,
    symbols: Sequence[str] = ("BTC",),
    market: SyntheticMarket = MARKET,
    settings: dict[str, Any] | None = None,
    wrap: Any = None,
) -> World:
    """A collector with trades for so long; `at` of faults counts from the start."""

    async def script(world: World) -> None:
        if wrap is not None:
            world.wrap_store = wrap
        world.start_collector()
        await world.until(START + minutes * 60)
        await world.stop_collector()

    return live(
        database,
        folder,
        market,
        script,
        start=START,
        faults=[Fault(one.kind, START + (one.at or 0.0), one.seconds, one.value, one.venue) for one in faults],
        behaviour=BEHAVIOUR,
        settings={"symbols": tuple(symbols), "collector": {"trades": True, **(settings or {})}},
    )


def on_the_tape(start: int, end: int, market: SyntheticMarket = MARKET) -> Told:
    """What the trades of the epoch minutes [start, end) add up to."""
    tape, listing = Tape(market, BEHAVIOUR.frames_per_minute), market.listings["BTC"]
    price, volume = 10**listing.price_decimals, 10**listing.volume_decimals
    told: Told = {}
    for minute in range(start, end):
        steps = range(len(tape.steps("BTC", minute)))
        trades = [trade for index in steps for trade in tape.trades_of("BTC", minute, index)]
        quote = Fraction(sum(trade.price * trade.size for trade in trades), price * volume)
        bought = Fraction(sum(trade.size for trade in trades if trade.is_buy), volume)
        told[minute] = float(quote), float(bought), len(trades)
    return told


def told_of(database: Database, symbol: str = "BTC") -> Told:
    return {minute: (quote, taker, count) for minute, quote, taker, count in query(database, ROWS, symbol)}


def completed(told: Told) -> list[int]:
    return [minute for minute, row in told.items() if row[1] is not None]


def anomalies(database: Database) -> list[str]:
    return [reason for (reason,) in query(database, "SELECT reason FROM data_quality WHERE kind = 'anomaly'")]


@pytest.mark.parametrize("symbols", [("BTC",), (BYBIT,), ("BTC", BYBIT)])
def test_every_whole_minute_has_what_its_trades_add_up_to(
    database: Database, tmp_path: Path, symbols: Sequence[str]
) -> None:
    world = collect(database, tmp_path, 30, symbols=symbols, settings={"trades": True})
    last = int(world.clock.now() // 60)
    expected = on_the_tape(FIRST + 1, last)
    for symbol in symbols:
        told = told_of(database, symbol)
        # The minute in which the stream began is REST's alone, as all before it; Bybit says no count of them.
        assert {minute: told[minute] for minute in expected} == expected
        assert completed(told) == list(expected)
        assert stored_rows(database, symbol).keys() >= truth(MARKET, FIRST - 20, last).keys()
    assert anomalies(database) == []
    statuses = query(database, "SELECT DISTINCT status FROM candles WHERE interval = '1m'")
    assert set(statuses) <= {("confirmed",), ("provisional",)}
    assert all(world.exchange.venue.counters.subscriptions[f"trades {one}"] for one in symbols if one == "BTC")


FAULTS: Final = (
    Fault(FaultKind.DISCONNECT, 400.0, 20.0),
    Fault(FaultKind.DUPLICATE, 700.0, 200.0),
    Fault(FaultKind.REORDER, 1000.0, 200.0),
    Fault(FaultKind.GARBAGE, 1300.0, 60.0),
    Fault(FaultKind.HALF_OPEN, 1500.0, 130.0),
    Fault(FaultKind.DISCONNECT, 1790.0, 1.0),
    Fault(FaultKind.LATE_REVISION, 2000.0, 200.0, 300.0),
)


@pytest.mark.parametrize("symbol", ["BTC", BYBIT])
def test_faults_leave_minutes_without_but_never_with_something_else(
    database: Database, tmp_path: Path, symbol: str
) -> None:
    world = collect(database, tmp_path, 45, *FAULTS, symbols=(symbol,))
    last = int(world.clock.now() // 60)
    expected, told = on_the_tape(FIRST + 1, last), told_of(database, symbol)
    whole = completed(told)
    assert {minute: told[minute] for minute in whole} == {minute: expected[minute] for minute in whole}
    assert {one: row[:5] for one, row in stored_rows(database, symbol).items() if FIRST <= one < last - 1} == {
        one: row[:5] for one, row in truth(MARKET, FIRST, last - 1).items()
    }
    # Those of the disconnects, of the garbage, and of the half-open connection.
    broken = {FIRST + (30 + at) // 60 for at in (400, 1310, 1500, 1790)}
    assert sorted(broken & set(whole)) == []
    assert len(whole) > 30


def test_a_candle_that_its_trades_contradict_is_kept_as_it_is_and_told_of_once(
    database: Database, tmp_path: Path
) -> None:
    """The stream says nothing for half a minute: candles of REST know of trades that nobody heard."""
    world = collect(database, tmp_path, 12, Fault(FaultKind.STALL, 305.0, 20.0))
    minute = FIRST + (30 + 305) // 60
    told = told_of(database)
    assert told[minute][:2] == (None, None)
    assert stored_rows(database)[minute] == truth(MARKET, minute, minute + 1)[minute]
    (words,) = anomalies(database)
    assert f"{told[minute][2]} trades" in words
    rows = query(
        database,
        "SELECT (extract(epoch FROM start_time) / 60)::bigint, retries, resolved FROM data_quality "
        "WHERE kind = 'anomaly'",
    )
    assert rows == [(minute, 0, False)]
    assert set(completed(told)) == set(range(FIRST + 1, int(world.clock.now() // 60))) - {minute}


def test_without_the_setting_nobody_asks_for_trades(database: Database, tmp_path: Path) -> None:
    world = collect(database, tmp_path, 4, settings={"trades": False})
    assert completed(told_of(database)) == []
    assert "trades BTC" not in world.exchange.venue.counters.subscriptions


def test_a_restart_takes_nothing_away(database: Database, tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for _ in range(2):
            world.start_collector()
            await world.until(world.clock.now() + 600)
            await world.crash_collector()

    world = live(
        database, tmp_path, MARKET, script, start=START, behaviour=BEHAVIOUR, settings={"collector": {"trades": True}}
    )
    last = int(world.clock.now() // 60)
    expected = on_the_tape(FIRST, last)
    cut = FIRST + 10
    whole = [minute for minute in expected if minute not in (FIRST, cut)]
    assert {minute: told_of(database)[minute] for minute in whole[:-1]} == {one: expected[one] for one in whole[:-1]}
    assert query(database, "SELECT count(*) FROM candle_revisions WHERE quote_volume IS NOT NULL") == [(0,)]


def test_raw_trades_are_kept_once_each_in_the_month_they_were_made_in(database: Database, tmp_path: Path) -> None:
    query(database, "CREATE TABLE trades_2026_06 PARTITION OF trades FOR VALUES FROM ('2026-06-01') TO ('2026-07-01')")
    query(database, "CREATE TABLE trades_2026_08 PARTITION OF trades FOR VALUES FROM ('2026-08-01') TO ('2026-09-01')")
    faults = (Fault(FaultKind.DUPLICATE, 100.0, 100.0), Fault(FaultKind.DISCONNECT, 300.0, 1.0))
    collect(database, tmp_path, 10, *faults, settings={"keep_trades_days": 30})
    tape, listing = Tape(MARKET, BEHAVIOUR.frames_per_minute), MARKET.listings["BTC"]
    price, volume = 10**listing.price_decimals, 10**listing.volume_decimals
    wanted = {
        (one.time_ms, str(one.tid), one.price / price, one.size / volume, one.is_buy)
        for minute in range(FIRST + 1, FIRST + 9)
        for index in range(len(tape.steps("BTC", minute)))
        for one in tape.trades_of("BTC", minute, index)
        # Not heard: the connection was gone for a moment.
        if not 296 <= one.time_ms / 1000 - START <= 310
    }
    rows = query(
        database,
        "SELECT (extract(epoch FROM time) * 1000)::bigint, trade_id, price, size, taker_buy FROM trades "
        "WHERE symbol = 'BTC'",
    )
    assert len(rows) == len(set(rows))
    assert wanted <= set(rows)
    # June is more than 30 days ago on 24 September; August is not over for so long.
    names = query(database, "SELECT relname FROM pg_class WHERE relname ~ '^trades_[0-9]{4}_[0-9]{2}$' ORDER BY 1")
    assert names == [("trades_2026_08",), ("trades_2026_09",)]


def test_trades_for_which_there_is_no_room_are_dropped_and_told_of_and_minutes_are_not(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trade_writer, "MOST_WAITING", 500)

    class Away:
        """A database that takes minutes, but neither trades nor anything else that is asked for by `run`."""

        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def run(self, work: Any) -> Any:
            raise DatabaseAwayError("it is away")

    world = collect(database, tmp_path, 15, settings={"keep_trades_days": 30}, wrap=Away)
    assert sum("raw trades are dropped" in line for line in world.lines) == 1
    assert query(database, "SELECT count(*) FROM trades") == [(0,)]
    last = int(world.clock.now() // 60)
    assert told_of(database).items() >= on_the_tape(FIRST + 1, last).items()


@pytest.mark.proof
def test_what_was_made_live_equals_what_a_range_run_makes_of_the_stored_minutes(
    server_uri: str, template: str, tmp_path: Path
) -> None:
    settings = small_settings(strategies=({"strategy": "ma", "parameters": {"period": 5}, "intervals": ["5m", "37m"]},))
    hours = 6
    with migrated_database(server_uri, template) as lived, migrated_database(server_uri, template) as other:
        chain = chain_of(lived, settings)

        async def lane(world: World) -> None:
            watermark = Watermark()
            while True:
                await asyncio.sleep(300.0 - (world.clock.now() - 8.0) % 300.0)
                watermark = do_work(chain, world.clock.now(), watermark)

        async def script(world: World) -> None:
            world.start_collector()
            sensor = asyncio.create_task(lane(world))
            await world.until(START + hours * 3600)
            await world.stop_collector()
            sensor.cancel()
            do_work(chain, world.clock.now(), Watermark())

        live(
            lived,
            tmp_path,
            MARKET,
            script,
            start=START,
            faults=[Fault(FaultKind.DISCONNECT, START + 5000.0, 90.0)],
            behaviour=BEHAVIOUR,
            settings={"collector": {"trades": True}},
        )
        now = int((START + hours * 3600) // 60)
        with lived.arrow() as cursor:
            instrument = find_instrument(cursor, "BTC")
            minutes = read_candles(cursor, "BTC", MINUTE, instrument.scale, 0, now + 1)
        with other.arrow() as cursor:
            upsert_instrument(cursor, "BTC", instrument.scale)
            write_minutes(cursor, "BTC", minutes, status="confirmed", reason="test")
        days = range(FIRST // 1440 - 1, now // 1440 + 1)
        chain_of(other, settings).refresh(instrument, days, now)
        assert content(lived) == content(other)
        told = query(lived, "SELECT interval, count(quote_volume) AS told, count(*) AS bars FROM candles GROUP BY 1")
        counts = {interval: (with_quotes, bars) for interval, with_quotes, bars in told}
        assert counts["5m"][0] > 60
        assert counts["37m"][0] > 5
        assert counts["5m"][0] < counts["5m"][1]
