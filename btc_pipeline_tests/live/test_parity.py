"""What was decided live equals what a range run over the same file decides, bit for bit, on three real days."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from btc_pipeline.exchanges.replay import Behaviour
from btc_pipeline.exchanges.replay.file_market import FileMarket
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.pipeline.live import Watermark, look, next_close
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline_tests.databases import migrated_database
from btc_pipeline_tests.live.world import SYMBOL, World, final_rows, live, stored_rows, truth
from btc_pipeline_tests.pipeline.worlds import chain_of, content, query, small_settings
from btc_pipeline_tests.real_data import binanceus_minutes, needs_real_data

pytestmark = [needs_real_data, pytest.mark.timeout(900), pytest.mark.proof]

PRELOADED_DAYS, LIVE_DAYS = 18, 3
SETTINGS = small_settings(
    strategies=(
        {"strategy": "ma44", "intervals": ["37m", "148m"]},
        {"strategy": "ma", "parameters": {"period": 5}, "intervals": ["1d"]},
    )
)
Replayed = tuple[Database, Database, FileMarket, World]
"""The database that was live, the one that imported the file, the market, the world."""
AFTERWARDS = 20
"""Minutes: the last ones of the file are confirmed after a quarter of an hour."""
# A closed minute takes so long at most to be landed where REST has to say it.
LANE_WAITS = (8.0, 22.0)


def csv_of(market: FileMarket, start: int, end: int, folder: Path) -> Path:
    """The market's rows of the epoch minutes [start, end) as a file to import, counts of trades included."""
    path = folder / "candles.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "open", "high", "low", "close", "volume", "trades"])
        for row in final_rows(market, start, end):
            writer.writerow([row.time * 60, row.open, row.high, row.low, row.close, row.volume, row.trades])
    return path


def do_work(chain: Chain, now: float, watermark: Watermark) -> Watermark:
    """What the sensor and its runs do at a moment."""
    while True:
        work, watermark = look(chain.database, chain.catalogue, now, watermark)
        if work is None:
            return watermark
        with chain.database.arrow() as cursor:
            instrument = find_instrument(cursor, SYMBOL)
        chain.refresh(instrument, work.days, int(now // 60), assets=work.assets)
        watermark = work.watermark


@pytest.fixture(scope="module")
def replayed(
    server_uri: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Database, FileMarket, World]]:
    folder = tmp_path_factory.mktemp("parity")
    minutes = binanceus_minutes()
    market = FileMarket(replace(minutes), SYMBOL)
    first, begin = market.first, market.first + PRELOADED_DAYS * 1440
    end = begin + LIVE_DAYS * 1440
    with migrated_database(server_uri, template) as lived, migrated_database(server_uri, template) as imported:
        chain = chain_of(lived, SETTINGS)
        import_candles(lived, csv_of(market, first, begin, folder), SYMBOL)

        async def lane(world: World) -> None:
            watermark = do_work(chain, world.clock.now(), Watermark())
            while True:
                close = next_close(chain.catalogue, world.clock.now()) * 60
                for wait in LANE_WAITS:
                    await asyncio.sleep(close + wait - world.clock.now())
                    watermark = do_work(chain, world.clock.now(), watermark)

        async def script(world: World) -> None:
            with chain.database.arrow() as cursor:
                instrument = find_instrument(cursor, SYMBOL)
            chain.refresh(instrument, range(first // 1440, begin // 1440), begin)
            world.start_collector()
            sensor = asyncio.create_task(lane(world))
            await world.until((end + AFTERWARDS) * 60.0)
            await world.stop_collector()
            sensor.cancel()

        world = live(
            lived,
            folder,
            market,
            script,
            start=begin * 60.0 - 1.0,
            behaviour=Behaviour(frames_per_minute=6),
        )
        import_candles(imported, csv_of(market, first, end, folder), SYMBOL)
        other = chain_of(imported, SETTINGS)
        with imported.arrow() as cursor:
            instrument = find_instrument(cursor, SYMBOL)
        other.refresh(instrument, range(first // 1440, end // 1440 + 1), end + AFTERWARDS)
        yield lived, imported, market, world


def test_the_stored_minutes_are_the_file_s(replayed: Replayed) -> None:
    lived, _, market, _ = replayed
    assert stored_rows(lived) == truth(market, market.first, market.end)
    minutes = binanceus_minutes()
    rows = zip(minutes.open, minutes.high, minutes.low, minutes.close, minutes.volume, strict=True)
    assert {time: row[:5] for time, row in stored_rows(lived).items()} == dict(
        zip(minutes.time.tolist(), rows, strict=True)
    )


def test_bars_indicators_and_decisions_equal_those_of_a_range_run(replayed: Replayed) -> None:
    lived, imported, _, _ = replayed
    found, wanted = content(lived), content(imported)
    for table, rows in wanted.items():
        assert sorted(set(found[table]) ^ set(rows)) == [], table
    assert found == wanted


def test_the_strategies_had_opinions_live(replayed: Replayed) -> None:
    lived, _, _, _ = replayed
    found = query(
        lived,
        "SELECT strategy, interval, count(DISTINCT time) AS n FROM decisions "
        "WHERE target IS NOT NULL AND origin = 'live' GROUP BY 1, 2",
    )
    opinions = {(strategy, interval): bars for strategy, interval, bars in found}
    assert opinions[("ma44", "37m")] > 100
    assert opinions[("ma44", "148m")] > 25
    # The day that closed as the collector began is among them.
    assert opinions[("ma", "1d")] == LIVE_DAYS + 1
