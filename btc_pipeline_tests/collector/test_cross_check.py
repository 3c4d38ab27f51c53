"""Two symbols compared as their minutes come: what is told, recorded and measured."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from btc_pipeline.collector.cross_check import RETRY_SECONDS, CrossCheck
from btc_pipeline.collector.database import DatabaseAwayError
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.store import Landing, MinuteStatus, MinuteStore
from btc_pipeline.exchanges.base import Minute
from btc_pipeline.market.basis import Comparison
from btc_pipeline.market.candles import Scale
from btc_pipeline.pipeline.cross_check import check_cross
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline.timing.clock import LoopClock
from btc_pipeline.timing.loops import VirtualLoop
from btc_pipeline_tests.collector.made_landings import FIRST, rows
from btc_pipeline_tests.collector.outside import OutsideStore

pytestmark = pytest.mark.timescale

SYMBOL, OTHER = "BTC", "BTCUSDT.BINANCE"
PAIR = Comparison(SYMBOL, OTHER)
SCALE = Scale(1, 5)
ABOVE = "cross-check: BTC is 60 bps above BTCUSDT.BINANCE (median 3 bps) for 3 minutes"
USUAL = "cross-check: BTC and BTCUSDT.BINANCE are as far apart as usual again"
HISTORY = range(100)
"""Minutes since FIRST that are stored before it begins."""


def minute(at: int, bps: float = 0.0, volume: float = 1.0) -> Minute:
    """So many basis points above 10,000."""
    price = 10_000.0 + bps
    return Minute(FIRST + at, price, price, price, price, volume, 3, decimals=Scale(1, 5))


@dataclass
class Bench:
    """A cross-check over a database on virtual time, which begins at minute 100."""

    database: Database
    away: bool = False
    lines: list[tuple[int, str]] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def run(self, script: Callable[[Bench], Awaitable[None]]) -> Bench:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            self.clock = LoopClock(loop, (FIRST + 100) * 60.0)
            self.store: Any = OutsideStore(MinuteStore(self.database.uri))
            for symbol, bps in ((SYMBOL, 3.0), (OTHER, 0.0)):
                await self.store.declare_instrument(symbol, SCALE)
                await self.land(symbol, (minute(at, bps) for at in HISTORY))
            self.begin()
            await script(self)
            self.end()
            await self.store.close()

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())
        return self

    def begin(self) -> None:
        """As a process begins."""
        self.check = CrossCheck([PAIR], self._perhaps_away(), self.clock, self.metrics, self._say)
        self._task = asyncio.create_task(self.check.run())

    def end(self) -> None:
        self._task.cancel()

    def _perhaps_away(self) -> Any:
        bench = self

        class Store:
            async def run(self, work: Any) -> Any:
                if bench.away:
                    raise DatabaseAwayError("it is away")
                return await bench.store.run(work)

        return Store()

    async def land(self, symbol: str, minutes: Iterable[Minute]) -> None:
        await self.store.land(symbol, [Landing(one, MinuteStatus.CONFIRMED, "test") for one in minutes])

    async def pass_minutes(self, bps: dict[int, float], volume: float = 1.0) -> None:
        """Each minute is told two seconds after its end, the other symbol's three seconds after that."""
        for at, points in bps.items():
            await asyncio.sleep((FIRST + at + 1) * 60 + 2.0 - self.clock.now())
            for symbol, value, amount in ((SYMBOL, points, volume), (OTHER, 0.0, 1.0)):
                one = minute(at, value, amount)
                await self.land(symbol, [one])
                self.check.told(symbol, [one])
                await asyncio.sleep(3.0)

    def _say(self, line: str) -> None:
        self.lines.append((math.floor(self.clock.now() / 60) - FIRST, line))

    def rows(self) -> list[tuple[Any, ...]]:
        return rows(
            self.database,
            "SELECT (extract(epoch FROM start_time) / 60 - %s)::int AS first, "
            "(extract(epoch FROM end_time) / 60 - %s)::int AS until, "
            "reason, resolved FROM data_quality WHERE kind = 'anomaly' ORDER BY id",
            FIRST,
            FIRST,
        )


def words(minutes: int) -> str:
    return ABOVE.removeprefix("cross-check: ").replace("3 minutes", f"{minutes} minutes")


def calm(minutes: range) -> dict[int, float]:
    return dict.fromkeys(minutes, 3.0)


def far(minutes: range, bps: float = 60.0) -> dict[int, float]:
    return dict.fromkeys(minutes, bps)


