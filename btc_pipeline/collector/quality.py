"""What the collector knows of missing and of bad minutes: gaps, vouched minutes, rejected rows, failures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from btc_pipeline.collector.database import Connections
from btc_pipeline.exchanges.base import Unreadable
from btc_pipeline.market.gaps import GapReason, split_at_midnight
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Int64Array
from btc_pipeline.market.spans import NO_SPANS, Spans
from btc_pipeline.storage.live_minutes import BOUNDS, HOLES, TOUCH_MINUTES, VOUCH, VOUCHED
from btc_pipeline.storage.quality_statements import (
    ADD,
    ADD_FOUND_OF_ARRAYS,
    COUNT_AGAIN,
    EXPLAIN,
    EXPLAIN_UNKNOWN,
    OPEN_GAPS,
    RESOLVE_GONE_OF_ARRAYS,
    TRIED,
)

SAME_AGAIN_SECONDS: Final = 3600.0
MAX_TEXT: Final = 4000
MAX_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class OpenGap:
    """Minutes [start, end) of one UTC day that are missing; `retried_at` in UTC seconds since 1970-01-01."""

    start: int
    end: int
    reason: GapReason
    retries: int = 0
    retried_at: float | None = None


class QualityStore(Connections):
    """`data_quality` and `vouched_minutes`, and the holes between stored minutes."""

    async def holes(self, symbol: str, start: int, end: int) -> Spans:
        """The gaps in [start, end): between the symbol's first stored minute and its last, without the vouched ones."""
        return await self.run(lambda connection: _holes(connection, symbol, start, end))

    async def record_gaps(self, symbol: str, days: range, *, reason: GapReason) -> list[OpenGap]:
        """Finds the gaps of whole days (since 1970-01-01) and makes the open ones of `data_quality` equal to them.

        A gap that stands, or what is left of one, keeps its reason and its retries; one that is gone is resolved. As
        `storage.quality.record_gaps`, with the finding in the same transaction.

        Args:
            reason: of gaps that are new, and of those that nobody has explained yet.

        Returns:
            The open gaps of those days, ascending, cut at midnight.
        """
        if not len(days):
            return []
        start, end = days.start * MINUTES_PER_DAY, days.stop * MINUTES_PER_DAY

        async def work(connection: Any) -> list[OpenGap]:
            missing = split_at_midnight(await _holes(connection, symbol, start, end))
            starts, ends = missing.start.tolist(), missing.end.tolist()
            window = (_moment(start), _moment(end))
            await connection.execute(ADD_FOUND_OF_ARRAYS, symbol, starts, ends, str(reason))
            await connection.execute(RESOLVE_GONE_OF_ARRAYS, symbol, *window, starts, ends)
            if reason is not GapReason.UNKNOWN:
                await connection.execute(EXPLAIN_UNKNOWN, symbol, *window, str(reason))
            rows = await connection.fetch(OPEN_GAPS, symbol, *window)
            return [
                OpenGap(row["start"], row["end"], GapReason(row["reason"]), row["retries"], row["retried_at"])
                for row in rows
            ]

        return await self.run_locked(symbol, work)

    async def gap_tried(
        self, symbol: str, gaps: Sequence[OpenGap], *, at: float, reason: GapReason | None = None
    ) -> None:
        """Counts a try to fill open gaps at a moment (UTC seconds since 1970-01-01), perhaps with what it taught."""
        if gaps:
            parameters = (*_starts_and_ends(gaps), at, None if reason is None else str(reason))
            await self.run_locked(symbol, lambda connection: connection.execute(TRIED, symbol, *parameters))

    async def explain_gaps(self, symbol: str, gaps: Sequence[OpenGap], reason: GapReason) -> None:
        """Gives open gaps another reason, without a try."""
        if gaps:
            parameters = (*_starts_and_ends(gaps), str(reason))
            await self.run_locked(symbol, lambda connection: connection.execute(EXPLAIN, symbol, *parameters))

    async def vouch(self, symbol: str, minutes: Sequence[int] | Int64Array, source: str) -> int:
        """Adds epoch minutes to those in which, says the source, nothing traded; returns how many were new."""
        told = np.unique(np.asarray(minutes, np.int64))
        if not len(told):
            return 0

        async def work(connection: Any) -> int:
            first, end = int(told[0]) // MINUTES_PER_DAY, int(told[-1]) // MINUTES_PER_DAY + 1
            bitmaps = await _bitmaps(connection, symbol, first, end)
            fresh = np.setdiff1d(told, _minutes_of(bitmaps))
            days, firsts = np.unique(fresh // MINUTES_PER_DAY, return_index=True)
            if not len(days):
                return 0
            packed = [_with(bitmaps.get(day), fresh[fresh // MINUTES_PER_DAY == day]) for day in days.tolist()]
            await connection.execute(VOUCH, symbol, days.tolist(), packed, source)
            await connection.execute(TOUCH_MINUTES, symbol, days.tolist(), fresh[firsts].tolist())
            return len(fresh)

        return await self.run_locked(symbol, work)

    async def reject(self, symbol: str, rows: Sequence[Unreadable]) -> None:
        """Keeps refused rows with their payload; what was refused alike within the hour is counted instead."""
        for row in rows:
            payload = {"text": row.payload[:MAX_TEXT]}
            end = None if row.time is None else row.time + 1
            await self._note("rejected_row", symbol, row.reason, row.time, end, payload, SAME_AGAIN_SECONDS)

    async def fail(
        self,
        symbol: str,
        reason: str,
        payload: Mapping[str, object] | None = None,
        *,
        kind: str = "failure",
        span: tuple[int, int] | None = None,
        once: bool = False,
    ) -> bool:
        """Records a failure or an anomaly; the same again within the hour (with `once`: ever) is counted instead.

        Args:
            kind: `failure` or `anomaly`.
            span: the epoch minutes [start, end) that it is about.

        Returns:
            Whether it is new.
        """
        start, end = span or (None, None)
        return await self._note(kind, symbol, reason, start, end, payload, math.inf if once else SAME_AGAIN_SECONDS)

    async def _note(
        self,
        kind: str,
        symbol: str,
        reason: str,
        start: int | None,
        end: int | None,
        payload: Mapping[str, object] | None,
        seconds: float,
    ) -> bool:
        words = _storable(reason)[:MAX_REASON]
        # A hundred years: make_interval knows no infinity.
        bounded = min(seconds, 100 * 365 * 86_400.0)

        async def work(connection: Any) -> bool:
            async with connection.transaction():
                if await connection.fetchval(COUNT_AGAIN, kind, symbol, words, start, end, bounded) is not None:
                    return False
                text = None if payload is None else _storable(_as_json(payload))
                await connection.execute(ADD, kind, symbol, words, start, end, text)
                return True

        return await self.run(work)


def _starts_and_ends(gaps: Sequence[OpenGap]) -> tuple[list[int], list[int]]:
    return [gap.start for gap in gaps], [gap.end for gap in gaps]


async def _holes(connection: Any, symbol: str, start: int, end: int) -> Spans:
    first, last = await connection.fetchrow(BOUNDS, symbol)
    if first is None:
        return NO_SPANS
    start, end = max(start, first), min(end, last + 1)
    if start >= end:
        return NO_SPANS
    rows = await connection.fetch(HOLES, symbol, start, end)
    spans = Spans.of((row["start"], row["end"]) for row in rows)
    if not len(spans):
        return NO_SPANS
    first_day, end_day = int(spans.start[0]) // MINUTES_PER_DAY, (int(spans.end[-1]) - 1) // MINUTES_PER_DAY + 1
    vouched = _minutes_of(await _bitmaps(connection, symbol, first_day, end_day))
    return Spans.of_minutes(np.setdiff1d(spans.minutes(), vouched, assume_unique=True)) if len(vouched) else spans


async def _bitmaps(connection: Any, symbol: str, first_day: int, end_day: int) -> dict[int, bytes]:
    rows = await connection.fetch(VOUCHED, symbol, first_day, end_day)
    return {row["epoch_day"]: row["minutes"] for row in rows}


def _minutes_of(bitmaps: Mapping[int, bytes]) -> Int64Array:
    """The epoch minutes whose bits are set, ascending."""
    if not bitmaps:
        return np.empty(0, np.int64)
    days = np.array(list(bitmaps), np.int64)
    at = np.flatnonzero(np.unpackbits(np.frombuffer(b"".join(bitmaps.values()), np.uint8)))
    return np.asarray(days[at // MINUTES_PER_DAY] * MINUTES_PER_DAY + at % MINUTES_PER_DAY, np.int64)


def _with(bitmap: bytes | None, minutes: Int64Array) -> bytes:
    """A day's bitmap with more bits set."""
    bits = np.zeros(MINUTES_PER_DAY, np.uint8)
    if bitmap is not None:
        bits = np.unpackbits(np.frombuffer(bitmap, np.uint8))
    bits[minutes % MINUTES_PER_DAY] = 1
    return np.packbits(bits).tobytes()


def _as_json(payload: Mapping[str, object]) -> str:
    """Numbers that JSON has no word for become text."""
    plain = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in payload.items()
    }
    return json.dumps(plain, default=str, ensure_ascii=False)


def _storable(text: str) -> str:
    r"""Text as PostgreSQL takes it, JSON included: without NULs and halves of surrogate pairs, escaped or not."""
    cleaned = text.replace("\x00", "\ufffd").replace("\\u0000", "\\ufffd")
    return cleaned.encode("utf-8", "replace").decode("utf-8")


def _moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)
