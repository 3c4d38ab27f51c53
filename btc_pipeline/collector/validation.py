"""Which rows of REST may be stored, and with how many decimals: REST has the last word on them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from btc_pipeline.exchanges.base import History, Minute, Unreadable
from btc_pipeline.exchanges.decimals import QUOTES_LEFT_OUT
from btc_pipeline.market.candles import Scale
from btc_pipeline.market.validity import fits_digits, offences

log = structlog.get_logger(__name__)


async def accept(
    history: History, scale: Scale, declare: Callable[[Scale], Awaitable[Scale]], symbol: str
) -> tuple[list[Minute], list[Unreadable], Scale]:
    """Sorts an answer of REST into rows that may be stored and rows for quarantine.

    Args:
        scale: the instrument's decimals.
        declare: widens them; returns those that hold then.

    Returns:
        The rows, what was refused, and the decimals that hold now.
    """
    rows, refused = _sort_out(history.minutes, None)
    wanted = _widened(scale, rows)
    if wanted != scale:
        log.warning("finer decimals than declared", symbol=symbol, price=wanted.price, volume=wanted.volume)
        scale = await declare(wanted)
    rows, unheld = _sort_out([with_held_quote(row, scale) for row in rows], scale)
    return rows, [*history.unreadable, *refused, *unheld], scale


def with_held_quote(minute: Minute, scale: Scale) -> Minute:
    """A minute without its quote volume if the instrument's decimals do not hold that: the rest of it is kept."""
    quote = minute.quote_volume
    if math.isnan(quote) or (minute.decimals.quote <= scale.quote and fits_digits(quote, scale.quote)):
        return minute
    QUOTES_LEFT_OUT.say(f"{quote} with {scale.quote} decimals")
    return replace(minute, quote_volume=math.nan)


def refusal(minute: Minute, reasons: Sequence[str], source: str) -> Unreadable:
    """A minute as quarantine keeps it."""
    values = f"open {minute.open} high {minute.high} low {minute.low} close {minute.close} volume {minute.volume}"
    return Unreadable(f"{source}: {'; '.join(reasons)}", f"{values} trades {minute.trades}", minute.time)


def _sort_out(rows: Sequence[Minute], scale: Scale | None) -> tuple[list[Minute], list[Unreadable]]:
    good, refused = [], []
    for row in rows:
        broken = offences(row, scale)
        if broken:
            refused.append(refusal(row, broken, "REST"))
        else:
            good.append(row)
    return good, refused


def _widened(scale: Scale, rows: Sequence[Minute]) -> Scale:
    return Scale(
        max([scale.price, *(row.decimals.price for row in rows)]),
        max([scale.volume, *(row.decimals.volume for row in rows)]),
        max([scale.quote, *(row.decimals.quote for row in rows)]),
    )
