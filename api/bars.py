"""Pages of bars: stored ones, and behind the last of them those that are made on the spot.

An interval that is materialised has stored bars up to some point; what minutes there are after it (the bar now forming
is the last of them) is put together by the product's resampler. An interval that is not materialised has only these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isnan
from typing import Any, Final

import asyncpg
import numpy as np

from api.columns import vwap
from api.database import Connections
from btc_pipeline.errors import UnknownNameError
from btc_pipeline.market.candles import UNKNOWN_TRADES, Candles, Scale, empty_candles
from btc_pipeline.market.instruments import Instrument, canonical_symbol
from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Interval
from btc_pipeline.market.resampling import UsabilityRule, resample
from btc_pipeline.market.spans import Spans
from btc_pipeline.storage.instruments import instrument_of, unknown_symbol
from btc_pipeline.storage.queries import (
    BAR_COLUMNS,
    MAX_SOURCE_MINUTES,
    SYMBOL_BOUNDS,
    bars_statement,
    check_source_minutes,
    make_bars,
)
from btc_pipeline.storage.times import to_datetime, to_day, to_minute
from btc_pipeline.storage.vouched import READ as READ_VOUCHED

SMALL_MINUTES: Final = 5_000
"""Up to here asyncpg reads the minutes: it takes a fifth of the time that an ADBC connection takes to open."""

NOT_STORED_MINUTES: Final = 2**40

_INTEGERS: Final = ("trades", "minutes", "quiet_minutes", "expected_minutes")

FORWARD: Final = bars_statement()
BACKWARD: Final = bars_statement(newest=True)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A symbol's instrument, its first and last minute, and the last stored bar of an interval; epoch minutes."""

    instrument: Instrument
    first: int
    last: int
    last_bar: int | None


@dataclass(frozen=True, slots=True)
class BarRequest:
    """Bars wanted: those that open in [start, end); the newest of them where there is no start."""

    bounds: Bounds
    interval: Interval
    start: int | None
    end: int | None
    limit: int
    materialized: bool
    rule: UsabilityRule
    now: int

    @property
    def stored_end(self) -> int:
        """The epoch minute up to which bars are read from the table; those that open later are made."""
        if self.interval == MINUTE:
            return NOT_STORED_MINUTES
        if self.materialized and self.bounds.last_bar is not None:
            return self.interval.close(self.interval.slot(self.bounds.last_bar))
        return 0

    def slots(self) -> range:
        """Every slot of the request between the symbol's first and last minute."""
        interval, bounds = self.interval, self.bounds
        first, stop = interval.slot(bounds.first), interval.slot(bounds.last) + 1
        if self.start is not None:
            first = max(first, interval.slot(self.start - 1) + 1)
        if self.end is not None:
            stop = min(stop, interval.slot(self.end - 1) + 1)
        return range(first, max(first, stop))

    def made_slots(self) -> range:
        """Those whose bars are not stored."""
        slots = self.slots()
        if self.stored_end == NOT_STORED_MINUTES:
            return slots[:0]
        first = max(slots.start, self.interval.slot(self.stored_end - 1) + 1)
        return range(first, max(first, slots.stop))

    def stored_window(self) -> tuple[datetime, datetime]:
        """Open times [from, to) of the bars that are stored."""
        slots = self.slots()
        start = self.interval.open(slots.start)
        end = min(self.interval.open(slots.stop), max(self.stored_end, start))
        return to_datetime(start), to_datetime(end)


@dataclass(frozen=True, slots=True)
class BarPage:
    """Bars as rows, ascending; the open time at which the next ones start, the one before which the others lie."""

    rows: list[dict[str, Any]]
    next_start: datetime | None
    previous_end: datetime | None


