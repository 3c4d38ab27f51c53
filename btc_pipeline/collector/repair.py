"""Repair: what is missing between stored minutes is asked of the venue's REST, and explained if REST has it not either.

Belongs here: which gaps are asked for and when, and what becomes of them. Does not belong here: finding and listing
them (`quality`), requests and their limits (`exchanges`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import structlog

from btc_pipeline.collector.quality import OpenGap
from btc_pipeline.collector.store import Landed, Landing, MinuteStatus
from btc_pipeline.collector.validation import accept
from btc_pipeline.exchanges.base import NO_DECIMALS, History, Unreadable, VenueError, VenueRest, look_back_minutes
from btc_pipeline.exchanges.provider import Outage
from btc_pipeline.market.candles import Scale
from btc_pipeline.market.gaps import GapReason
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.timing.clock import Clock

log = structlog.get_logger(__name__)

LARGEST_REQUEST_MINUTES: Final = 5_000
JOINED_OVER_MINUTES: Final = 1_200
"""Gaps this near are asked for together: on Hyperliquid another request costs as much as so many rows."""

RECENT_MINUTES: Final = 120
RECENT_RETRY_SECONDS: Final = 300.0
RETRY_SECONDS: Final = 900.0
FETCH_RETRY_SECONDS: Final = 60.0
RETRY_SLACK_SECONDS: Final = 10.0
LATE_PUBLISH_MINUTES: Final = MINUTES_PER_DAY
QUIET_AFTER_MINUTES: Final = 15
LONGEST_QUIET_MINUTES: Final = 180
"""A longer hole is an outage of the exchange, whatever `omitted` says."""
WARN_AFTER_MINUTES: Final = 60 * 60

_GIVEN_UP: Final = (GapReason.EXCHANGE_DOWNTIME, GapReason.BEYOND_RETENTION)


class RepairStore(Protocol):
    """What repair asks of a MinuteStore."""

    async def land(self, symbol: str, rows: Sequence[Landing]) -> Landed: ...
    async def record_gaps(self, symbol: str, days: range, *, reason: GapReason) -> list[OpenGap]: ...
    async def gap_tried(
        self, symbol: str, gaps: Sequence[OpenGap], *, at: float, reason: GapReason | None = None
    ) -> None: ...
    async def explain_gaps(self, symbol: str, gaps: Sequence[OpenGap], reason: GapReason) -> None: ...
    async def vouch(self, symbol: str, minutes: Sequence[int], source: str) -> int: ...
    async def reject(self, symbol: str, rows: Sequence[Unreadable]) -> None: ...
    async def fail(
        self,
        symbol: str,
        reason: str,
        payload: None = None,
        *,
        kind: str = "failure",
        span: tuple[int, int] | None = None,
        once: bool = False,
    ) -> bool: ...
    async def declare_instrument(self, symbol: str, scale: Scale) -> Scale: ...
    async def instrument_scale(self, symbol: str) -> Scale | None: ...


@dataclass
class RepairReport:
    """What a repair found and did; counts are of minutes.

    Attributes:
        found: missing before; `gaps` are what is missing after.
        landed: what the answered rows did, those around the gaps included.
        vouched: known to have had no trade from now on.
        error: why REST could not be asked, if so.
    """

    symbol: str
    found: int = 0
    requests: int = 0
    landed: Landed = field(default_factory=Landed)
    vouched: int = 0
    rejected: int = 0
    gaps: list[OpenGap] = field(default_factory=list)
    error: str | None = None

    @property
    def missing(self) -> int:
        """Minutes that are missing still."""
        return sum(gap.end - gap.start for gap in self.gaps)


async def repair(
    store: RepairStore,
    rest: VenueRest,
    symbol: str,
    coin: str,
    window: tuple[int, int] | None = None,
    *,
    clock: Clock,
    now_minute: int,
    omitted: Literal["gap", "quiet"] = "gap",
    reason: GapReason = GapReason.UNKNOWN,
    force: bool = False,
    outages: Sequence[Outage] = (),
) -> RepairReport:
    """Fills gaps from REST, once; to be called again every few minutes.

    Args:
        window: epoch minutes [start, end) whose whole days are looked at; what live work looks back on by default.
        now_minute: the epoch minute that the exchange's clock shows; it has not closed.
        omitted: what a minute is that REST leaves out though it gives those around it: a gap, or quiet.
        reason: of gaps that nobody has explained yet.
        force: ask for every gap that the venue may still have, whenever it was last asked for.
        outages: the venue's known ones: a gap in one of them is not asked for.

    Raises:
        DatabaseAwayError: the database is not there. A venue that is not is reported.
    """
    kept = rest.retention_minutes
    edge = 0 if kept is None else now_minute - kept + 1
    start, end = window or (now_minute - look_back_minutes(rest) - MINUTES_PER_DAY, now_minute)
    days = range(start // MINUTES_PER_DAY, -(-end // MINUTES_PER_DAY))
    report = RepairReport(symbol, gaps=await store.record_gaps(symbol, days, reason=reason))
    known = [gap for gap in report.gaps if gap.reason not in _GIVEN_UP and _is_in(gap, outages)]
    if known:
        await store.explain_gaps(symbol, known, GapReason.EXCHANGE_DOWNTIME)
        report.gaps = await store.record_gaps(symbol, days, reason=reason)
    report.found = report.missing
    if not report.gaps:
        return report
    due = [
        gap
        for gap in report.gaps
        if gap.end > edge and not _is_in(gap, outages) and (force or _is_due(gap, clock.now(), now_minute))
    ]
    told = await _ask(store, rest, symbol, coin, _requests(due, edge, now_minute), now_minute, report)
    left = await store.record_gaps(symbol, days, reason=reason) if due else report.gaps
    lost = [gap for gap in left if gap.end <= edge and gap.reason not in _GIVEN_UP]
    await store.explain_gaps(symbol, lost, GapReason.BEYOND_RETENTION)
    asked = [gap for gap in left if gap.end > edge and any(one.start <= gap.start < one.end for one in due)]
    report.vouched = await _explain(store, rest, symbol, asked, told, clock.now(), now_minute, omitted, report.error)
    report.gaps = await store.record_gaps(symbol, days, reason=reason) if lost or asked else left
    if kept is not None:
        await _warn(store, symbol, report.gaps, edge, now_minute, kept)
    if report.requests:
        log.info(
            "repair",
            symbol=symbol,
            found=report.found,
            requests=report.requests,
            added=report.landed.added,
            vouched=report.vouched,
            missing=report.missing,
            error=report.error,
        )
    return report


def _is_in(gap: OpenGap, outages: Sequence[Outage]) -> bool:
    return any(one.start <= gap.start and gap.end <= one.end for one in outages)


def _is_due(gap: OpenGap, now: float, now_minute: int) -> bool:
    if gap.reason in _GIVEN_UP:
        return False
    if gap.retried_at is None:
        return True
    recent = now_minute - gap.end < RECENT_MINUTES
    pause = RECENT_RETRY_SECONDS if recent else RETRY_SECONDS
    if gap.reason is GapReason.FETCH_FAILED:
        pause = FETCH_RETRY_SECONDS
    return now - gap.retried_at >= pause - RETRY_SLACK_SECONDS


def _requests(gaps: Sequence[OpenGap], edge: int, now_minute: int) -> list[tuple[int, int]]:
    """Few large spans of minutes that cover the gaps, and a minute on either side of each."""
    joined: list[tuple[int, int]] = []
    for gap in gaps:
        start, end = max(gap.start - 1, edge), min(gap.end + 1, now_minute)
        if start >= end:
            continue
        if joined and start - joined[-1][1] <= JOINED_OVER_MINUTES:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [
        (at, min(at + LARGEST_REQUEST_MINUTES, end))
        for start, end in joined
        for at in range(start, end, LARGEST_REQUEST_MINUTES)
    ]


async def _ask(
    store: RepairStore,
    rest: VenueRest,
    symbol: str,
    coin: str,
    requests: Sequence[tuple[int, int]],
    now_minute: int,
    report: RepairReport,
) -> list[int]:
    """Asks and lands; the minutes that REST told of, ascending. Stops at the first request that fails."""
    told: list[int] = []
    for start, end in requests:
        report.requests += 1
        try:
            history = await rest.history(coin, start, end)
        except VenueError as error:
            report.error = str(error)
            log.warning("repair: REST cannot be asked", symbol=symbol, venue=rest.venue, reason=report.error)
            break
        # The last row may be forming, and rows that overlap the window's edges may be more than was asked for.
        rows = [row for row in history.minutes if start <= row.time < min(end, now_minute)]
        scale = await store.instrument_scale(symbol) or NO_DECIMALS
        answer = History(rows, history.unreadable)
        good, refused, _ = await accept(answer, scale, lambda wanted: store.declare_instrument(symbol, wanted), symbol)
        await store.reject(symbol, refused)
        why = f"REST of {rest.venue}, filling a gap"
        report.landed += await store.land(symbol, [Landing(row, MinuteStatus.CONFIRMED, why) for row in good])
        report.rejected += len(refused)
        # A row that cannot be taken was told of, too: its minute is not one that REST leaves out.
        told += [row.time for row in rows] + [row.time for row in history.unreadable if row.time is not None]
    return sorted(told)


async def _explain(
    store: RepairStore,
    rest: VenueRest,
    symbol: str,
    gaps: Sequence[OpenGap],
    told: Sequence[int],
    now: float,
    now_minute: int,
    omitted: str,
    error: str | None,
) -> int:
    """Says of gaps that were asked for why they are gaps still; how many minutes were vouched for instead."""
    vouched = 0
    by_reason: dict[GapReason, list[OpenGap]] = {}
    for gap in gaps:
        inside = bisect_left(told, gap.end) - bisect_left(told, gap.start)
        left_out = bool(told) and told[0] < gap.start and told[-1] >= gap.end and not inside
        age = now_minute - gap.end
        if left_out and omitted == "quiet" and gap.end - gap.start <= LONGEST_QUIET_MINUTES:
            quiet = [minute for minute in range(gap.start, gap.end) if now_minute - minute > QUIET_AFTER_MINUTES]
            vouched += await store.vouch(symbol, quiet, f"{rest.venue}: REST leaves it out")
            if len(quiet) == gap.end - gap.start:
                continue
        if error is not None and not left_out:
            reason = GapReason.FETCH_FAILED
        elif left_out and age >= LATE_PUBLISH_MINUTES:
            reason = GapReason.EXCHANGE_DOWNTIME
        else:
            reason = GapReason.LATE_PUBLISH
        by_reason.setdefault(reason, []).append(gap)
    for reason, of_reason in by_reason.items():
        await store.gap_tried(symbol, of_reason, at=now, reason=reason)
    return vouched


async def _warn(
    store: RepairStore, symbol: str, gaps: Sequence[OpenGap], edge: int, now_minute: int, retention: int
) -> None:
    """Says once of a gap that the venue will soon not give any more."""
    for gap in gaps:
        if gap.end > edge and gap.reason not in _GIVEN_UP and now_minute - gap.start > WARN_AFTER_MINUTES:
            words = f"a gap is not filled after 60 h; the exchange gives minutes for {retention / 60:.0f} h"
            if await store.fail(symbol, words, kind="anomaly", span=(gap.start, gap.end), once=True):
                log.warning(words, symbol=symbol, start=gap.start, end=gap.end, reason=str(gap.reason))
