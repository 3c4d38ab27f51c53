"""What every venue's client gives, whatever its wire looks like."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from btc_pipeline.market.candles import UNKNOWN_TRADES, Scale
from btc_pipeline.market.intervals import MINUTES_PER_DAY

NO_DECIMALS: Final = Scale(0, 0, 0)
MINUTE_MS: Final = 60_000
LIVE_LOOK_BACK_MINUTES: Final = 14 * MINUTES_PER_DAY
"""How far back live work asks a venue that has everything; what is older is a download's affair."""


@dataclass(frozen=True, slots=True)
class Minute:
    """One 1m candle as a venue tells it; prices in quote currency, volumes in base currency unless said.

    Attributes:
        time: open time in epoch minutes.
        quote_volume, taker_buy_volume: NaN where the venue does not tell.
        trades: UNKNOWN_TRADES where the venue does not tell.
        decimals: the most decimals written in its prices and in its volumes.
    """

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int = UNKNOWN_TRADES
    quote_volume: float = math.nan
    taker_buy_volume: float = math.nan
    decimals: Scale = NO_DECIMALS

    def same_values(self, other: Minute) -> bool:
        """Whether both say the same, whatever number of decimals they write."""
        return (
            self.time == other.time
            and self.open == other.open
            and self.high == other.high
            and self.low == other.low
            and self.close == other.close
            and self.volume == other.volume
            and self.trades == other.trades
            and _same(self.quote_volume, other.quote_volume)
            and _same(self.taker_buy_volume, other.taker_buy_volume)
        )

    def completed_from(self, other: Minute) -> Minute:
        """Itself, with what only the other tells; as it is where the two contradict each other."""
        completed = self.filled_from(other)
        return completed if completed.same_values(other.filled_from(self)) else self

    def filled_from(self, other: Minute) -> Minute:
        """Itself, with what only the other tells, whether or not the two agree in the rest."""
        return replace(
            self,
            trades=other.trades if self.trades == UNKNOWN_TRADES else self.trades,
            quote_volume=other.quote_volume if math.isnan(self.quote_volume) else self.quote_volume,
            taker_buy_volume=other.taker_buy_volume if math.isnan(self.taker_buy_volume) else self.taker_buy_volume,
        )


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade as a venue tells it; price in quote currency, size in base currency.

    Attributes:
        time_ms: when it was made, in epoch milliseconds.
        taker_buy: the aggressor bought.
        id: the venue's own, unique together with time and coin.
        decimals: those of its price and of its size.
    """

    time_ms: int
    price: float
    size: float
    taker_buy: bool
    id: str
    decimals: Scale

    @property
    def minute(self) -> int:
        """The epoch minute that it belongs to."""
        return self.time_ms // MINUTE_MS


@dataclass(frozen=True, slots=True)
class Coin:
    """An instrument as its venue lists it, by the venue's own name."""

    name: str
    scale: Scale
    delisted: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row or frame that could not be taken: why, and all of it as text; its minute and coin as far as known."""

    reason: str
    payload: str
    time: int | None = None
    coin: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """REST's answer: minutes ascending by time, the last one perhaps still forming, and what was refused."""

    minutes: Sequence[Minute]
    unreadable: Sequence[Unreadable] = ()


@dataclass(frozen=True, slots=True)
class CandleUpdate:
    """A frame about one minute of a coin. `closed`: what the venue says of it, None where it never says."""

    coin: str
    minute: Minute
    closed: bool | None = None


@dataclass(frozen=True, slots=True)
class TradesTold:
    """Trades of a coin; some of them may have been told before."""

    coin: str
    trades: Sequence[Trade]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The venue has taken a subscription."""

    coin: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error in the venue's words; the connection stays."""

    text: str


StreamEvent = CandleUpdate | TradesTold | Acknowledged | Pong | Complaint | Unreadable


class VenueStream(Protocol):
    """A venue's WebSocket: where it is, what to say, and how to read what it says."""

    venue: str
    url: str
    ping_seconds: float

    def subscribe(self, coin: str) -> str:
        """The frame that asks for a coin's minutes."""

    def subscribe_trades(self, coin: str) -> str | None:
        """The frame that asks for a coin's trades; None where candles tell everything that trades would."""

    def ping(self) -> str:
        """The frame that asks for a pong."""

    def read(self, frame: str | bytes) -> Sequence[StreamEvent]:
        """What a frame says; nothing for channels that nobody asked for."""


class VenueError(Exception):
    """A venue could not be asked, or did not answer as it should. The message is one sentence without a full stop."""


class VenueUnavailableError(VenueError):
    """No connection, no answer in time, or a server error. Worth another try."""


class RateLimitedError(VenueError):
    """The venue wants fewer requests: none for `retry_after` seconds, if it said. Whoever asks again waits so long."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VenueRefusedError(VenueError):
    """The venue does not understand the request, or has no such instrument. Another try would not help.

    `body` is its answer, if it gave one.
    """

    def __init__(self, message: str, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = body


class VenueRest(Protocol):
    """A venue's REST: everything the collector and repair ask it."""

    venue: str

    @property
    def retention_minutes(self) -> int | None:
        """How many of the newest minutes the venue still gives; None: all since it listed the coin."""

    async def coins(self, wanted: Collection[str]) -> dict[str, Coin]:
        """What is traded, by the venue's own name: at least those of the wanted that exist.

        Where one does not exist, as many others as the venue tells without ado, for a hint.
        """

    async def history(self, coin: str, start: int, end: int) -> History:
        """The minutes that open in the epoch minutes [start, end), as far as the venue still has them."""

    async def time(self) -> float:
        """The venue's clock when it answered, so never later than it is now: UTC, seconds since 1970-01-01."""

    async def close(self) -> None:
        """Ends its connections."""


def look_back_minutes(rest: VenueRest) -> int:
    """How many of the newest minutes live work asks a venue for."""
    if rest.retention_minutes is None:
        return LIVE_LOOK_BACK_MINUTES
    return min(rest.retention_minutes, LIVE_LOOK_BACK_MINUTES)
