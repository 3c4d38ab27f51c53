"""One market on the wires of three exchanges in one collector: the same minutes, bars, decisions; no request too soon.

What a venue does not tell is not compared: trades of Bybit, quote and taker-buy volumes of Hyperliquid. WIRE_CASES=24
runs more cases of faults.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from btc_pipeline.exchanges import base
from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, Fault, FaultKind, SyntheticMarket
from btc_pipeline.exchanges.replay.faults import COMMON_KINDS, random_faults
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline_tests.live.cases import FIRST_DAY, stop_in_time
from btc_pipeline_tests.live.world import World, live, open_gaps, stored_rows, truth
from btc_pipeline_tests.pipeline.worlds import chain_of, query, small_settings

pytestmark = pytest.mark.proof

START: Final = FIRST_DAY + 7_000.0
FIRST: Final = int(START // 60)
BYBIT, BINANCE, BINANCE_UM = "BTCUSDT.BYBIT", "BTCUSDT.BINANCE", "BTCUSDT.BINANCE_UM"
SYMBOLS: Final = ("BTC", BYBIT, BINANCE, BINANCE_UM)
VENUES: Final = {"BTC": "HYPERLIQUID", BYBIT: "BYBIT", BINANCE: "BINANCE", BINANCE_UM: "BINANCE_UM"}
MARKET: Final = SyntheticMarket(5, ("BTC",))
LOOK_BACK: Final = 2_200
"""Enough for 44 bars of 37 minutes."""
BEHAVIOUR: Final = Behaviour(frames_per_minute=12, retention=LOOK_BACK, empty_minute=EmptyMinute.FLAT)
NEWEST_MINUTES: Final = 3
OWN_KINDS: Final = {
    "BYBIT": (FaultKind.BANNED,),
    "BINANCE": (FaultKind.BANNED, FaultKind.SERVER_SHUTDOWN),
    "BINANCE_UM": (FaultKind.BANNED, FaultKind.SERVER_SHUTDOWN),
}
SEEDS: Final = int(os.environ.get("WIRE_CASES", "4"))


@pytest.fixture(autouse=True)
def shorter_look_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """All venues are asked for as much as Hyperliquid has here."""
    monkeypatch.setattr(base, "LIVE_LOOK_BACK_MINUTES", LOOK_BACK)


def collect(
    database: Database,
    folder: Path,
    minutes: float,
    *faults: Fault,
    symbols: Sequence[str] = SYMBOLS,
    behaviour: Behaviour = BEHAVIOUR,
) -> World:
    """A collector of those symbols for so long; `at` of faults counts from the start."""

    async def script(world: World) -> None:
        world.start_collector()
        await world.until(START + minutes * 60)
        await stop_in_time(world)

    planned = [Fault(one.kind, START + (one.at or 0.0), one.seconds, one.value, one.venue) for one in faults]
    return live(
        database,
        folder,
        MARKET,
        script,
        start=START,
        faults=planned,
        behaviour=behaviour,
        settings={"symbols": tuple(symbols)},
    )


def judge(database: Database, world: World, symbols: Sequence[str] = SYMBOLS, first: int = FIRST - 100) -> list[str]:
    """What is wrong with the stored minutes since `first`, and with how the venues were asked."""
    problems = []
    end = int(world.clock.now() // 60) - NEWEST_MINUTES
    expected = truth(MARKET, first, end)
    for symbol in symbols:
        stored = {at: row for at, row in stored_rows(database, symbol).items() if first <= at < end}
        told = 5 if symbol == BYBIT else 6
        wrong = [at for at, row in expected.items() if stored.get(at, ())[:told] != row[:told]]
        problems += [f"{symbol}: minute {at}: stored {stored.get(at)}, is {expected[at]}" for at in wrong[:3]]
        problems += [f"{symbol}: invented {at}" for at in stored.keys() - expected.keys()]
        problems += [f"{symbol}: a gap though stored {at}" for at in open_gaps(database, symbol) if at in stored]
        counters = world.exchange.counters_of(VENUES[symbol])
        problems += [f"{symbol}: asked too soon: {request}" for request in counters.too_soon]
        problems += [f"{symbol}: refused: {request}" for request in counters.requests if 400 <= request.status < 403]
    late = query(
        database,
        "SELECT symbol, count(*) FROM candles WHERE interval = '1m' AND status NOT IN ('confirmed', 'revised') "
        "AND time < to_timestamp(%s) GROUP BY 1",
        end * 60,
    )
    return problems + [f"{symbol}: {count} minutes never confirmed" for symbol, count in late]


def columns(database: Database, symbol: str, names: str) -> dict[int, tuple[Any, ...]]:
    """Columns of the stored minutes since FIRST, by epoch minute."""
    rows = query(
        database,
        f"SELECT extract(epoch FROM time)::bigint / 60, {names} FROM candles "
        "WHERE symbol = %s AND interval = '1m' AND time >= to_timestamp(%s)",
        symbol,
        FIRST * 60,
    )
    return {row[0]: row[1:] for row in rows}


def test_one_market_on_four_wires_gives_the_same_minutes_bars_and_decisions(
    hasty_database: Database, tmp_path: Path
) -> None:
    database = hasty_database
    world = collect(database, tmp_path, 150)
    assert judge(database, world, first=FIRST - LOOK_BACK + 2) == []
    assert sorted(world.lines) == sorted(f"collector: collecting {one} from {VENUES[one]}" for one in SYMBOLS)
    for symbol, venue in VENUES.items():
        assert world.exchange.counters_of(venue).sockets == 1, symbol
    # What only some of them tell.
    flows = {one: columns(database, one, "trades, quote_volume, taker_buy_volume") for one in SYMBOLS}
    assert flows[BINANCE] == flows[BINANCE_UM]
    assert {row[1:] for row in flows["BTC"].values()} == {(None, None)}
    assert {(row[0], row[2]) for row in flows[BYBIT].values()} == {(None, None)}
    assert {at: row[1] for at, row in flows[BYBIT].items()} == {at: row[1] for at, row in flows[BINANCE].items()}
    assert all(row[1] > row[2] > 0 for row in flows[BINANCE].values() if row[0] > 10)
    bars, decisions = bars_and_decisions(database, world)
    for symbol in SYMBOLS[1:]:
        assert bars[symbol] == bars["BTC"], symbol
        assert decisions[symbol] == decisions["BTC"], symbol
    assert len(bars["BTC"]) > 50
    assert {row[1] for row in decisions["BTC"]} - {None}


Rows = dict[str, list[tuple[Any, ...]]]


def bars_and_decisions(database: Database, world: World) -> tuple[Rows, Rows]:
    """Every symbol's bars and decisions on 37m, as the pipeline makes them of what is stored."""
    chain = chain_of(
        database,
        small_settings(
            standard_intervals=("37m",), indicators={}, strategies=[{"strategy": "ma44", "intervals": ["37m"]}]
        ),
    )
    now = int(world.clock.now() // 60)
    begin = FIRST - LOOK_BACK + 2
    bars: Rows = {}
    decisions: Rows = {}
    for symbol in SYMBOLS:
        # The first minutes differ by when each venue was asked.
        query(database, "DELETE FROM candles WHERE symbol = %s AND time < to_timestamp(%s)", symbol, begin * 60)
        query(database, "DELETE FROM candles WHERE symbol = %s AND time >= to_timestamp(%s)", symbol, (now - 3) * 60)
        with database.arrow() as cursor:
            instrument = find_instrument(cursor, symbol)
        chain.refresh(instrument, range(begin // 1440, now // 1440 + 1), now - 3)
        bars[symbol] = query(
            database,
            "SELECT time, open, high, low, close, volume, minutes, quiet_minutes, usable FROM candles "
            "WHERE symbol = %s AND interval = '37m' ORDER BY time",
            symbol,
        )
        decisions[symbol] = query(
            database,
            "SELECT time, target, type, confidence, indicator_snapshot::text FROM current_decisions "
            "WHERE symbol = %s ORDER BY time",
            symbol,
        )
    return bars, decisions


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_goes_wrong_at_each_of_them_the_minutes_are_the_same_in_the_end(
    seed: int, hasty_database: Database, tmp_path: Path
) -> None:
    faults = [
        Fault(one.kind, one.at, one.seconds, one.value, venue)
        for at, venue in enumerate(VENUES.values())
        for one in random_faults(seed * 10 + at, 400.0, 5_000.0, 6, (*COMMON_KINDS, *OWN_KINDS.get(venue, ())))
    ]
    world = collect(hasty_database, tmp_path, 140, *faults)
    assert judge(hasty_database, world) == [], "\n".join(map(str, faults))


@pytest.mark.parametrize(
    ("symbol", "fault", "trace"),
    [
        (BINANCE, Fault(FaultKind.RATE_LIMIT, 600, 130, 45), 429),
        (BINANCE, Fault(FaultKind.BANNED, 600, 60, 400), 418),
        (BINANCE_UM, Fault(FaultKind.RATE_LIMIT, 0, 30, 90), 429),
        (BYBIT, Fault(FaultKind.RATE_LIMIT, 600, 130), 200),
        (BYBIT, Fault(FaultKind.BANNED, 600, 60), 403),
        (BYBIT, Fault(FaultKind.BANNED, 0, 20), 403),
        (BINANCE, Fault(FaultKind.SERVER_ERROR, 600, 200), 500),
        (BYBIT, Fault(FaultKind.SERVER_ERROR, 600, 200), 500),
        (BINANCE, Fault(FaultKind.BAD_GATEWAY, 600, 200), 502),
        (BYBIT, Fault(FaultKind.BAD_GATEWAY, 600, 200), 502),
    ],
)
def test_a_venue_that_wants_a_pause_or_is_away_is_waited_for_and_hinders_no_other(
    symbol: str, fault: Fault, trace: int, hasty_database: Database, tmp_path: Path
) -> None:
    venue = VENUES[symbol]
    world = collect(
        hasty_database,
        tmp_path,
        45,
        Fault(fault.kind, fault.at, fault.seconds, fault.value, venue),
        symbols=("BTC", symbol),
    )
    assert judge(hasty_database, world, ("BTC", symbol)) == []
    assert trace in {request.status for request in world.exchange.counters_of(venue).requests}
    # Hyperliquid's minutes were confirmed all the while.
    assert {request.status for request in world.exchange.counters.requests} == {200}
    said = [line for line in world.lines if "wants fewer requests" in line]
    assert len(said) == (trace in (403, 418) or fault.value == 90)
    assert all(venue in line for line in said)


def test_a_day_s_end_of_a_binance_socket_is_a_short_break(hasty_database: Database, tmp_path: Path) -> None:
    behaviour = Behaviour(
        frames_per_minute=12,
        retention=LOOK_BACK,
        empty_minute=EmptyMinute.FLAT,
        lifetime_seconds=1_200.0,
        warning_seconds=120.0,
    )
    world = collect(hasty_database, tmp_path, 70, symbols=(BINANCE, BINANCE_UM), behaviour=behaviour)
    assert judge(hasty_database, world, (BINANCE, BINANCE_UM)) == []
    for venue in ("BINANCE", "BINANCE_UM"):
        counters = world.exchange.counters_of(venue)
        assert counters.cuts["lifetime"] == 3
        assert counters.frames_sent["serverShutdown"] == 4 - (70 * 60 < 4 * 1_200 - 120)
        assert counters.cuts["messages"] == counters.cuts["no pong"] == 0


@pytest.mark.parametrize("symbol", [BYBIT, BINANCE])
@pytest.mark.parametrize("kind", [FaultKind.DUPLICATE, FaultKind.LOSE_LAST, FaultKind.REORDER])
def test_ends_that_come_twice_or_never_or_late_are_set_right_by_rest(
    symbol: str, kind: FaultKind, hasty_database: Database, tmp_path: Path
) -> None:
    world = collect(hasty_database, tmp_path, 40, Fault(kind, 300, 1_200), symbols=(symbol,))
    assert judge(hasty_database, world, (symbol,)) == []
    assert world.exchange.counters_of(VENUES[symbol]).sockets == 1
    # No minute was passed on that was not the venue's last word.
    assert query(hasty_database, "SELECT count(*) FROM candle_revisions") == [(0,)]


def test_a_venue_that_is_away_at_the_start_hinders_no_other(hasty_database: Database, tmp_path: Path) -> None:
    away = Fault(FaultKind.REFUSE, 0, 1_500, venue="BYBIT")
    world = collect(hasty_database, tmp_path, 60, away, symbols=("BTC", BYBIT, BINANCE))
    assert judge(hasty_database, world, ("BTC", BYBIT, BINANCE)) == []
    assert world.lines[0].startswith("collector: BYBIT cannot be reached (")
    # Two that answer do so in any order.
    assert sorted(world.lines[1:3]) == [
        "collector: collecting BTC from HYPERLIQUID",
        "collector: collecting BTCUSDT.BINANCE from BINANCE",
    ]
    assert world.lines[3:] == ["collector: collecting BTCUSDT.BYBIT from BYBIT"]


def test_several_symbols_of_a_venue_share_its_connection(hasty_database: Database, tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.start_collector()
        await world.until(START + 1_500)
        await stop_in_time(world)

    names = [f"{coin}USDT.{venue}" for venue in ("BYBIT", "BINANCE") for coin in ("BTC", "ETH", "SOL", "XRP", "DOGE")]
    market = SyntheticMarket(5, ("BTC", "ETH", "SOL", "XRP", "DOGE"))
    world = live(
        hasty_database,
        tmp_path,
        market,
        script,
        start=START,
        behaviour=Behaviour(frames_per_minute=12, retention=LOOK_BACK),
        settings={"symbols": tuple(names)},
    )
    for venue in ("BYBIT", "BINANCE"):
        counters = world.exchange.counters_of(venue)
        assert (counters.sockets, sum(counters.cuts.values())) == (1, 0)
    counts = dict(query(hasty_database, "SELECT symbol, count(*) FROM candles GROUP BY symbol"))
    assert counts == dict.fromkeys(names, LOOK_BACK + 25)
