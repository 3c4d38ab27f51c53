"""Two symbols compared as their minutes come: what the asset check does for stored days, at once.

Belongs here: closes in memory, and what is told of an alert while it goes on. Does not belong here: the basis and its
alerts (`market.basis`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import numpy as np
import structlog

from btc_pipeline.collector.database import Connections, DatabaseAwayError
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.exchanges.base import Minute
from btc_pipeline.market.basis import Alert, Basis, Closes, Comparison, basis_of, find_alerts
from btc_pipeline.storage.cross_checks import LOCK_NAME, READ_CLOSES, RESOLVE_OTHERS, SAVE_ALERT, alert_row
from btc_pipeline.storage.live_minutes import LOCK, SCALE
from btc_pipeline.timing.clock import Clock

log = structlog.get_logger(__name__)

T = TypeVar("T")

LOOK_BACK_MINUTES: Final = 60
"""Minutes that come late change what was seen of so many before the newest, and of a run that long."""
NEWS_MINUTES: Final = 5
"""What ended longer ago is recorded, but no news."""
RETRY_SECONDS: Final = 10.0


@dataclass
class _Symbol:
    """One symbol's closes of traded minutes; `decimals` are the most that any has."""

    closes: dict[int, float] = field(default_factory=dict)
    decimals: int = 0

    def take(self, minute: Minute) -> None:
        self.decimals = max(self.decimals, minute.decimals.price)
        if minute.volume == 0 and minute.open == minute.high == minute.low == minute.close:
            self.closes.pop(minute.time, None)
        else:
            self.closes[minute.time] = minute.close

    def keep(self, minutes: int) -> None:
        """Forgets, now and then, all but the newest minutes."""
        if len(self.closes) > minutes + LOOK_BACK_MINUTES:
            oldest = max(self.closes) - minutes
            self.closes = {time: close for time, close in self.closes.items() if time > oldest}

    def frame(self) -> Closes:
        time = sorted(self.closes)
        return Closes(np.array(time, np.int64), np.array([self.closes[one] for one in time], np.float64), self.decimals)


@dataclass
class _Watch:
    """One comparison: how far it has been looked at, the alert that goes on, and rows that are to be written."""

    of: Comparison
    seen_until: int | None = None
    current: Alert | None = None
    unsaved: dict[int, tuple[Alert, bool]] = field(default_factory=dict)
    tidied: bool = False
    """Alerts that an earlier process left open are resolved or go on."""

    @property
    def reach(self) -> int:
        """How many minutes before the newest are looked at again."""
        return LOOK_BACK_MINUTES + self.of.rule.alert_minutes