async def find_bounds(connections: Connections, symbol: str, interval: Interval = MINUTE) -> Bounds:
    """What there is of a symbol (or alias).

    Raises:
        UserError: the symbol is malformed.
        UnknownNameError: nothing is stored under it.
    """
    canonical = canonical_symbol(symbol)
    found = await connections.fetch(SYMBOL_BOUNDS, canonical, interval.name)
    if not found:
        known = [row["symbol"] for row in await connections.fetch("SELECT symbol FROM instruments ORDER BY symbol")]
        raise UnknownNameError(unknown_symbol(symbol, known), field="symbol")
    row = found[0]
    if row["first_minute"] is None:
        raise UnknownNameError(f"symbol {canonical!r} has no minutes yet.", field="symbol")
    last_bar = row["last_bar"]
    return Bounds(
        instrument_of(dict(row)),
        to_minute(row["first_minute"]),
        to_minute(row["last_minute"]),
        None if last_bar is None else to_minute(last_bar),
    )


async def read_page(connections: Connections, request: BarRequest) -> BarPage:
    """A page of bars.

    Raises:
        UserError: bars must be made from more minutes than the limit.
    """
    if request.start is None:
        return await _newest(connections, request)
    wanted = request.limit + 1
    rows = await _stored(connections, request, wanted, newest=False)
    left = range(0)
    if len(rows) < wanted:
        made, left = await made_bars(connections, request, wanted - len(rows), newest=False)
        rows += rows_of(made, request.now)
    page, more = rows[: request.limit], rows[request.limit :]
    onward = more[0]["time"] if more else to_datetime(request.interval.open(left.start)) if left else None
    return BarPage(page, onward, None)


async def _newest(connections: Connections, request: BarRequest) -> BarPage:
    wanted = request.limit + 1
    made, left = await made_bars(connections, request, wanted, newest=True)
    rows = rows_of(made, request.now)
    if len(rows) < wanted and not left:
        rows = await _stored(connections, request, wanted - len(rows), newest=True) + rows
    page, more = rows[-request.limit :], rows[: -request.limit]
    back = page[0]["time"] if more else to_datetime(request.interval.open(left.stop)) if left else None
    return BarPage(page, None, back)


async def _stored(connections: Connections, request: BarRequest, wanted: int, *, newest: bool) -> list[dict[str, Any]]:
    start, end = request.stored_window()
    if start >= end:
        return []
    statement = BACKWARD if newest else FORWARD
    symbol, interval = request.bounds.instrument.symbol, request.interval
    found = await connections.fetch(statement, symbol, interval.name, start, end, wanted)
    stored = [
        {**row, "vwap": vwap(row["quote_volume"], row["volume"]), "materialized": True, "forming": False}
        for row in (reversed(found) if newest else found)
    ]
    if stored and interval.close(interval.slot(to_minute(stored[-1]["time"]))) > request.now:
        stored[-1]["forming"] = True
    return stored


async def made_bars(
    connections: Connections, request: BarRequest, wanted: int, *, newest: bool
) -> tuple[Candles, range]:
    """At most `wanted` bars that are not stored, and the slots that were not looked at.

    Slots without a bar make it look further, until the minutes that one request may read are used up.
    """
    interval, left = request.interval, request.made_slots()
    parts: list[Candles] = []
    found, budget, ahead = 0, MAX_SOURCE_MINUTES, min(wanted, request.limit)
    while left and found < wanted:
        size = min(len(left), ahead)
        slots = left[-size:] if newest else left[:size]
        if parts:
            while len(slots) and interval.open(slots.stop) - interval.open(slots.start) > budget:
                half = len(slots) // 2
                slots = slots[len(slots) - half :] if newest else slots[:half]
            if not len(slots):
                break
        bars = await _make(connections, request, slots)
        left = left[: len(left) - len(slots)] if newest else left[len(slots) :]
        parts.insert(0, bars) if newest else parts.append(bars)
        found += len(bars)
        budget -= interval.open(slots.stop) - interval.open(slots.start)
        ahead = max(64, wanted - found, 2 * len(slots))
    if not parts:
        return empty_candles(interval, request.bounds.instrument.scale), left
    together = Candles.concatenate(parts)
    if found > wanted:
        # What was made beyond the page is made again for the next one.
        together = together.take(slice(-wanted, None) if newest else slice(0, wanted))
        first, last = interval.slot(int(together.time[0])), interval.slot(int(together.time[-1]))
        left = range(left.start, first) if newest else range(last + 1, left.stop)
    return together, left


