"""Landing: from the frame that closes a minute to its row readable in the database.

Real time and real processes: exchange, collector, server. To have many samples soon the exchange trades many coins; all
of their minutes close within the same second, so a minute also waits for others to be written: rather slower than one
symbol alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final

import psycopg

from btc_pipeline.collector.store import Landing, MinuteStatus, MinuteStore
from btc_pipeline.market.candles import Scale
from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_exchange import market, sent_frames
from btc_pipeline_tests.bench.live_stack import LiveSpace, Place, percentile, place
from btc_pipeline_tests.live.world import final_rows

COINS: Final = ("BTC", *(f"C{number:02}" for number in range(1, 20)))
ASKED: Final = {0.5: 0.2, 0.99: 1.0}
POLL_SECONDS: Final = 0.003
START_SECONDS: Final = 90.0
"""Catching up of so many coins takes the request budget of a minute; what closes meanwhile is held until then."""
GIVEN_UP_SECONDS: Final = 55.0
"""So long after a minute its rows are waited for."""
SLOW_SHOWN: Final = 5
NEWEST: Final = """
SELECT symbol, extract(epoch FROM time)::bigint / 60 AS minute FROM candles
WHERE interval = '1m' AND time >= to_timestamp(%s)
"""

Key = tuple[str, int]
"""A coin and an epoch minute."""


def run(space: LiveSpace) -> list[Figure]:
    config = {"symbols": [_symbol(coin) for coin in COINS]}
    with place(space, "landing", config=config) as here:
        uri = here.database().uri
        asyncio.run(_begin(uri))
        with here.exchange(coins=COINS), here.collector():
            # The minute in which the collector subscribes is tainted.
            first = int((time.time() + START_SECONDS) // 60) + 1
            space.say(f"landing: {space.minutes} minutes of {len(COINS)} coins, after {first * 60 - time.time():.0f} s")
            readable = _watch(uri, first, first + space.minutes)
        seconds = _latencies(here, readable, range(first, first + space.minutes))
    return [_figure(seconds, first)]


async def _begin(uri: str) -> None:
    """A confirmed minute of every coin, so that a few minutes have to be caught up and not three days."""
    store = MinuteStore(uri)
    traded, before = market(*COINS), int(time.time() // 60) - 2
    for coin in COINS:
        listing = traded.listings[coin]
        await store.declare_instrument(_symbol(coin), Scale(listing.price_decimals, listing.volume_decimals))
        rows = final_rows(traded, before, before + 1, coin)
        await store.land(_symbol(coin), [Landing(row, MinuteStatus.CONFIRMED, "the bench") for row in rows])
    await store.close()


def _watch(uri: str, first: int, end: int) -> dict[Key, float]:
    """When each coin's row of the epoch minutes [first, end) was first read, UTC seconds."""
    readable: dict[Key, float] = {}
    coins = {_symbol(coin): coin for coin in COINS}
    with psycopg.connect(uri, autocommit=True) as connection:
        for minute in range(first, end):
            closes = (minute + 1) * 60
            time.sleep(max(0.0, closes - time.time()))
            while time.time() < closes + GIVEN_UP_SECONDS:
                rows = connection.execute(NEWEST, [minute * 60]).fetchall()
                now = time.time()
                for symbol, at in rows:
                    readable.setdefault((coins[symbol], at), now)
                if all((coin, minute) in readable for coin in COINS):
                    break
                time.sleep(POLL_SECONDS)
    return readable


def _latencies(here: Place, readable: dict[Key, float], minutes: range) -> dict[Key, float]:
    """Seconds from a successor's frame to the row; infinite where no row came in time."""
    sent = {(frame.coin, frame.minute - 1): frame.time for frame in sent_frames(here.log("exchange"))}
    keys = [(coin, minute) for minute in minutes for coin in COINS]
    return {key: readable.get(key, math.inf) - sent[key] for key in keys}


def _symbol(coin: str) -> str:
    return coin if coin == "BTC" else f"{coin}.HYPERLIQUID"


def _figure(by_key: dict[Key, float], first: int) -> Figure:
    # A look at REST that happens to come between a minute's end and the first frame of the next lands the minute, too.
    early = sum(value < 0 for value in by_key.values())
    by_key = {key: value for key, value in by_key.items() if value >= 0}
    seconds = list(by_key.values())
    of_btc = [round(value, 3) for (coin, _), value in by_key.items() if coin == "BTC"]
    slowest = sorted(by_key.items(), key=lambda one: -one[1])[:SLOW_SHOWN]
    reached = all(percentile(seconds, share) <= limit for share, limit in ASKED.items())
    return Figure(
        "exchange frame that closes a minute -> row readable",
        f"p50 {percentile(seconds, 0.5):.3f} s, p99 {percentile(seconds, 0.99):.3f} s",
        "0.2 s / 1 s",
        reached,
        [
            f"{len(seconds)} closes of {len(COINS)} coins in real time; read every {POLL_SECONDS * 1000:.0f} ms",
            f"left out: {early} that REST had told of before the frame",
            "all coins close within the same second and share one writer: rather slower than one symbol",
            f"BTC alone: {of_btc}",
            f"slowest: {', '.join(f'{coin} in minute {at - first} {value:.3f} s' for (coin, at), value in slowest)}",
        ],
    )
