"""The replay exchange as a process: what it serves, at which time, until somebody stops it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay.behaviour import Behaviour
from btc_pipeline.exchanges.replay.hyperliquid import VENUE as HYPERLIQUID
from btc_pipeline.exchanges.replay.joint_market import JointMarket
from btc_pipeline.exchanges.replay.market import Market
from btc_pipeline.exchanges.replay.server import ReplayExchange
from btc_pipeline.exchanges.replay.synthetic import SyntheticMarket
from btc_pipeline.timing.clock import SystemClock
from btc_pipeline.timing.shared import CLOCK_VARIABLE, SharedTime, shared_time

DEFAULT_COINS: Final = ("BTC", "ETH")


class At(StrEnum):
    """At which time the market is served."""

    NOW = "now"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What to serve.

    Attributes:
        file: candles for the first coin; the others are made up, and without a file all are.
        at: `now` is the machine's time; `own` is the file's, or for a made-up market any.
        start: epoch minute at which to begin (`own`), or of the file that is to be now; None: a file begins at its
            first row (`own`) or is served over and over, so that a restart goes on where it was (`now`).
    """

    port: int
    file: Path | None = None
    seed: int = 1
    at: At = At.NOW
    start: int | None = None
    speed: float = 1.0
    coins: tuple[str, ...] = DEFAULT_COINS
    empty_share: float = 0.0
    behaviour: Behaviour = field(default_factory=Behaviour)


def run(plan: ReplayPlan, say: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM.

    Raises:
        UserError: the file, the time or the port cannot be had.
    """
    market, first = market_of(plan)
    shared = _time(plan, first)
    if shared is None:
        with asyncio.Runner() as runner:
            runner.run(_serve(ReplayExchange(market, SystemClock(), plan.behaviour), plan, None, say))
    else:
        with asyncio.Runner(loop_factory=shared.make_loop) as runner:
            clock = shared.make_clock(runner.get_loop())
            runner.run(_serve(ReplayExchange(market, clock, plan.behaviour), plan, shared, say))


def market_of(plan: ReplayPlan) -> tuple[Market, int | None]:
    """The market of a plan, and the epoch minute of its file's first row if it has a file.

    Raises:
        UserError: the file cannot be had, or does not contain the start.
    """
    if plan.file is None:
        return SyntheticMarket(plan.seed, plan.coins, plan.empty_share), None
    from btc_pipeline.exchanges.replay.file_market import FileMarket, read_candles

    if not plan.file.is_file():
        problem = "is not a file" if plan.file.exists() else "does not exist"
        raise UserError(f"file {str(plan.file)!r} {problem}.", field="file")
    candles = read_candles(plan.file)
    first, end = int(candles.time[0]), int(candles.time[-1]) + 1
    if plan.start is not None and not first <= plan.start < end:
        raise UserError(f"start {_text(plan.start)} is not in the file: {_text(first)} to {_text(end)}.", field="start")
    shift, repeat = 0, False
    if plan.at is At.NOW:
        repeat = plan.start is None
        shift = 0 if plan.start is None else int(shared_now() // 60) - plan.start
    served = FileMarket(candles, plan.coins[0], shift=shift, repeat=repeat, source=plan.file.name)
    others = plan.coins[1:]
    made_up = SyntheticMarket(plan.seed, others, plan.empty_share)
    return JointMarket([served, made_up]), first


async def _serve(
    exchange: ReplayExchange, plan: ReplayPlan, shared: SharedTime | None, say: Callable[[str], None]
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stopped.set)
    await exchange.start(port=plan.port)
    for line in _welcome(exchange, shared):
        say(line)
    await stopped.wait()
    await exchange.stop()
    say("REPLAY exchange stopped")


def _welcome(exchange: ReplayExchange, shared: SharedTime | None) -> list[str]:
    moment = datetime.fromtimestamp(exchange.venue.now(), UTC)
    speed = f", {shared.speed:g} times as fast" if shared and shared.speed != 1 else ""
    variables = [f"BTC_PIPELINE_FEED=replay BTC_PIPELINE_REPLAY__PORT={exchange.port}"]
    if shared is not None:
        variables.append(f"{CLOCK_VARIABLE}={shared.text}")
    return [
        "REPLAY exchange: it plays Hyperliquid, Bybit and Binance; nothing that it says was traded there",
        f"  market      {exchange.market.describe()}",
        f"  time        {moment:%Y-%m-%d %H:%M:%S} UTC{speed}",
        f"  WebSocket   {exchange.websocket_url}",
        f"  REST        {exchange.api_url}/info",
        *_others(exchange),
        f"  state       curl {exchange.api_url}/replay/state",
        f'  a fault     curl {exchange.api_url}/replay/faults -d \'{{"kind": "stall", "seconds": 90}}\'',
        f"  use it      {' '.join(variables)} btc-pipeline collect",
        "Ctrl-C stops it",
    ]


def _others(exchange: ReplayExchange) -> list[str]:
    """Where the venues beside Hyperliquid are."""
    lines = []
    for venue in exchange.venues:
        if venue != HYPERLIQUID:
            addresses = exchange.addresses(venue)
            urls = (addresses.websocket_url, addresses.api_url, addresses.archive_url)
            lines.append(f"  {venue:<11} {' '.join(url for url in urls if url)}")
    return lines


def shared_now() -> float:
    """UTC seconds, by the time that this process shares with others."""
    shared = shared_time()
    return time.time() if shared is None else shared.epoch + (time.time() - shared.started) * shared.speed


def _time(plan: ReplayPlan, first: int | None) -> SharedTime | None:
    given = shared_time()
    own = plan.at is At.OWN
    if given is not None:
        if plan.speed != 1 or (own and plan.start is not None):
            raise UserError(f"{CLOCK_VARIABLE} is set: it decides speed and start; leave one of them out.")
        return given
    start = first if plan.start is None else plan.start
    if own and start is None:
        raise UserError("--at own needs --start, a time such as 2026-03-01T00:00, for a made-up market.", field="start")
    if own and start is not None:
        return SharedTime(plan.speed, time.time(), start * 60.0)
    started = time.time()
    return None if plan.speed == 1 else SharedTime(plan.speed, started, started)


def _text(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y-%m-%dT%H:%M}Z"
