"""Cases of things that go wrong, each made from its seed alone: a market, an exchange's habits, faults, interruptions.

Belongs here: what happens when. Does not belong here: what must hold afterwards (`judging`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Any, Final

from btc_pipeline.collector.database import DatabaseAwayError
from btc_pipeline.exchanges.replay import (
    Behaviour,
    EmptyMinute,
    Fault,
    FaultKind,
    SyntheticMarket,
    random_faults,
)
from btc_pipeline.exchanges.replay.faults import COMMON_KINDS
from btc_pipeline.pipeline.collection import CollectorHealth, assess_collector
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.health import COLLECTORS, read
from btc_pipeline_tests.live.world import World

FIRST_DAY: Final = 1_790_208_000.0
"""2026-09-24T00:00Z."""
RETENTION_MINUTES: Final = 600
CALM_MINUTES: Final = 6
TROUBLED_MINUTES: Final = 130
SETTLING_MINUTES: Final = 45
"""REST is asked again after a quarter of an hour at the latest, and has its last word another quarter later."""

_ALONE: Final = COMMON_KINDS


class End(StrEnum):
    """How a collector's process ends."""

    STOP = "stop"
    KILL = "kill"
    KILL_BEFORE_LANDING = "kill before landing"
    KILL_AFTER_LANDING = "kill after landing"


@dataclass(frozen=True, slots=True)
class Interruption:
    """The collector ends at a moment (UTC seconds), and is started again after `pause` seconds."""

    at: float
    how: End
    pause: float


@dataclass(frozen=True, slots=True)
class Outage:
    """The database does not answer from a moment on (UTC seconds), for so long."""

    at: float
    seconds: float

    def covers(self, moment: float) -> bool:
        return self.at <= moment < self.at + self.seconds


@dataclass(frozen=True)
class Case:
    """One case. Moments are UTC seconds."""

    seed: int
    start: float
    end: float
    market: SyntheticMarket
    behaviour: Behaviour
    settings: Mapping[str, object]
    faults: tuple[Fault, ...]
    interruptions: tuple[Interruption, ...]
    outages: tuple[Outage, ...]

    def __str__(self) -> str:
        faults = ", ".join(
            f"{one.kind} at +{(one.at or 0.0) - self.start:.0f} s for {one.seconds:.0f} s" for one in self.faults
        )
        ends = ", ".join(
            f"{one.how} at +{one.at - self.start:.0f} s for {one.pause:.0f} s" for one in self.interruptions
        )
        away = ", ".join(
            f"database away at +{one.at - self.start:.0f} s for {one.seconds:.0f} s" for one in self.outages
        )
        habits = f"{self.behaviour.frames_per_minute} frames a minute, empty minutes {self.behaviour.empty_minute}"
        return f"seed {self.seed}: {habits}; {faults}; {ends or 'no interruption'}; database {away or 'there'}"