def test_an_alert_is_told_when_it_begins_and_when_it_is_over_and_recorded_meanwhile(database: Database) -> None:
    seen = []

    async def script(bench: Bench) -> None:
        await bench.pass_minutes(calm(range(100, 105)) | far(range(105, 107)))
        assert bench.rows() == []
        await bench.pass_minutes(far(range(107, 112)))
        seen.append(bench.rows())
        await bench.pass_minutes(calm(range(112, 115)))

    bench = Bench(database).run(script)
    assert seen == [[(105, 112, words(7), False)]]
    assert bench.rows() == [(105, 112, words(7), True)]
    # Minute 107 is over when the clock shows 108; the other symbol's comes last.
    assert bench.lines == [(108, ABOVE), (113, USUAL)]
    gauge = bench.metrics.registry.get_sample_value(
        "btc_pipeline_collector_cross_check_deviation_bps", {"symbol": SYMBOL, "against": OTHER}
    )
    assert gauge == 0.0


def test_the_asset_check_finds_the_same_rows(database: Database) -> None:
    async def script(bench: Bench) -> None:
        await bench.pass_minutes(calm(range(100, 103)) | far(range(103, 108)) | calm(range(108, 112)))

    bench = Bench(database).run(script)
    live, versions = bench.rows(), rows(database, "SELECT ctid::text, xmin::text AS version FROM data_quality")
    assert len(live) == 1
    with database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
    day = FIRST // 1440
    assert not check_cross(database, [PAIR], instrument, range(day, day + 1), FIRST + 120).passed
    assert bench.rows() == live
    assert rows(database, "SELECT ctid::text, xmin::text AS version FROM data_quality") == versions


def test_a_minute_that_one_symbol_lacks_ends_an_alert_and_a_quiet_one_is_none(database: Database) -> None:
    async def script(bench: Bench) -> None:
        await bench.pass_minutes(far(range(100, 104)))
        await bench.pass_minutes({104: 60.0}, volume=0.0)
        await bench.pass_minutes(far(range(105, 107)))

    bench = Bench(database).run(script)
    assert bench.rows() == [(100, 104, words(4), True)]
    assert [line for _, line in bench.lines] == [ABOVE, USUAL]


def test_a_minute_that_comes_late_joins_a_run(database: Database) -> None:
    async def script(bench: Bench) -> None:
        await bench.pass_minutes(far(range(100, 102)) | far(range(103, 104)))
        assert bench.rows() == []
        late = minute(102, 60.0)
        for symbol in (SYMBOL, OTHER):
            bench.check.told(symbol, [late if symbol == SYMBOL else minute(102)])
        await bench.pass_minutes(far(range(104, 105)))

    bench = Bench(database).run(script)
    assert bench.rows() == [(100, 105, words(5), False)]


def test_a_database_that_is_away_gets_the_alert_when_it_is_back(database: Database) -> None:
    async def script(bench: Bench) -> None:
        await bench.pass_minutes(calm(range(100, 102)))
        bench.away = True
        await bench.pass_minutes(far(range(102, 106)))
        assert bench.rows() == []
        bench.away = False
        await asyncio.sleep(RETRY_SECONDS + 1)

    bench = Bench(database).run(script)
    assert bench.rows() == [(102, 106, words(4), False)]
    assert [line for _, line in bench.lines] == [ABOVE]


def test_it_begins_without_a_database_and_reads_its_history_later(database: Database) -> None:
    async def script(bench: Bench) -> None:
        bench.end()
        bench.away = True
        bench.begin()
        await bench.pass_minutes(far(range(100, 103)))
        bench.away = False
        await asyncio.sleep(RETRY_SECONDS + 1)

    assert Bench(database).run(script).rows() == [(100, 103, words(3), False)]


@pytest.mark.parametrize("goes_on", [True, False])
def test_an_alert_that_an_earlier_process_left_open_goes_on_or_is_over(database: Database, goes_on: bool) -> None:
    async def script(bench: Bench) -> None:
        await bench.pass_minutes(far(range(100, 104)))
        bench.end()
        assert [row[3] for row in bench.rows()] == [False]
        bench.begin()
        await bench.pass_minutes(far(range(104, 106)) if goes_on else calm(range(104, 106)))

    bench = Bench(database).run(script)
    assert bench.rows() == [(100, 106, words(6), False) if goes_on else (100, 104, words(4), True)]


def test_a_long_alert_is_one_though_its_start_is_looked_at_no_more(database: Database) -> None:
    async def script(bench: Bench) -> None:
        await bench.pass_minutes({100: 3.0} | far(range(101, 190)))

    bench = Bench(database).run(script)
    assert bench.rows() == [(101, 190, words(89), False)]
    assert [line for _, line in bench.lines] == [ABOVE]


def test_what_ended_long_ago_is_recorded_but_no_news(database: Database) -> None:
    async def script(bench: Bench) -> None:
        bench.end()
        await bench.land(SYMBOL, [minute(at, 60.0) for at in range(80, 84)])
        bench.begin()
        await bench.pass_minutes(calm(range(100, 102)))

    bench = Bench(database).run(script)
    assert bench.rows() == [(80, 84, words(4), True)]
    assert bench.lines == []