async def _make(connections: Connections, request: BarRequest, slots: range) -> Candles:
    interval, instrument = request.interval, request.bounds.instrument
    check_source_minutes(interval, slots)
    start = max(interval.open(slots.start), request.bounds.first)
    end = min(interval.open(slots.stop), request.bounds.last + 1)
    if end - start > SMALL_MINUTES:
        return await connections.large(lambda cursor: make_bars(cursor, instrument, interval, slots, request.rule))
    minutes, vouched = await read_minutes(connections, instrument, start, end)
    return resample(minutes, interval, slots, vouched=vouched, rule=request.rule)


async def read_minutes(connections: Connections, instrument: Instrument, start: int, end: int) -> tuple[Candles, Spans]:
    """A few minutes [start, end), and those vouched for on their days."""
    rows = await connections.fetch(
        FORWARD, instrument.symbol, MINUTE.name, to_datetime(start), to_datetime(end), max(end - start, 1)
    )
    days = await connections.fetch(
        READ_VOUCHED,
        instrument.symbol,
        to_datetime(start).date(),
        (to_datetime(end - 1) + timedelta(days=1)).date(),
    )
    return _candles(rows, instrument.scale), _vouched(days)


def _vouched(days: Sequence[asyncpg.Record]) -> Spans:
    parts = [
        np.flatnonzero(np.unpackbits(np.frombuffer(row["minutes"], np.uint8))) + to_day(row["day"]) * MINUTES_PER_DAY
        for row in days
    ]
    return Spans.of_minutes(np.concatenate(parts) if parts else np.empty(0, np.int64))


def _candles(rows: Sequence[asyncpg.Record], scale: Scale) -> Candles:
    """1m candles of asyncpg's rows."""
    if not rows:
        return empty_candles(MINUTE, scale)
    time, *rest = (list(column) for column in zip(*(row.values() for row in rows), strict=True))
    columns = dict(zip(BAR_COLUMNS[1:], rest, strict=True))
    columns["trades"] = [UNKNOWN_TRADES if n is None else n for n in columns["trades"]]
    kinds: dict[str, type[np.generic]] = {**dict.fromkeys(_INTEGERS, np.int64), "usable": np.bool_}
    arrays: dict[str, Any] = {name: np.array(values, kinds.get(name, np.float64)) for name, values in columns.items()}
    return Candles(MINUTE, scale, time=np.array([to_minute(moment) for moment in time], np.int64), **arrays)


def rows_of(bars: Candles, now: int) -> list[dict[str, Any]]:
    """Bars made on the spot as rows."""
    columns: dict[str, list[Any]] = {
        "time": [to_datetime(minute) for minute in bars.time.tolist()],
        **{name: getattr(bars, name).tolist() for name in BAR_COLUMNS[1:]},
        "vwap": [],
        "materialized": [False] * len(bars),
        "forming": (bars.close_time > now).tolist() if len(bars) else [],
    }
    for name in ("quote_volume", "taker_buy_volume"):
        columns[name] = [None if isnan(value) else value for value in columns[name]]
    columns["trades"] = [None if count == UNKNOWN_TRADES else count for count in columns["trades"]]
    columns["vwap"] = [vwap(*both) for both in zip(columns["quote_volume"], columns["volume"], strict=True)]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


async def bar_before(connections: Connections, request: BarRequest, start: int) -> dict[str, Any] | None:
    """The last bar that opens before an epoch minute."""
    earlier = replace(request, start=None, end=start, limit=1)
    rows = (await read_page(connections, earlier)).rows
    return rows[0] if rows else None
