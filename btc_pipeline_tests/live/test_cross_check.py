"""A collector of two venues, one of which is dearer for a while: told, measured and recorded without being asked to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from btc_pipeline.exchanges.replay import Behaviour, Market, SyntheticMarket, server
from btc_pipeline.exchanges.replay.market import Listing, MinuteRow
from btc_pipeline.exchanges.replay.tape import Tape
from btc_pipeline.exchanges.replay.venue import Venue
from btc_pipeline.pipeline.cross_check import check_cross
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline_tests.live.world import World, live
from btc_pipeline_tests.pipeline.worlds import query

START: Final = 1_790_232_030.0
FIRST: Final = int(START // 60)
OTHER: Final = "BTCUSDT.BYBIT"
DEARER: Final = range(FIRST + 8, FIRST + 13)
BEHAVIOUR: Final = Behaviour(frames_per_minute=12, retention=120)


class Dearer:
    """A market whose prices are half a percent higher in some minutes."""

    def __init__(self, market: Market, minutes: range) -> None:
        self._market = market
        self._minutes = minutes

    @property
    def listings(self) -> Mapping[str, Listing]:
        return self._market.listings

    def minute(self, coin: str, minute: int) -> MinuteRow | None:
        row = self._market.minute(coin, minute)
        if row is None or minute not in self._minutes:
            return row
        prices = {name: getattr(row, name) * 201 // 200 for name in ("open", "high", "low", "close")}
        return row._replace(**prices)

    def last_close(self, coin: str, minute: int) -> int | None:
        return self._market.last_close(coin, minute)

    def begins(self, coin: str) -> int:
        return self._market.begins(coin)

    def describe(self) -> str:
        return "a dearer market"


def collect(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> World:
    market = SyntheticMarket(3, ("BTC",))
    dearer = Tape(Dearer(market, DEARER), BEHAVIOUR.frames_per_minute)

    def venue(name: str, tape: Tape, *others: Any, **named: Any) -> Venue:
        return Venue(name, dearer if name == "HYPERLIQUID" else tape, *others, **named)

    monkeypatch.setattr(server, "Venue", venue)

    async def script(world: World) -> None:
        world.start_collector()
        await world.until(START + 20 * 60)
        await world.stop_collector()

    begin = partial(live, database, folder, market, script, start=START, behaviour=BEHAVIOUR)
    return begin(settings={"symbols": ("BTC", OTHER), **settings})


def recorded(database: Database) -> list[tuple[Any, ...]]:
    return query(
        database,
        "SELECT symbol, extract(epoch FROM start_time)::bigint / 60 AS first, "
        "extract(epoch FROM end_time)::bigint / 60 AS until, reason, resolved FROM data_quality WHERE kind = 'anomaly'",
    )


def test_two_venues_of_one_base_are_compared_without_being_asked_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = collect(database, tmp_path, monkeypatch)
    said = [line for line in world.lines if line.startswith("cross-check:")]
    assert said == [
        "cross-check: BTC is 50 bps above BTCUSDT.BYBIT (median 0 bps) for 3 minutes",
        "cross-check: BTC and BTCUSDT.BYBIT are as far apart as usual again",
    ]
    words = "BTC is 50 bps above BTCUSDT.BYBIT (median 0 bps) for 5 minutes"
    rows = recorded(database)
    assert rows == [("BTC", DEARER.start, DEARER.stop, words, True)]
    with database.arrow() as cursor:
        instrument = find_instrument(cursor, "BTC")
    comparisons = Settings(symbols=("BTC", OTHER)).comparisons
    day = FIRST // 1440
    report = check_cross(database, comparisons, instrument, range(day, day + 1), int(world.clock.now() // 60))
    assert report.summary == "1 alerts against BTCUSDT.BYBIT"
    assert recorded(database) == rows


def test_nothing_is_compared_where_the_settings_say_so(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = collect(database, tmp_path, monkeypatch, cross_checks=())
    assert not any("cross-check" in line for line in world.lines)
    assert recorded(database) == []
