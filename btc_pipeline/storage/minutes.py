"""Writing minutes: what is known is never overwritten without a trace, and touched days are marked as such."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from btc_pipeline.market.candles import UNKNOWN_TRADES, BoolArray, Candles, Float64Array
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Int64Array
from btc_pipeline.storage.candles import append_candles, read_candles
from btc_pipeline.storage.digests import through_temporary_table, touch_days
from btc_pipeline.storage.times import to_timestamps

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

SUPERSEDE: Final = """
WITH old AS (
    DELETE FROM candles USING superseded_minutes s
    WHERE candles.symbol = s.symbol AND candles.interval = '1m' AND candles.time = s.time
    RETURNING candles.*
)
INSERT INTO candle_revisions (time, symbol, open, high, low, close, volume, quote_volume, taker_buy_volume, trades,
                              status, recorded_at, superseded_at, reason)
SELECT o.time, o.symbol, o.open, o.high, o.low, o.close, o.volume, o.quote_volume, o.taker_buy_volume, o.trades,
       o.status, o.recorded_at, now(), s.reason
FROM old o JOIN superseded_minutes s USING (symbol, time)
"""


def write_minutes(cursor: Cursor, symbol: str, minutes: Candles, *, status: str, reason: str) -> tuple[int, int]:
    """Stores minutes: new ones are added, different ones replace what was known, which goes to `candle_revisions`.

    What a minute does not tell, and what is known of it, stays known if the two agree in all that both tell.

    Args:
        minutes: ascending 1m candles.
        reason: why a minute that is known differently is replaced.

    Returns:
        How many minutes were added, and how many replaced.
    """
    if not len(minutes):
        return 0, 0
    known = read_candles(cursor, symbol, MINUTE, minutes.scale, int(minutes.time[0]), int(minutes.time[-1]) + 1)
    minutes = complete(known, minutes)
    added, changed = compare(known, minutes)
    supersede(cursor, symbol, minutes.time[changed], reason=reason)
    append_candles(cursor, symbol, minutes.take(added | changed), status=status)
    touch_days(cursor, symbol, np.unique(minutes.time[added | changed] // MINUTES_PER_DAY))
    return int(added.sum()), int(changed.sum())


def complete(known: Candles, minutes: Candles) -> Candles:
    """The minutes, with what only the known ones tell of those they do not contradict."""
    if not len(known):
        return minutes
    at, agreeing = _matches(known, minutes)
    for name in ("open", "high", "low", "close", "volume"):
        agreeing &= getattr(known, name)[at] == getattr(minutes, name)
    filled = {}
    for name in ("quote_volume", "taker_buy_volume", "trades"):
        old, new = getattr(known, name)[at], getattr(minutes, name)
        agreeing &= _is_unknown(old) | _is_unknown(new) | (old == new)
        filled[name] = np.where(_is_unknown(new), old, new)
    return replace(
        minutes, **{name: np.where(agreeing, column, getattr(minutes, name)) for name, column in filled.items()}
    )


def compare(known: Candles, minutes: Candles) -> tuple[BoolArray, BoolArray]:
    """Which of the minutes are not known, and which are known differently; bool[n] each."""
    if not len(known):
        return np.ones(len(minutes), np.bool_), np.zeros(len(minutes), np.bool_)
    at, there = _matches(known, minutes)
    same = there.copy()
    for name in ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume"):
        old, new = getattr(known, name)[at], getattr(minutes, name)
        same &= (old == new) | (np.isnan(old) & np.isnan(new))
    same &= known.trades[at] == minutes.trades
    return ~there, there & ~same


def _matches(known: Candles, minutes: Candles) -> tuple[Int64Array, BoolArray]:
    """The first row of the known ones at or after each minute, or the last one; whether it is that minute's."""
    at = np.minimum(np.searchsorted(known.time, minutes.time), len(known) - 1)
    return at, known.time[at] == minutes.time


def _is_unknown(values: Float64Array | Int64Array) -> BoolArray:
    """Of a column that not every venue tells."""
    return np.isnan(values) if values.dtype == np.float64 else values == UNKNOWN_TRADES


def supersede(cursor: Cursor, symbol: str, time: Int64Array, *, reason: str) -> None:
    """Moves minutes from `candles` to `candle_revisions`; the caller marks their days as touched."""
    if not len(time):
        return
    table = pa.table(
        {
            "symbol": pa.repeat(symbol, len(time)),
            "time": to_timestamps(time),
            "reason": pa.repeat(reason, len(time)),
        }
    )
    through_temporary_table(cursor, "superseded_minutes", table, SUPERSEDE)