def case_of(seed: int) -> Case:
    """The case of a seed: three of four have faults of one kind, each kind in turn; the fourth has many kinds."""
    source = Random(seed)
    start = FIRST_DAY + round(source.uniform(0, 86_400), 3)
    trouble = start + CALM_MINUTES * 60
    settled = trouble + TROUBLED_MINUTES * 60
    if seed % 4 == 3:
        kinds, count = _ALONE, source.randint(5, 21)
    else:
        kinds, count = (_ALONE[(seed - seed // 4) % len(_ALONE)],), source.randint(2, 5)
    faults = tuple(_with_code(source, one) for one in random_faults(seed, trouble, settled, count, kinds))
    case = Case(
        seed=seed,
        start=start,
        end=settled + SETTLING_MINUTES * 60 + 40.0,
        market=SyntheticMarket(seed, ("BTC",), empty_share=source.choice((0.0, 0.0, 0.03, 0.3))),
        behaviour=Behaviour(
            frames_per_minute=source.choice((12, 12, 12, 12, 12, 24, 24, 60)),
            empty_minute=source.choice(tuple(EmptyMinute)),
            greeting=source.random() < 0.2,
            refusal_status=source.choice((None, 429, 503)),
            retention=RETENTION_MINUTES,
        ),
        settings={"collector": {"omitted_minutes": source.choice(("gap", "quiet"))}},
        faults=faults,
        interruptions=_interruptions(source, trouble, settled) if source.random() < 0.4 else (),
        outages=_outages(source, trouble, settled) if source.random() < 0.3 else (),
    )
    return replace(
        case, behaviour=replace(case.behaviour, late_flat_seconds=source.choice((30.0, 90.0, 600.0, 1500.0)))
    )


def _with_code(source: Random, fault: Fault) -> Fault:
    """Some disconnections come with a close code."""
    if fault.kind is FaultKind.DISCONNECT and source.random() < 0.3:
        return replace(fault, value=source.choice((1000.0, 1001.0, 1011.0)))
    return fault


def _interruptions(source: Random, start: float, end: float) -> tuple[Interruption, ...]:
    found = []
    at = start
    for _ in range(source.randint(1, 3)):
        at += round(source.uniform(5, (end - start) / 4), 3)
        pause = source.choice((source.uniform(0, 5), source.uniform(5, 120), source.uniform(120, 2400)))
        if at + pause > end:
            break
        found.append(Interruption(at, source.choice(tuple(End)), round(pause, 3)))
        at += pause
    return tuple(found)


def _outages(source: Random, start: float, end: float) -> tuple[Outage, ...]:
    lengths = (source.uniform(1, 60), source.uniform(60, 3600))
    return tuple(
        Outage(round(source.uniform(start, end - 3600), 3), round(source.choice(lengths), 3))
        for _ in range(source.randint(1, 3))
    )


class Unsteady:
    """Around a store: away during outages. The first landing of each is committed, but the answer is lost."""

    def __init__(self, store: Any, now: Callable[[], float], outages: Sequence[Outage]) -> None:
        self._store = store
        self._now = now
        self._outages = outages
        self._begun: set[Outage] = set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not inspect.iscoroutinefunction(method) or name == "close":
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            outage = next((one for one in self._outages if one.covers(self._now())), None)
            if outage is None:
                return await method(*arguments, **named)
            if name == "land" and outage not in self._begun:
                self._begun.add(outage)
                await method(*arguments, **named)
            raise DatabaseAwayError("the database does not answer")

        return call


class Tripwire:
    """Around a store: once armed, the process is as good as dead at its next landing, before or after the commit."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.sprung = asyncio.Event()
        self._armed: tuple[int, bool] | None = None

    def arm(self, landings: int, *, after: bool) -> None:
        """At the landing of that number from now on; `after` it was committed."""
        self._armed = (landings, after)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def land(self, *arguments: Any, **named: Any) -> Any:
        if self._armed is None:
            return await self._store.land(*arguments, **named)
        left, after = self._armed
        self._armed = (left - 1, after)
        if left > 1:
            return await self._store.land(*arguments, **named)
        if after and not self.sprung.is_set():
            await self._store.land(*arguments, **named)
        self.sprung.set()
        return await asyncio.Event().wait()


@dataclass
class Tripwires:
    """The tripwire of the collector that runs."""

    newest: Tripwire | None = None
    made: int = field(default=0)

    def wrap(self, store: Any) -> Tripwire:
        self.newest = Tripwire(store)
        self.made += 1
        return self.newest

    async def kill_at_landing(self, world: World, landings: int, *, after: bool, within: float = 600.0) -> bool:
        """Kills the collector at its next landing; whether there was one within so many seconds. Killed it is."""
        assert self.newest is not None
        self.newest.arm(landings, after=after)
        try:
            async with asyncio.timeout(within):
                await self.newest.sprung.wait()
        except TimeoutError:
            return False
        finally:
            await world.crash_collector()
        return True


STOPS_WITHIN_SECONDS: Final = 10.0


def script_of(case: Case) -> Callable[[World], Awaitable[None]]:
    """What is done to the collector in a case."""

    async def script(world: World) -> None:
        wires = Tripwires()
        world.wrap_store = lambda store: wires.wrap(Unsteady(store, world.clock.now, case.outages))
        world.start_collector()
        for one in case.interruptions:
            await world.until(one.at)
            if one.how is End.STOP:
                await stop_in_time(world)
            elif one.how is End.KILL:
                await world.crash_collector()
            else:
                await wires.kill_at_landing(world, 1, after=one.how is End.KILL_AFTER_LANDING)
            await asyncio.sleep(one.pause)
            world.start_collector()
        await world.until(case.end)
        assert world.collector is not None
        progress = world.collector.feeds["BTC"].progress.accounted_until
        assert progress is not None
        assert progress >= case.end // 60 - 1, f"accounted for until {progress}, the end is {case.end / 60:.1f}"
        seen = health(Database(world.uri), world.clock.now())
        assert seen.healthy, seen.message
        await stop_in_time(world)

    return script


def health(database: Database, at: float) -> CollectorHealth:
    """The collector's health as it is seen at a moment (UTC seconds)."""
    rows = read(database, {"collectors": (COLLECTORS, ())})["collectors"]
    return assess_collector(rows, datetime.fromtimestamp(at, UTC))[0]


async def stop_in_time(world: World) -> None:
    """Stops as SIGTERM would."""
    before = world.clock.now()
    await world.stop_collector()
    took = world.clock.now() - before
    assert took <= STOPS_WITHIN_SECONDS, f"stopping took {took:.1f} s"
