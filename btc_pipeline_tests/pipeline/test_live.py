"""What the live lane is asked for, bar after bar on a clock of the test's own, and that it ends as one range run does."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise

import psycopg
import pytest
from psycopg.rows import dict_row

from btc_pipeline.market.candles import Scale
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.pipeline.live import (
    GRACE_SECONDS,
    SymbolState,
    Watermark,
    Work,
    look,
    look_with,
    work_due,
)
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
    refresh_stale,
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
ALL = "candles_1m candles_37m candles_148m candles_1d candles_other indicators_37m indicators_148m indicators_1d " \
      "decisions_37m decisions_148m decisions_1d".split()  # fmt: skip


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


def test_days_of_life_end_as_one_range_run(world, server_uri, template):
    """Slots without minutes, late minutes, revisions of closed bars, midnights, a lost watermark, at random moments."""
    rng = random.Random(3)
    begin = minute_of("2016-01-11 19:00")
    end = minute_of("2016-01-12 17:30")
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
        if rng.random() < 0.008:
            changed = rng.choice([m for m in range(minute - 700, minute - 1) if m not in revised | dict(owed)])
            if changed not in outage and all(changed != one for _, one in owed):
                revised[changed] = 0.5
                world.land(changed, change=0.5)
        if minute == minute_of("2016-01-12 13:13"):
            world.watermark = Watermark()
        world.live(until=minute * 60 + 60 + GRACE_SECONDS + 1)
        world.live()
    for _, minute in owed:
        world.land(minute)
    world.clock = end * 60 + 120
    world.live()
    assert len(world.done) > 22 * 60 / 37
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
    assert origins["live"] > 22 * 60 / 37


def test_what_is_due_at_a_close_is_as_small_as_it_can_be(world):
    world.preload(minute_of("2016-01-11 05:33"))  # 37m closes at 05:33, and 148m not
    close = minute_of("2016-01-11 06:10")
    for minute in range(minute_of("2016-01-11 05:33"), close):
        world.land(minute)
    world.clock = close * 60 + 0.5
    (work,) = world.live()
    assert work.assets == ("candles_1m", "candles_37m", "indicators_37m", "decisions_37m")
    assert work.days == range(FIRST_DAY + 8, FIRST_DAY + 9)
    assert work.reason == "37m closed at 06:10"
    assert world.look() is None
