"""What the live lane has to do now: which days of which assets, told from `partition_digests` and the clock.

Level-triggered: the same question always has the same answer until somebody does the work, so nothing is lost by a
missed tick, a restart or a failed run. Belongs here: the question. Does not belong here: who asks and who does it
(`defs.sensors`), and what the bodies do (`chain`).

Two kinds of work. A *close*: the last closed slot of an interval whose minutes changed since its day was last looked
at, or that closed since the watermark. And the *past*: days before today that were touched or are stale, which only
the digests of the recent days tell; they are asked only when something in them changed, and every ten minutes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from btc_pipeline.market.intervals import MINUTE, MINUTES_PER_DAY, Interval
from btc_pipeline.pipeline.catalogue import (
    MINUTES_ASSET,
    OTHER_BARS_ASSET,
    BarsAsset,
    Catalogue,
    DecisionsAsset,
    IndicatorsAsset,
    bars_asset_name,
)
from btc_pipeline.pipeline.live_state import Connection, SymbolState, read_digests, read_stamp, read_states
from btc_pipeline.pipeline.staleness import SymbolDigests, stale_days, stale_days_of
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.times import to_date, to_datetime

GRACE_SECONDS: Final = 15
"""How long a closed slot waits for its last minute; a later minute makes a new version of the decision."""
FLOWING_MINUTES: Final = 5
"""A symbol whose newest minute is older than this at a close is not waited for."""
RECENT_DAYS: Final = 31
"""Days before these are the user's affair: `materialize --stale`, or a backfill."""
JOINED_DAYS: Final = 7
"""Stale days this near are made in one run with a slot that closed; farther ones follow in a run of their own, unless
the lane begins: then a decision should know them."""
LOOK_EVERY_MINUTES: Final = 60
"""The minutes and `candles_other` join a run when they have not been looked at for so long ..."""
LOOK_ALONE_MINUTES: Final = 80
"""... and get a run of their own after so long: the next close of 37m would have come by then."""
CHECK_SECONDS: Final = 600.0
"""How often the digests of the recent days are compared though nothing seems to have changed."""

StaleDays = Mapping[str, Collection[int]]
"""By asset name, days since 1970-01-01."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the lane has come; lost, it costs one run that finds everything up to date.

    Attributes:
        closes: slots that closed up to this epoch minute were asked for, whether or not they got a row.
        looked: the epoch minute at which the minutes and `candles_other` were last asked for.
        stamp: what the digests of the recent days looked like when they were last compared.
        checked: when that was, in seconds.
    """

    closes: int = 0
    looked: int = 0
    stamp: str = ""
    checked: float = 0.0

    def to_json(self) -> str:
        """As text, for a sensor's cursor."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str | None) -> Watermark:
        """From that text; the beginning, where there is none or it is another version's."""
        try:
            return Watermark(**json.loads(text or "{}"))
        except (TypeError, ValueError):
            return Watermark()


@dataclass(frozen=True, slots=True)
class Work:
    """What is due: assets in the catalogue's order over a range of days, and the watermark once it is asked for."""

    days: range
    assets: tuple[str, ...]
    symbols: tuple[str, ...]
    watermark: Watermark
    reason: str


def look(
    database: Database, catalogue: Catalogue, now_seconds: float, watermark: Watermark, first_day: int = 0
) -> tuple[Work | None, Watermark]:
    """What is due now, and the watermark as it stands if that is not asked for.

    Args:
        now_seconds: UTC, since 1970-01-01.
        first_day: no partition is before it.
    """
    with database.rows(autocommit=True) as connection:
        return look_with(connection, catalogue, now_seconds, watermark, first_day)


def look_with(
    connection: Connection,
    catalogue: Catalogue,
    now_seconds: float,
    watermark: Watermark,
    first_day: int = 0,
) -> tuple[Work | None, Watermark]:
    """`look` over a connection that is there already."""
    today = int(now_seconds) // 60 // MINUTES_PER_DAY
    recent = range(max(first_day, today - RECENT_DAYS), today + 1)
    if not recent:
        return None, watermark
    states, before = read_states(connection, recent), watermark
    stale: dict[str, StaleDays] = {}
    stamp = read_stamp(connection, catalogue, recent)
    if stamp != watermark.stamp or abs(now_seconds - watermark.checked) >= CHECK_SECONDS:
        watermark = replace(watermark, stamp=stamp, checked=now_seconds)
        now = int(now_seconds) // 60
        for digests in read_digests(connection, catalogue, recent, [state.symbol for state in states]):
            if found := stale_work(digests, catalogue, recent, now):
                stale[digests.instrument.symbol] = found
    work = work_due(states, catalogue, now_seconds, watermark, stale, first_day)
    return work, watermark if work is None else before


