"""A replay exchange that tells what it does: `... -m btc_pipeline_tests.bench.live_exchange PORT COIN ... [--refuse]`.

It prints a line when it is about to send the first frame of a minute, which closes the one before, and a line for every
REST request that it answers; with the machine's clock.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from btc_pipeline.exchanges.replay import Fault, FaultKind, ReplayExchange, hyperliquid
from btc_pipeline.exchanges.replay.counters import Counters
from btc_pipeline.exchanges.replay.hyperliquid_feed import CoinFeed
from btc_pipeline.exchanges.replay.market import MinuteRow
from btc_pipeline.exchanges.replay.synthetic import SyntheticMarket
from btc_pipeline.timing.clock import SystemClock

SEED: Final = 1
FOREVER_SECONDS: Final = 1e9


class Sent(NamedTuple):
    """The first frame of a minute; `time` in UTC seconds, taken just before it is sent."""

    coin: str
    minute: int
    time: float


def market(*coins: str) -> SyntheticMarket:
    """What such an exchange trades."""
    return SyntheticMarket(SEED, coins)


def sent_frames(log: Path) -> list[Sent]:
    """What an exchange with that log has sent."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [Sent(line[1], int(line[2]), float(line[3])) for line in lines if line[0] == "sent"]


def answered_requests(log: Path) -> list[float]:
    """When an exchange with that log was asked what it answered, UTC seconds."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [float(line[1]) for line in lines if line[0] == "answered"]


class _TellingFeed(CoinFeed):
    _newest = 0

    def _tell(self, row: MinuteRow) -> None:
        if row.minute > self._newest:
            self._newest = row.minute
            print("sent", self._listing.name, row.minute, repr(time.time()), flush=True)
        super()._tell(row)


class _TellingCounters(Counters):
    def note_request(self, time: float, kind: str, status: int, weight: int) -> None:
        super().note_request(time, kind, status, weight)
        if status == 200:
            print("answered", repr(time), flush=True)


async def _serve(port: int, coins: list[str], refuses: bool) -> None:
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    vars(hyperliquid)["CoinFeed"] = _TellingFeed
    exchange = ReplayExchange(market(*coins), SystemClock())
    exchange.venue.counters = _TellingCounters()
    if refuses:
        exchange.inject(Fault(FaultKind.REFUSE, seconds=FOREVER_SECONDS))
    await exchange.start(port=port)
    await stopped.wait()
    await exchange.stop()


if __name__ == "__main__":
    words = sys.argv[1:]
    asyncio.run(_serve(int(words[0]), [word for word in words[1:] if word != "--refuse"], "--refuse" in words))