class CrossCheck:
    """Compares pairs of the symbols that this process collects."""

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        store: Connections,
        clock: Clock,
        metrics: Metrics,
        announce: Callable[[str], None],
    ) -> None:
        self._watches = [_Watch(of) for of in comparisons]
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._announce = announce
        self._symbols = {symbol: _Symbol() for of in comparisons for symbol in (of.symbol, of.against)}
        self._longest = max((one.of.rule.median_minutes + one.reach + 1 for one in self._watches), default=0)
        self._changed = asyncio.Event()

    def told(self, symbol: str, minutes: Sequence[Minute]) -> None:
        """Closed minutes, provisional or confirmed."""
        if symbol in self._symbols and minutes:
            for minute in minutes:
                self._symbols[symbol].take(minute)
            self._changed.set()

    async def run(self) -> None:
        """Reads what is stored, then compares each minute once both have it; to be cancelled."""
        if not self._watches:
            return
        await self._load()
        while True:
            self._changed.clear()
            for symbol in self._symbols.values():
                symbol.keep(self._longest)
            for watch in self._watches:
                self._look(watch)
            waits = not await self._save()
            try:
                async with asyncio.timeout(RETRY_SECONDS if waits else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _load(self) -> None:
        """The last minutes of each symbol from the database, once it is there; what has been told since is newer."""
        end = int(self._clock.now() // 60) + 1
        while True:
            try:
                for symbol, known in self._symbols.items():
                    rows, scale = await self._ask(_reader(symbol, end - self._longest, end))
                    known.closes = {row["minute"]: row["close"] for row in rows} | known.closes
                    known.decimals = max(known.decimals, 0 if scale is None else scale["price_decimals"])
            except DatabaseAwayError as error:
                log.warning("cross-check waits", reason=str(error))
                await self._clock.sleep(RETRY_SECONDS)
            else:
                return

    def _look(self, watch: _Watch) -> None:
        """Compares what is new."""
        of, first, second = watch.of, self._symbols[watch.of.symbol].closes, self._symbols[watch.of.against].closes
        common = first.keys() & second.keys()
        newest = max(common, default=None)
        if newest is None or (watch.seen_until is not None and newest < watch.seen_until):
            return
        closes = self._symbols[of.symbol].frame(), self._symbols[of.against].frame()
        basis = basis_of(*closes, of.rule, since=newest - watch.reach)
        self._metrics.deviation.labels(of.symbol, of.against).set(float(basis.deviation[-1]))
        self._judge(watch, basis, find_alerts(basis, of.rule), newest + 1)
        watch.seen_until = newest + 1

    def _judge(self, watch: _Watch, basis: Basis, alerts: Sequence[Alert], end: int) -> None:
        """Tells what begins and what is over.

        Args:
            end: the epoch minute after the newest one.
        """
        before, watch.current = watch.current, None
        for found in alerts:
            if watch.seen_until is not None and found.end < watch.seen_until:
                continue
            alert = found
            if before is not None and found.start == max(before.start, end - 1 - watch.reach):
                # What is older than this look is known from the last one.
                worst = max((before, found), key=lambda one: abs(one.deviation))
                alert = replace(worst, start=before.start, end=found.end)
            goes_on = alert.end == end and end > self._clock.now() // 60 - NEWS_MINUTES
            watch.unsaved[alert.start] = (alert, not goes_on)
            if goes_on:
                watch.current = alert
                if before is None or before.start != alert.start:
                    newest = replace(alert, bps=float(basis.bps[-1]), median=float(basis.median[-1]))
                    self._say(newest.words(watch.of))
        if before is not None and (watch.current is None or watch.current.start != before.start):
            watch.unsaved.setdefault(before.start, (before, True))
            self._say(f"{watch.of.symbol} and {watch.of.against} are as far apart as usual again")

    def _say(self, words: str) -> None:
        log.warning("cross-check", words=words)
        self._announce(f"cross-check: {words}")

    async def _save(self) -> bool:
        """Whether the database has every alert."""
        for watch in self._watches:
            if not watch.unsaved and (watch.tidied or watch.seen_until is None):
                continue
            open_until = None if watch.tidied else watch.seen_until
            try:
                await self._ask(_writer(watch.of, list(watch.unsaved.values()), open_until))
            except DatabaseAwayError as error:
                log.warning("cross-check waits", reason=str(error))
                return False
            watch.unsaved.clear()
            watch.tidied = True
        return True

    async def _ask(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Whatever is the matter with the database, minutes must not suffer from it."""
        try:
            return await self._store.run(work)
        except DatabaseAwayError:
            raise
        except Exception as error:
            log.exception("cross-check: the database does not do it")
            raise DatabaseAwayError(f"the database does not do it: {error}") from error


def _reader(symbol: str, start: int, end: int) -> Callable[[Any], Awaitable[tuple[Any, Any]]]:
    async def work(connection: Any) -> tuple[Any, Any]:
        return await connection.fetch(READ_CLOSES, symbol, start, end), await connection.fetchrow(SCALE, symbol)

    return work


def _writer(
    of: Comparison, alerts: Sequence[tuple[Alert, bool]], open_until: int | None
) -> Callable[[Any], Awaitable[None]]:
    """Saves alerts; with `open_until`, resolves others that began before that minute."""

    async def work(connection: Any) -> None:
        async with connection.transaction():
            await connection.execute(LOCK, f"{LOCK_NAME}/{of.symbol}/{of.against}")
            for alert, over in alerts:
                await connection.execute(SAVE_ALERT, *alert_row(of, alert, over=over))
            if open_until is not None:
                starts = [alert.start for alert, _ in alerts]
                await connection.execute(RESOLVE_OTHERS, of.symbol, of.against, 0, open_until, starts)

    return work