def work_due(
    states: Sequence[SymbolState],
    catalogue: Catalogue,
    now_seconds: float,
    watermark: Watermark,
    stale: Mapping[str, StaleDays] | None = None,
    first_day: int = 0,
) -> Work | None:
    """What is due, as one run: slots that closed, and days that are stale.

    Args:
        stale: by symbol, what `stale_work` found.
    """
    now, past = int(now_seconds) // 60, dict(stale or {})
    live = [state for state in states if state.newest_day >= now // MINUTES_PER_DAY - 1]
    closed = _closed(live, catalogue, now_seconds, watermark)
    days = {day for day in closed.days if day >= first_day}
    if watermark.closes and days and past and min(_days_of(past.values())) < min(days) - JOINED_DAYS:
        # Asked again at the next look: its stamp is not remembered.
        watermark, past = replace(watermark, stamp=""), {}
    assets = set(closed.assets if days else ())
    for found in past.values():
        assets.update(found)
    days.update(_days_of(past.values()))
    if not days:
        return None
    if now // MINUTES_PER_DAY in days:
        others = {MINUTES_ASSET, OTHER_BARS_ASSET} & set(catalogue.names)
        if now - watermark.looked >= LOOK_EVERY_MINUTES:
            assets.update(others)
        if others <= assets:
            watermark = replace(watermark, looked=now)
    if closed.days:
        watermark = replace(watermark, closes=max(watermark.closes, closed.until))
    symbols = {state.symbol for state in live} if closed.days else set()
    return Work(
        range(min(days), max(days) + 1),
        tuple(name for name in catalogue.names if name in assets),
        tuple(sorted(symbols | set(past))),
        watermark,
        "; ".join([*closed.reasons, *_told(past)]),
    )


def may_begin(connection: Connection, close: int, now_seconds: float) -> bool:
    """Whether the last minute before a close (epoch minute) is stored, of every symbol that flows, or is overdue."""
    day = (close - 1) // MINUTES_PER_DAY
    return now_seconds >= close * 60 and _may_go(read_states(connection, range(day - 1, day + 1)), close, now_seconds)


def next_close(catalogue: Catalogue, now_seconds: float) -> int:
    """The epoch minute at which the next slot of an interval with a chain closes."""
    now = int(now_seconds) // 60
    closes = [interval.close(interval.slot(now)) for interval in live_intervals(catalogue)]
    return min(closes, default=now + MINUTES_PER_DAY)


def last_close(catalogue: Catalogue, now_seconds: float) -> int:
    """The epoch minute at which the last slot of an interval with a chain closed."""
    now = int(now_seconds) // 60
    return max((interval.open(interval.slot(now)) for interval in live_intervals(catalogue)), default=0)


def live_intervals(catalogue: Catalogue) -> list[Interval]:
    """The intervals that have assets of their own: those of indicators and strategies, and what strategies look at."""
    found = {asset.interval for asset in _made_from_bars(catalogue)}
    found |= {interval for asset in catalogue.bars if asset.name != OTHER_BARS_ASSET for interval in asset.intervals}
    return sorted(found, key=lambda interval: (interval.is_month, interval.minutes))


def chain_of(catalogue: Catalogue, interval: Interval) -> Iterator[str]:
    """The assets that follow from a close of an interval, the minutes included."""
    yield MINUTES_ASSET
    if interval != MINUTE:
        yield bars_asset_name(interval)
    for asset in _made_from_bars(catalogue):
        if asset.interval == interval:
            yield asset.name


def stale_work(digests: SymbolDigests, catalogue: Catalogue, days: range, now: int) -> dict[str, list[int]]:
    """The stale days of every asset of a symbol, and what will be stale once they are made, as far as it is plain.

    What is stale farther downstream is found when those are made: a digest that comes out equal ends it.

    Args:
        days: days to look at, of which the last is today. Of today, only what earlier days changed: the rest is told
            by closes.
        now: the epoch minute up to which bars are closed.
    """
    today = days.stop - 1
    known = digests.days(days.start)
    past = range(known.start, min(known.stop, today))
    minutes = digests.by_asset.get(MINUTES_ASSET, {})
    touched = {
        day: one.touched_from if one.touched_from is not None else day * MINUTES_PER_DAY
        for day, one in minutes.items()
        if day < today and (one.content is None or one.inputs is None)
    }
    found = {name: set(stale) for name, stale in stale_days(digests, catalogue, past, now).items()}
    changing: dict[str, set[int]] = {}
    for bars in catalogue.bars:
        if today in known and _reaches(bars, today, touched):
            found.setdefault(bars.name, set()).add(today)
        changing[bars.name] = {day for day in found.get(bars.name, ()) if _will_change(bars, day, touched)}
    for asset in _made_from_bars(catalogue):
        coming = {day for upstream in asset.upstream for day in changing.get(upstream, ())}
        own = digests.by_asset.get(asset.name, {})
        if today in own and MINUTES_ASSET not in asset.upstream:
            coming.update(stale_days_of(asset, digests, range(today, today + 1), now))
        found.setdefault(asset.name, set()).update(coming)
    return {name: sorted(stale) for name, stale in found.items() if stale}


@dataclass(frozen=True, slots=True)
class _Closed:
    days: set[int]
    assets: set[str]
    until: int
    reasons: list[str]


def _closed(live: Sequence[SymbolState], catalogue: Catalogue, now_seconds: float, watermark: Watermark) -> _Closed:
    """The last closed slots that are due."""
    now = int(now_seconds) // 60
    found, until = _Closed(set(), set(), 0, []), 0
    if not live:
        return found
    for interval in live_intervals(catalogue):
        close = interval.open(interval.slot(now))
        day = (close - 1) // MINUTES_PER_DAY
        revised = any(state.touched.get(day, math.inf) < close for state in live)
        if not _may_go(live, close, now_seconds) or not (revised or close > watermark.closes):
            continue
        until = max(until, close)
        found.days.add(day)
        found.assets.update(chain_of(catalogue, interval))
        found.reasons.append(f"{interval} closed at {to_datetime(close):%H:%M}")
    today = now // MINUTES_PER_DAY
    if not found.days and now - watermark.looked >= LOOK_ALONE_MINUTES and any(today in one.touched for one in live):
        found.days.add(today)
        found.assets.update({MINUTES_ASSET, OTHER_BARS_ASSET} & set(catalogue.names))
        found.reasons.append("the hourly look")
    return replace(found, until=until)


def _may_go(live: Sequence[SymbolState], close: int, now_seconds: float) -> bool:
    """Whether the last minute of a slot is there, or has been waited for long enough."""
    if now_seconds >= close * 60 + GRACE_SECONDS:
        return True
    flowing = [s.accounted_until for s in live if s.accounted_until and s.accounted_until >= close - FLOWING_MINUTES]
    return bool(flowing) and min(flowing) >= close


def _made_from_bars(catalogue: Catalogue) -> tuple[IndicatorsAsset | DecisionsAsset, ...]:
    return (*catalogue.indicators, *catalogue.decisions)


def _reaches(bars: BarsAsset, day: int, touched: Mapping[int, int]) -> bool:
    """Whether a bar of the day has minutes in a touched day before it."""
    return any(wanted.first_day <= one < day for wanted in bars.inputs(day) for one in touched)


def _will_change(bars: BarsAsset, day: int, touched: Mapping[int, int]) -> bool:
    """Whether bars of a stale day may come out differently: not if all that is new came after the last of them."""
    reasons = {one: minute for one, minute in touched.items() for w in bars.inputs(day) if w.first_day <= one <= day}
    if not reasons:
        return True
    for interval in bars.intervals:
        slots = interval.slots_closing_in(day, day + 1)
        first, end = interval.open(slots.start), interval.open(slots.stop)
        if len(slots) and any(minute < end and (one + 1) * MINUTES_PER_DAY > first for one, minute in reasons.items()):
            return True
    return False


def _days_of(stale: Iterable[StaleDays]) -> set[int]:
    return {day for found in stale for days in found.values() for day in days}


def _told(stale: Mapping[str, StaleDays]) -> Iterator[str]:
    for symbol, found in stale.items():
        days = sorted(_days_of([found]))
        span = f"{to_date(days[0])}" + (f" to {to_date(days[-1])}" if len(days) > 1 else "")
        yield f"{symbol}: {span} is stale"
