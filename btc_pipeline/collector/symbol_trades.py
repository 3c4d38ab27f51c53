"""One symbol's trades between the stream, its minutes, and whoever keeps trades or differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from btc_pipeline.collector.exchange_clock import ExchangeClock
from btc_pipeline.collector.trades import TradeMinutes
from btc_pipeline.exchanges.base import Minute, Trade
from btc_pipeline.market.candles import Scale

LATE_SECONDS = 5.0
"""A frame of trades that was lost may have been about a minute that ended so long ago."""


class SymbolTrades:
    """What a symbol's collector asks of its trades."""

    def __init__(
        self,
        clock: ExchangeClock,
        *,
        keep: Callable[[Sequence[Trade]], None],
        differs: Callable[[Minute, str], None],
    ) -> None:
        """
        Args:
            keep: given each new trade once.
            differs: told once of a candle whose trades add up to something else, in words.
        """
        self._clock = clock
        self._keep = keep
        self._differs = differs
        self._minutes = TradeMinutes()

    def interrupted(self) -> None:
        """The stream broke, or is about to begin."""
        self._minutes.interrupted()

    def lost_frame(self) -> None:
        """A frame could not be read; it may have been one of trades."""
        now = self._clock.now()
        for minute in {int((now - LATE_SECONDS) // 60), int(now // 60)}:
            self._minutes.taint(minute)

    def heard(self, trades: Sequence[Trade]) -> None:
        """Takes trades as they were told."""
        fresh = self._minutes.heard(trades, self._clock.now())
        if fresh:
            self._keep(fresh)

    def completed(self, candle: Minute, scale: Scale, *, of_rest: bool) -> Minute:
        """A closed candle with what its trades tell more; only REST's decides that they never will."""
        judged = self._minutes.judged(candle, scale, self._clock.now() if of_rest else None)
        if judged.differs is not None:
            self._differs(candle, judged.differs)
        return judged.minute
