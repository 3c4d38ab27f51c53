"""Minutes out of trades: one symbol's sums, and whether they may complete what the venue's candle leaves out.

A minute is only told of if the trades were heard without a break from before its start to after its end, and if they
add up to the candle's own volume and count. A pure state machine: trades and rows come in, rows come out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from btc_pipeline.exchanges.base import Minute, Trade
from btc_pipeline.exchanges.decimals import QUOTES_LEFT_OUT
from btc_pipeline.market.candles import MAX_SIGNIFICANT_DIGITS, UNKNOWN_TRADES, Scale

KEPT_MINUTES: Final = 10
"""Trades of older minutes are not taken, and what they added up to is forgotten."""
DECIDED_AFTER_SECONDS: Final = 60.0
"""So long after its end a minute whose trades do not add up to its candle never will."""
BEGIN_SLACK_SECONDS: Final = 2.0
"""The exchange's clock is known that well."""
FUTURE_SECONDS: Final = 90.0

_DECIMALS: Final = 15
"""Of the sums' prices and sizes, whatever the trades': no instrument has more."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What trades make of a candle.

    Attributes:
        minute: the candle, completed where it may be.
        differs: in words, told once: the trades of a minute heard without a break add up to something else.
    """

    minute: Minute
    differs: str | None = None


@dataclass
class _Sums:
    """Exact sums of a minute's trades: sizes as integers of _DECIMALS, their values of twice as many."""

    trades: int = 0
    volume: int = 0
    quote_volume: int = 0
    taker_buy_volume: int = 0
    given_up: bool = False
    seen: set[tuple[int, str]] = field(default_factory=set)

    def add(self, trade: Trade) -> bool:
        """Whether it had not been told before."""
        key = (trade.time_ms, trade.id)
        if key in self.seen:
            return False
        self.seen.add(key)
        size = _scaled(trade.size, trade.decimals.volume)
        self.trades += 1
        self.volume += size
        self.quote_volume += size * _scaled(trade.price, trade.decimals.price)
        self.taker_buy_volume += size if trade.taker_buy else 0
        return True


class TradeMinutes:
    """One symbol's minutes of trades. Moments are the exchange's, in seconds since 1970-01-01."""

    def __init__(self) -> None:
        self._sums: dict[int, _Sums] = {}
        self._newest: int | None = None
        self._clean: list[tuple[int, int]] = []
        self._clean_from: int | None = None
        self._tainted: set[int] = set()

    def interrupted(self) -> None:
        """The stream broke, or is about to begin: from the minute last heard of on nothing is known to be whole."""
        if self._clean_from is not None and self._newest is not None and self._newest > self._clean_from:
            self._clean.append((self._clean_from, self._newest))
        self._clean_from = None

    def taint(self, minute: int) -> None:
        """Trades of this minute may have been lost."""
        self._tainted.add(minute)

    def heard(self, trades: Sequence[Trade], now: float) -> list[Trade]:
        """Takes trades; those that are new and neither too old nor of the future, in order."""
        taken = []
        for trade in trades:
            if trade.time_ms > (now + FUTURE_SECONDS) * 1000:
                self.taint(int(now // 60))
                continue
            if max(trade.decimals.price, trade.decimals.volume) > _DECIMALS:
                self.taint(trade.minute)
                continue
            if self._newest is None or trade.minute > self._newest:
                self._newest = trade.minute
            if trade.minute > self._newest - KEPT_MINUTES and self._of(trade.minute).add(trade):
                taken.append(trade)
        if self._clean_from is None and self._newest is not None:
            # A subscription begins with trades from before it, and somewhere inside of a minute.
            self._clean_from = max(self._newest, int((now + BEGIN_SLACK_SECONDS) // 60)) + 1
        self._forget()
        return taken

    def is_whole(self, minute: int) -> bool:
        """Whether the stream was heard from before the minute on without a break; and the minute is not forgotten."""
        if minute in self._tainted or self._newest is None or minute <= self._newest - KEPT_MINUTES:
            return False
        if self._clean_from is not None and minute >= self._clean_from:
            return True
        return any(start <= minute < end for start, end in self._clean)

    def judged(self, candle: Minute, scale: Scale, now: float | None) -> Judged:
        """A closed candle, with the volumes of its trades where it leaves them out and they add up to it.

        Args:
            scale: the instrument's decimals, which what is added must fit.
            now: when REST was asked; from DECIDED_AFTER_SECONDS on that decides. None: it is not REST's candle.
        """
        if not self.is_whole(candle.time):
            return Judged(candle)
        sums = self._of(candle.time)
        if sums.given_up:
            return Judged(candle)
        volume = _scaled(candle.volume, candle.decimals.volume)
        if sums.volume == volume and candle.trades in (sums.trades, UNKNOWN_TRADES):
            return Judged(_completed(candle, sums, scale))
        if now is None or now < (candle.time + 1) * 60 + DECIDED_AFTER_SECONDS:
            return Judged(candle)
        sums.given_up = True
        # Without a later trade the stream may just be still: then nothing contradicts the candle.
        heard_on = self._newest is not None and self._newest > candle.time
        return Judged(candle, _difference(candle, sums) if heard_on else None)

    def _of(self, minute: int) -> _Sums:
        return self._sums.setdefault(minute, _Sums())

    def _forget(self) -> None:
        if self._newest is None:
            return
        oldest = self._newest - KEPT_MINUTES + 1
        self._sums = {minute: sums for minute, sums in self._sums.items() if minute >= oldest}
        self._clean = [(start, end) for start, end in self._clean if end > oldest]
        self._tainted = {minute for minute in self._tainted if minute >= oldest}


def _completed(candle: Minute, sums: _Sums, scale: Scale) -> Minute:
    told = replace(
        candle,
        trades=sums.trades,
        quote_volume=_value(sums.quote_volume, 2 * _DECIMALS, scale.quote),
        taker_buy_volume=_value(sums.taker_buy_volume, _DECIMALS, scale.volume),
    )
    if math.isnan(told.quote_volume) and math.isnan(candle.quote_volume):
        QUOTES_LEFT_OUT.say(_text(sums.quote_volume, 2 * _DECIMALS))
    return candle.filled_from(told)


def _difference(candle: Minute, sums: _Sums) -> str:
    counted = "an unknown number of" if candle.trades == UNKNOWN_TRADES else str(candle.trades)
    return (
        f"trades add up to volume {_text(sums.volume, _DECIMALS)} in {sums.trades} trades, "
        f"the candle says {candle.volume!r} in {counted} trades"
    )


def _scaled(value: float, decimals: int) -> int:
    """A decimal of at most so many places and 15 significant digits as an integer of _DECIMALS; exact."""
    return round(value * 10.0**decimals) * int(10 ** (_DECIMALS - decimals))


def _value(total: int, decimals: int, held: int) -> float:
    """The double nearest to a sum; NaN where the instrument's decimals would not hold it."""
    ticks, finer = divmod(total, 10 ** (decimals - held))
    # The division of integers is rounded once.
    return math.nan if finer or ticks >= 10**MAX_SIGNIFICANT_DIGITS else ticks / 10**held


def _text(total: int, decimals: int) -> str:
    whole, part = divmod(total, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".")
