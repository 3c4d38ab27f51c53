"""The collector's road to the database: landing minutes, and reading back what it needs to know of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

import numpy as np

from btc_pipeline.collector.quality import QualityStore
from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.base import LIVE_LOOK_BACK_MINUTES, Minute
from btc_pipeline.market.candles import UNKNOWN_TRADES, Scale, is_quiet
from btc_pipeline.market.instruments import split_symbol
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.storage.live_minutes import (
    BOUNDS,
    LAND,
    LAST_CONFIRMED,
    RETIRE_STATES,
    SAVE_STATE,
    SCALE,
    STORED,
    UPSERT_INSTRUMENT,
)

LOOK_BACK_MINUTES: Final = LIVE_LOOK_BACK_MINUTES + MINUTES_PER_DAY
"""How far back `last_confirmed` looks: further than live work asks any venue."""


class MinuteStatus(StrEnum):
    """How far a minute's source vouches for it."""

    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Landing:
    """A minute to be stored: what is said of it, by whom.

    Attributes:
        status: PROVISIONAL from a stream, CONFIRMED from REST or where REST agrees.
        reason: why it would replace what is stored; kept with what it replaces.
    """

    minute: Minute
    status: MinuteStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Landed:
    """What landings did: minutes that were new, that replaced others, that were found right, and the rest."""

    added: int = 0
    replaced: int = 0
    confirmed: int = 0
    unchanged: int = 0

    def __add__(self, other: Landed) -> Landed:
        return Landed(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class StoredMinute(NamedTuple):
    """A stored minute; `status` also `revised` or `tainted`."""

    minute: Minute
    status: str


@dataclass(frozen=True, slots=True)
class CollectorState:
    """A symbol's row of `collector_state`; moments are UTC seconds since 1970-01-01, `last_minute` included."""

    symbol: str
    feed: str
    process: str
    connection: str
    message: str
    started_at: float
    heartbeat_at: float
    connected_at: float | None = None
    last_frame_at: float | None = None
    last_minute: float | None = None
    accounted_until: float | None = None
    minutes_landed: int = 0
    spooled_minutes: int = 0
    spooled_bytes: int = 0
    clock_offset_ms: float | None = None
    exchange_at: float | None = None


class MinuteStore(QualityStore):
    """The database as the collector sees it. Every method raises DatabaseAwayError when the server is not there."""

    async def land(self, symbol: str, rows: Sequence[Landing]) -> Landed:
        """Stores minutes in one transaction; of several words about one minute the later ones come later.

        A provisional word never replaces a confirmed one, nor one that had seen more trades. A confirmed one replaces
        whatever differs, which goes to `candle_revisions`, and lifts what is equal. Days whose values change, or that
        have a hole now, are touched. The same again changes nothing.
        """
        if not rows:
            return Landed()

        async def work(connection: Any) -> Landed:
            total = Landed()
            for one_round in _rounds(rows):
                total += Landed(*await connection.fetchrow(LAND, symbol, *_columns(one_round)))
            return total

        return await self.run_locked(symbol, work)

    async def declare_instrument(self, symbol: str, scale: Scale) -> Scale:
        """Declares an instrument, or widens its decimals; returns them as stored."""

        async def work(connection: Any) -> Scale:
            await connection.execute(
                UPSERT_INSTRUMENT, symbol, *split_symbol(symbol), scale.price, scale.volume, scale.quote
            )
            return Scale(*await connection.fetchrow(SCALE, symbol))

        return await self.run_locked(symbol, work)

    async def instrument_scale(self, symbol: str) -> Scale | None:
        """An instrument's decimals; None if it was never declared."""
        row = await self.run(lambda connection: connection.fetchrow(SCALE, symbol))
        return None if row is None else Scale(*row)

    async def bounds(self, symbol: str) -> tuple[int, int] | None:
        """The epoch minutes of the first and the last stored row."""
        first, last = await self.run(lambda connection: connection.fetchrow(BOUNDS, symbol))
        return None if first is None else (first, last)

    async def last_confirmed(self, symbol: str, since: int | None = None) -> int | None:
        """The newest minute at or after `since` up to which no stored row is merely provisional; None if there is none.

        Args:
            since: an epoch minute; LOOK_BACK_MINUTES before the last row if not given.
        """
        if since is None:
            bounds = await self.bounds(symbol)
            if bounds is None:
                return None
            since = bounds[1] - LOOK_BACK_MINUTES
        found: int | None = await self.run(lambda connection: connection.fetchval(LAST_CONFIRMED, symbol, since))
        return found

    async def stored(self, symbol: str, start: int, end: int) -> dict[int, StoredMinute]:
        """The rows of the epoch minutes [start, end), by minute."""
        rows = await self.run(lambda connection: connection.fetch(STORED, symbol, start, end))
        return {row["minute"]: _stored(row) for row in rows}

    async def save_state(self, state: CollectorState) -> None:
        """Writes a symbol's state.

        Raises:
            UserError: the stored state is of another feed: replayed and real rows would mix.
        """
        row = await self.run(lambda connection: connection.fetchrow(SAVE_STATE, *astuple(state)))
        if row is None:
            raise UserError(
                f"feed {state.feed!r}: this database holds minutes of {state.symbol} from another feed; "
                "give each feed a data folder (BTC_PIPELINE_DATA_DIR) or a database (DB_NAME) of its own.",
                field="feed",
            )

    async def retire_others(self, symbols: Sequence[str]) -> None:
        """Says of every other symbol that it is not collected any more."""
        await self.run(lambda connection: connection.execute(RETIRE_STATES, list(symbols)))


def _rounds(rows: Sequence[Landing]) -> list[list[Landing]]:
    """The rows in as few lists as it takes for each minute to be once in each, in order."""
    rounds: list[list[Landing]] = []
    seen: dict[int, int] = {}
    for row in rows:
        at = seen.get(row.minute.time, 0)
        seen[row.minute.time] = at + 1
        if at == len(rounds):
            rounds.append([])
        rounds[at].append(row)
    return rounds


def _columns(rows: Sequence[Landing]) -> tuple[object, ...]:
    """The parameters of LAND after the symbol."""
    minutes = [row.minute for row in rows]
    times = [one.time for one in minutes]
    prices = tuple(np.array([getattr(one, name) for one in minutes]) for name in ("open", "high", "low", "close"))
    quiet = is_quiet(prices, np.array([one.volume for one in minutes]))  # type: ignore[arg-type]
    return (
        times,
        *([getattr(one, name) for one in minutes] for name in ("open", "high", "low", "close", "volume")),
        [_or_null(one.quote_volume) for one in minutes],
        [_or_null(one.taker_buy_volume) for one in minutes],
        [None if one.trades == UNKNOWN_TRADES else one.trades for one in minutes],
        quiet.astype(int).tolist(),
        [str(row.status) for row in rows],
        [row.reason for row in rows],
        min(times),
        max(times),
    )


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _stored(row: Any) -> StoredMinute:
    return StoredMinute(
        Minute(
            time=row["minute"],
            open=row["open"],
            high=row["high"],
            low=row["low"],
            close=row["close"],
            volume=row["volume"],
            trades=UNKNOWN_TRADES if row["trades"] is None else row["trades"],
            quote_volume=math.nan if row["quote_volume"] is None else row["quote_volume"],
            taker_buy_volume=math.nan if row["taker_buy_volume"] is None else row["taker_buy_volume"],
        ),
        row["status"],
    )
