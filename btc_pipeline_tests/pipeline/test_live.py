"""What is due, bar after bar on a clock of the test's own; doing it ends as one range run does."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import psycopg
import pytest
from psycopg.rows import dict_row

from btc_pipeline.market.candles import Scale
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.pipeline.live import (
    GRACE_SECONDS,
    Watermark,
    Work,
    look,
    look_with,
    work_due,
)
from btc_pipeline.pipeline.live_state import SymbolState
from btc_pipeline.settings import CONFIG_VARIABLE
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.live_minutes import LAND, LOCK
from btc_pipeline_tests.databases import migrated_database
from btc_pipeline_tests.pipeline.made_minutes import walk
from btc_pipeline_tests.pipeline.worlds import (
    chain_of,
    content,
    day_of,
    minute_of,
    query,
    row_versions,
    small_settings,
)

SYMBOL = "BTC"
SETTINGS = small_settings(
    standard_intervals=("5m", "37m", "148m", "1d"),
    indicators={"ma5": {"indicator": "sma", "parameters": {"period": 5}, "intervals": ["37m", "148m", "1d"]}},
    strategies=({"strategy": "ma", "parameters": {"period": 5}, "intervals": ["37m", "148m", "1d"]},),
)
FIRST_DAY = day_of("2016-01-03")
DAYS = 11
START = FIRST_DAY * 1440
LENGTHS = ("37m", "148m", "1d")
ALL = (
    "candles_1m",
    *(f"candles_{name}" for name in LENGTHS),
    "candles_other",
    *(f"{kind}_{name}" for kind in ("indicators", "decisions") for name in LENGTHS),
)


@dataclass
class World:
    """A chain, minutes to come, a clock (epoch seconds), and a lane that does what is due at once."""

    chain: Chain
    connection: psycopg.Connection
    rows: dict[int, tuple[float, ...]]
    clock: float = 0.0
    watermark: Watermark = field(default_factory=Watermark)
    done: list[Work] = field(default_factory=list)

    def __post_init__(self) -> None:
        with self.chain.database.arrow() as cursor:
            self.instrument = upsert_instrument(cursor, SYMBOL, Scale(2, 3))

    def land(self, *minutes: int, change: float = 0.0) -> None:
        """Writes minutes as the collector does."""
        rows = [self.rows[minute] for minute in minutes]
        columns = [[row[at] + (change if at in (1, 3) else 0) for row in rows] for at in range(5)]
        none = [None] * len(rows)
        status = ["confirmed" if change else "provisional"] * len(rows)
        cursor = psycopg.RawCursor(self.connection)
        with self.connection.transaction():
            cursor.execute(LOCK, (f"candles_1m/{SYMBOL}",))
            cursor.execute(
                LAND,
                (SYMBOL, list(minutes), *columns, none, none, none, [0] * len(rows), status, ["test"] * len(rows),
                 min(minutes), max(minutes)),
            )  # fmt: skip

    def look(self) -> Work | None:
        """What is due now; what is not asked for leaves the watermark as the lane would."""
        connection = self.connection
        work, self.watermark = look_with(connection, self.chain.catalogue, self.clock, self.watermark, FIRST_DAY)
        return work

    def live(self, until: float | None = None) -> list[Work]:
        """Does what is due until nothing is, then lets time pass."""
        before = len(self.done)
        while (work := self.look()) is not None:
            self.chain.refresh(self.instrument, work.days, int(self.clock) // 60, assets=work.assets)
            self.done.append(work)
            self.watermark = work.watermark
            assert len(self.done) < before + 5, f"never done: {self.done[-4:]}"
        if until is not None:
            self.clock = until
        return self.done[before:]

    def at(self, text: str, seconds: float = 0.0) -> None:
        self.clock = minute_of(text) * 60 + seconds

    def preload(self, end: int) -> None:
        """The minutes before, all made."""
        self.land(*range(START, end))
        self.clock = end * 60
        self.chain.refresh(self.instrument, range(FIRST_DAY, (end - 1) // 1440 + 1), end)
        self.live()
        self.done.clear()


@pytest.fixture(scope="module")
def rows() -> dict[int, tuple[float, ...]]:
    """Open, high, low, close, volume of every minute."""
    found = {}
    for line in walk(DAYS, first=START, seed=5):
        time, *values = line.split(",")
        found[int(time) // 60_000] = tuple(map(float, values))
    return found


@pytest.fixture
def world(database, rows):
    with (
        database.kept() as quick,
        psycopg.connect(database.uri, autocommit=True, row_factory=dict_row) as connection,
    ):
        connection.execute("SET TIME ZONE 'UTC'")
        yield World(chain_of(quick, SETTINGS), connection, rows)


def names(works: list[Work]) -> list[list[str]]:
    return [list(work.assets) for work in works]


def one_range(server_uri: str, template: str, world: World, edited: dict[int, float], without: set[int]):
    """What one run over all days stores of the same minutes."""
    with migrated_database(server_uri, template) as database, database.kept() as quick:
        with psycopg.connect(database.uri, autocommit=True, row_factory=dict_row) as connection:
            other = World(chain_of(quick, SETTINGS), connection, world.rows)
            end = int(world.clock) // 60
            other.land(*(minute for minute in range(START, end) if minute not in without))
            for minute, change in edited.items():
                other.land(minute, change=change)
            other.chain.refresh(other.instrument, range(FIRST_DAY, (end - 1) // 1440 + 1), end)
        return content(quick)


@pytest.mark.proof
def test_days_of_life_end_as_one_range_run(world, server_uri, template):
    """Slots without minutes, late minutes, revisions of closed bars, midnights, a lost watermark, at random moments."""
    rng = random.Random(3)
    begin = minute_of("2016-01-11 21:00")
    end = minute_of("2016-01-12 13:30")
    world.preload(begin)
    outage = range(minute_of("2016-01-12 08:00"), minute_of("2016-01-12 10:30"))
    late = {minute for minute in range(begin, end) if rng.random() < 0.01} | {minute_of("2016-01-11 23:59")}
    late -= set(outage)
    owed: list[tuple[int, int]] = sorted((minute + rng.randint(1, 90), minute) for minute in late)
    revised: dict[int, float] = {}
    for minute in range(begin, end):
        world.clock = minute * 60 + 60.3
        if minute not in late and minute not in outage:
            world.land(minute)
        while owed and owed[0][0] <= minute:
            world.land(owed.pop(0)[1])
        if rng.random() < 0.01:
            changed = rng.choice([m for m in range(minute - 700, minute - 1) if m not in revised | dict(owed)])
            if changed not in outage and all(changed != one for _, one in owed):
                revised[changed] = 0.5
                world.land(changed, change=0.5)
        if minute == minute_of("2016-01-12 12:13"):
            world.watermark = Watermark()
        world.live(until=minute * 60 + 60 + GRACE_SECONDS + 1)
        world.live()
    for _, minute in owed:
        world.land(minute)
    world.clock = end * 60 + 120
    world.live()
    assert len(world.done) > 16 * 60 / 37
    # The hour of 5m bars that nobody asked for yet.
    world.chain.refresh(world.instrument, range(FIRST_DAY, end // 1440 + 1), end, assets=["candles_other"])
    world.clock = end * 60

    lived = content(world.chain.database)
    assert lived == one_range(server_uri, template, world, revised, set(outage))
    assert len(revised) >= 8
    assert query(world.chain.database, "SELECT count(*) FROM current_decisions WHERE interval = '1d'")[0][0] == 9
    opinions = query(
        world.chain.database,
        "SELECT interval, count(target) > 0 FROM current_decisions WHERE time >= '2016-01-11' GROUP BY 1",
    )
    assert sorted(opinions) == [("148m", True), ("1d", True), ("37m", True)]
    origins = dict(query(world.chain.database, "SELECT origin, count(*) FROM decisions GROUP BY 1"))
    assert set(origins) == {"backfill", "live", "repair"}
    assert origins["live"] > 16 * 60 / 37


LIVE_DAY = FIRST_DAY + 8
CLOSES = {"37m": (LIVE_DAY * 1440 // 37 + 10) * 37, "148m": (LIVE_DAY * 1440 // 148 + 3) * 148}
"""Of that day, a close of 37m that is none of 148m, and one of both."""
assert CLOSES["37m"] % 148
assert CLOSES["148m"] // 1440 == CLOSES["37m"] // 1440 == LIVE_DAY

CHAIN = {name: ("candles_1m", f"candles_{name}", f"indicators_{name}", f"decisions_{name}") for name in ("37m", "148m")}


def settled(world: World, before: int) -> None:
    """All minutes before an epoch minute, made, and nothing due."""
    world.preload(before)
    assert world.look() is None


def test_a_close_asks_for_its_own_chain_alone(world):
    close = CLOSES["37m"]
    settled(world, close - 20)
    world.land(*range(close - 20, close))
    world.clock = close * 60 - 0.1
    assert world.look() is None
    world.clock = close * 60 + 0.1
    (work,) = world.live()
    assert work.assets == CHAIN["37m"]
    assert work.days == range(LIVE_DAY, LIVE_DAY + 1)
    assert work.symbols == (SYMBOL,)
    assert work.reason.startswith("37m closed at ")


def test_bars_that_close_together_are_one_run(world):
    close = CLOSES["148m"]
    settled(world, close - 20)
    world.land(*range(close - 20, close))
    world.clock = close * 60 + 0.1
    (work,) = world.live()
    assert set(work.assets) - {"candles_other"} == {*CHAIN["37m"], *CHAIN["148m"]}


def test_the_closing_minute_is_waited_for_but_not_for_ever(world):
    close = CLOSES["37m"]
    settled(world, close - 20)
    world.land(*range(close - 20, close - 1))
    world.clock = close * 60 + GRACE_SECONDS - 0.1
    assert world.look() is None
    world.clock = close * 60 + GRACE_SECONDS
    (work,) = world.live()
    assert work.assets == CHAIN["37m"]
    usable = "SELECT usable, minutes FROM candles WHERE interval = '37m' ORDER BY time DESC LIMIT 1"
    assert query(world.chain.database, usable) == [(False, 36)]

    world.clock += 40
    world.land(close - 1)
    (work,) = world.live()
    assert work.assets == CHAIN["37m"]
    assert query(world.chain.database, usable) == [(True, 37)]
    log = "SELECT version, origin FROM decisions WHERE interval = '37m' AND time = to_timestamp(%s) ORDER BY 1"
    assert query(world.chain.database, log, (close - 37) * 60) == [(1, "live"), (2, "repair")]


def test_a_slot_that_closes_without_any_new_minute_is_asked_for_once(world):
    """Its minutes were all looked at before it closed: only the clock tells that there is a bar to make."""
    close = CLOSES["37m"]
    settled(world, close - 5)
    bars = "SELECT count(*) FROM candles WHERE interval = '37m'"
    [(before,)] = query(world.chain.database, bars)
    world.clock = close * 60 + GRACE_SECONDS
    (work,) = world.live()
    assert work.assets == CHAIN["37m"]
    assert query(world.chain.database, bars) == [(before + 1,)]
    # The next slot gets no row at all.
    for slots, asked in ((1, 1), (1.5, 0), (2, 1)):
        world.clock = (close + int(slots * 37)) * 60 + GRACE_SECONDS
        assert len(world.live()) == asked
    assert query(world.chain.database, bars) == [(before + 1,)]


def test_a_revision_of_a_closed_bar_is_due_at_once_and_only_where_it_counts(world):
    close = CLOSES["148m"] + 37
    settled(world, close)
    world.clock += 61
    world.land(close)
    assert world.look() is None, "a minute of a bar that is open"
    world.land(close - 30, change=0.25)
    (work,) = world.live()
    assert work.assets == CHAIN["37m"], "148m has not closed since"
    world.land(close - 60, change=0.25)
    (work,) = world.live()
    assert work.assets == (*CHAIN["37m"][:1], "candles_37m", "candles_148m", "indicators_37m", "indicators_148m",
                           "decisions_37m", "decisions_148m")  # fmt: skip


def test_other_intervals_join_after_an_hour_and_are_looked_at_without_a_close_too(world):
    close = CLOSES["37m"]
    settled(world, close)
    looked = world.watermark.looked
    for n in (1, 2):
        world.land(*range(close, close + 37))
        close += 37
        world.clock = close * 60 + 1
        (work,) = world.live()
        assert ("candles_other" in work.assets) == (n == 2)
    assert world.watermark.looked == looked + 74

    alone = Watermark(closes=close, looked=close - 90, stamp=world.watermark.stamp, checked=world.clock)
    state = SymbolState(SYMBOL, {LIVE_DAY: close}, LIVE_DAY, close + 1)
    work = work_due([state], world.chain.catalogue, world.clock, alone)
    assert work is not None
    assert work.assets == ("candles_1m", "candles_other")


def test_midnight_makes_the_day_that_ended(world):
    midnight = (LIVE_DAY + 1) * 1440
    assert midnight % 37, "a 37m bar spans it"
    settled(world, midnight - 3)
    world.land(*range(midnight - 3, midnight))
    world.clock = midnight * 60 + 0.5
    works = world.live()
    assert works[0].days == range(LIVE_DAY, LIVE_DAY + 1)
    assert set(works[0].assets) == {*ALL} - {
        "indicators_37m", "indicators_148m", "decisions_37m", "decisions_148m"
    }, "no bar of 37m or 148m closed"  # fmt: skip
    assert works[1:] == []
    day = "SELECT origin FROM decisions WHERE interval = '1d' AND time = to_timestamp(%s)"
    assert query(world.chain.database, day, (midnight - 1440) * 60) == [("live",)]


def test_a_bar_that_spans_midnight_belongs_to_the_day_it_closes_in(world):
    day = next(day for day in range(LIVE_DAY - 3, LIVE_DAY + 2) if -day * 1440 % 37 > 10)
    midnight, close = day * 1440, day * 1440 + -day * 1440 % 37
    settled(world, midnight + 5)
    world.land(*range(midnight + 5, close))
    world.clock = close * 60 + 0.5
    (work,) = world.live()
    assert work.days == range(day, day + 1)
    assert set(work.assets) - {"candles_other"} == set(CHAIN["37m"])

    bar = "SELECT high FROM candles WHERE interval = '37m' AND time = to_timestamp(%s)"
    [(high,)] = query(world.chain.database, bar, (close - 37) * 60)
    world.clock += 60
    world.land(midnight - 1, change=50.0)
    works = world.live()
    assert works[0].days == range(day - 1, day + 1)
    assert query(world.chain.database, bar, (close - 37) * 60) > [(high + 40,)]


def test_a_repair_of_an_earlier_day_reaches_what_depends_on_it_and_no_more(world):
    settled(world, CLOSES["37m"])
    revised = LIVE_DAY - 5
    rows = row_versions(world.chain.database)
    world.clock += 1
    world.land(revised * 1440 + 1439, change=0.25)
    works = world.live()
    assert works[0].days == range(revised, revised + 2), "bars of 37m and 148m cross midnight"
    assert set(works[0].assets) == set(ALL)
    reached = [(work.assets, work.days) for work in works[1:]]
    assert reached
    for assets, days in reached:
        assert set(assets) <= {name for name in ALL if not name.startswith("candles")}, "bars are made once"
        assert days.start > revised
    recorded = "SELECT DISTINCT asset FROM partition_digests WHERE inputs_digest IS NULL OR content_digest IS NULL"
    assert query(world.chain.database, recorded) == []
    assert row_versions(world.chain.database) != rows
    catalogue, now = world.chain.catalogue, int(world.clock) // 60
    fresh = world.chain.refresh(world.instrument, range(FIRST_DAY, LIVE_DAY + 1), now, verify_only=True)
    assert {name for name in catalogue.names if fresh[name].recomputed} <= {"candles_other"}


def test_days_beyond_the_recent_ones_are_left_to_their_owner(world):
    settled(world, CLOSES["37m"])
    world.clock += 40 * 86_400
    world.land(FIRST_DAY * 1440 + 5, change=0.25)
    assert world.look() is None


def test_a_lost_watermark_costs_one_run_that_writes_nothing(world):
    settled(world, CLOSES["37m"])
    rows = row_versions(world.chain.database)
    world.watermark = Watermark()
    world.clock += 20
    (work,) = world.live()
    assert {"candles_37m", "candles_148m"} <= set(work.assets)
    assert row_versions(world.chain.database) == rows


def test_the_first_look_makes_the_history_and_the_day_in_one_run(world):
    close = CLOSES["37m"]
    world.land(*range(START, close))
    world.clock = close * 60 + 1
    works = world.live()
    assert works[0].days == range(FIRST_DAY, LIVE_DAY + 1)
    assert set(works[0].assets) == set(ALL)
    assert {row[0] for row in query(world.chain.database, "SELECT DISTINCT version FROM decisions")} == {1}


def test_symbols_without_recent_minutes_are_not_asked_about(world):
    catalogue, now = world.chain.catalogue, CLOSES["37m"] * 60.0 + 20
    old = SymbolState("BTCUSD.BITFINEX", {}, LIVE_DAY - 3, None)
    assert work_due([old], catalogue, now, Watermark()) is None
    new = SymbolState(SYMBOL, {LIVE_DAY: CLOSES["37m"] - 5}, LIVE_DAY, None)
    work = work_due([old, new], catalogue, now, Watermark())
    assert work is not None
    assert work.symbols == (SYMBOL,)


def test_a_symbol_that_does_not_flow_is_not_waited_for(world):
    catalogue, close = world.chain.catalogue, CLOSES["37m"]
    here = SymbolState(SYMBOL, {LIVE_DAY: close - 5}, LIVE_DAY, close)
    imported = SymbolState("BTCUSD.BITFINEX", {}, LIVE_DAY, close - 600)
    late = SymbolState("ETH", {}, LIVE_DAY, close - 1)
    assert work_due([here, imported], catalogue, close * 60 + 1.0, Watermark(close - 37, close)) is not None
    assert work_due([here, late], catalogue, close * 60 + 1.0, Watermark(close - 37, close)) is None


def test_a_strategy_that_reads_another_interval_gets_its_bars_first(tmp_path, monkeypatch):
    (tmp_path / "none.yaml").write_text("")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    (tmp_path / "filtered.py").write_text(
        "import numpy as np\n"
        "from btc_pipeline.strategies import FLAT, Input, Opinions, Strategy\n"
        "class Filtered(Strategy):\n"
        "    name = 'filtered'\n    display_name = 'Filtered'\n    description = 'Flat.'\n"
        "    def inputs(self, p):\n"
        "        return {'day': Input('sma', {'period': 20}, interval='1d')}\n"
        "    def decide(self, view, p):\n"
        "        n = len(view.bars)\n"
        "        return Opinions(np.full(n, FLAT, np.int8), np.ones(n), [])\n"
    )
    settings = small_settings(
        strategies_folder=tmp_path, indicators={}, strategies=({"strategy": "filtered", "intervals": ("37m",)},)
    )
    catalogue = build_catalogue(settings)
    midnight = next(day for day in range(LIVE_DAY, LIVE_DAY + 40) if day * 1440 % 37 == 0) * 1440
    state = SymbolState(SYMBOL, {midnight // 1440 - 1: midnight - 37}, midnight // 1440 - 1, midnight)
    work = work_due([state], catalogue, midnight * 60 + 1.0, Watermark(midnight - 1, midnight))
    assert work is not None
    assert work.assets == ("candles_1m", "candles_37m", "candles_1d", "decisions_37m")
    other = work_due([replace(state, touched={midnight // 1440 - 2: 0})], catalogue, midnight * 60 + 1.0,
                     Watermark(midnight - 1, midnight))  # fmt: skip
    assert other is not None
    assert other.assets == work.assets, "both closed"


def test_an_install_without_anything_asks_for_nothing(world):
    world.clock = CLOSES["37m"] * 60
    assert world.look() is None
    assert look(world.chain.database, world.chain.catalogue, world.clock, Watermark())[0] is None


@pytest.mark.parametrize("text", [None, "", "nonsense", "[1]", '{"other": 1}'])
def test_a_cursor_of_another_version_is_the_beginning(text):
    assert Watermark.from_json(text) == Watermark()
    assert Watermark.from_json(Watermark(5, 6, "x", 7.5).to_json()) == Watermark(5, 6, "x", 7.5)
