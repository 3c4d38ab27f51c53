"""Raw trades on their way to the database, beside the minutes and never in their way.

What waits is bounded: while the database is away or slow, trades that find no room are dropped, counted and told of.
Nothing rests on them; minutes take their own road.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

import structlog

from btc_pipeline.collector.database import ROW_REFUSED, Connections, DatabaseAwayError
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.exchanges.base import Trade
from btc_pipeline.storage.live_minutes import LOCK
from btc_pipeline.storage.trades import INSERT, LOCK_NAME, PARTITIONS, Month
from btc_pipeline.timing.clock import Clock

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 50_000
BATCH: Final = 2_000
WRITE_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 10.0
PRUNE_SECONDS: Final = 3_600.0
SECONDS_A_DAY: Final = 86_400.0


class TradeWriter:
    """Keeps the trades of all symbols for some days."""

    def __init__(
        self, store: Connections, clock: Clock, keep_days: int, metrics: Metrics, announce: Callable[[str], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep_days = keep_days
        self._metrics = metrics
        self._announce = announce
        self._waiting: deque[tuple[str, Trade]] = deque()
        self._months: set[int] = set()
        self._pruned_at: float | None = None
        self._dropping = False

    def put(self, symbol: str, trades: Sequence[Trade]) -> None:
        """Takes trades, as far as there is room."""
        room = MOST_WAITING - len(self._waiting)
        self._waiting.extend((symbol, trade) for trade in trades[:room])
        if len(trades) > room:
            self._drop(len(trades) - room)

    async def run(self) -> None:
        """Writes every second; to be cancelled."""
        while True:
            try:
                await self.flush()
            except DatabaseAwayError as error:
                log.warning("trades wait", reason=str(error), waiting=len(self._waiting))
                await self._clock.sleep(AWAY_SECONDS)
            except Exception:
                # A missing right, a mistake of ours: minutes must not suffer from it.
                log.exception("trades cannot be written", waiting=len(self._waiting))
                await self._clock.sleep(AWAY_SECONDS)
            await self._clock.sleep(WRITE_SECONDS)

    async def flush(self) -> None:
        """Writes everything that waits; makes this month's partition and drops old ones, now and then.

        Raises:
            DatabaseAwayError: the database is not there; what is not written waits.
        """
        now = self._clock.now()
        if self._pruned_at is None or now - self._pruned_at >= PRUNE_SECONDS:
            await self._prune(now)
            self._pruned_at = now
        while self._waiting:
            batch = list(islice(self._waiting, BATCH))
            try:
                await self._write(batch)
            except ROW_REFUSED:
                await self._write_one_by_one(batch)
            # Newer ones have only been added behind.
            for _ in batch:
                self._waiting.popleft()
            self._metrics.trades_kept.inc(len(batch))
        self._dropping = False

    async def _write(self, batch: Sequence[tuple[str, Trade]]) -> None:
        await self._make_partitions({Month.of(trade.time_ms / 1000).count for _, trade in batch})
        columns = (
            [symbol for symbol, _ in batch],
            *([getattr(trade, name) for _, trade in batch] for name in ("time_ms", "id", "price", "size", "taker_buy")),
        )
        await self._store.run(lambda connection: connection.execute(INSERT, *columns))

    async def _write_one_by_one(self, batch: Sequence[tuple[str, Trade]]) -> None:
        for symbol, trade in batch:
            try:
                await self._write([(symbol, trade)])
            except ROW_REFUSED as error:
                log.error("the database refuses a trade", symbol=symbol, trade=repr(trade), reason=str(error))

    async def _make_partitions(self, months: set[int]) -> None:
        missing = sorted(months - self._months)
        if not missing:
            return

        async def work(connection: Any) -> None:
            async with connection.transaction():
                await connection.execute(LOCK, LOCK_NAME)
                for month in missing:
                    await connection.execute(Month(month).create())

        await self._store.run(work)
        self._months.update(missing)

    async def _prune(self, now: float) -> None:
        """Drops the months whose last trade is older than is kept."""
        oldest = now - self._keep_days * SECONDS_A_DAY

        async def work(connection: Any) -> list[str]:
            async with connection.transaction():
                await connection.execute(LOCK, LOCK_NAME)
                found = [Month.of_partition(row["name"]) for row in await connection.fetch(PARTITIONS)]
                old = [month for month in found if month is not None and month.end.timestamp() <= oldest]
                for month in old:
                    await connection.execute(month.drop())
                return [month.partition for month in old]

        dropped = await self._store.run(work)
        self._months.clear()
        await self._make_partitions({Month.of(now).count})
        if dropped:
            log.info("old trades are dropped", partitions=dropped)

    def _drop(self, count: int) -> None:
        self._metrics.trades_dropped.inc(count)
        if not self._dropping:
            self._dropping = True
            log.error("trades are dropped: the database does not take them", waiting=len(self._waiting))
            self._announce("collector: raw trades are dropped: the database does not take them (minutes are safe)")
