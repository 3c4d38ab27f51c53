"""What REST tells of the past at a moment: closed and forming bars, under the behaviour and the faults of then."""

from __future__ import annotations

from typing import Final

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay.behaviour import Behaviour, EmptyMinute
from btc_pipeline.exchanges.replay.faults import FaultKind, FaultPlan
from btc_pipeline.exchanges.replay.intervals import bar_end, bar_open
from btc_pipeline.exchanges.replay.market import MINUTE_MS, MinuteRow, epoch_ms, merged
from btc_pipeline.exchanges.replay.tape import Tape

MOST_MINUTES: Final = 100_000
"""Bars of longer intervals are added up from minutes; more of them in one request take too long."""


class History:
    """Bars of a tape as an exchange's database has them."""

    def __init__(
        self, tape: Tape, behaviour: Behaviour, faults: FaultPlan, empty_minute: EmptyMinute, *, always: bool = False
    ) -> None:
        """
        Args:
            empty_minute: what is told of minutes without trades.
            always: also of the forming one before its first trade.
        """
        self._tape = tape
        self._behaviour = behaviour
        self._faults = faults
        self._empty_minute = empty_minute
        self._always = always
        self._begun: dict[tuple[str, str], tuple[int, int, MinuteRow | None]] = {}

    def bars(self, coin: str, interval: str, start_ms: int, end_ms: int, now: float) -> list[MinuteRow]:
        """The bars that overlap [start_ms, end_ms], ascending; of all that exist only the newest `retention`.

        Args:
            now: UTC seconds; the bar that contains it is told as far as it is known.

        Raises:
            UserError: so many minutes are not added up in one request.
        """
        current = epoch_ms(now) // MINUTE_MS
        first = bar_open(interval, start_ms // MINUTE_MS)
        if interval != "1M":
            length = bar_end(interval, 0)
            first = max(first, bar_open(interval, current) - (self._behaviour.retention - 1) * length)
        last = min(end_ms // MINUTE_MS, current)
        if interval != "1m":
            last = min(bar_end(interval, bar_open(interval, last)) - 1, current)
        if last - first >= MOST_MINUTES:
            raise UserError(
                f"{last - first + 1} minutes of {interval} bars: the replay exchange adds up at most {MOST_MINUTES} "
                "in one request"
            )
        found: list[MinuteRow] = []
        end = first
        for minute in range(first, last + 1):
            row = self._minute(coin, minute, current, now)
            if row is None:
                continue
            if minute >= end:
                begin = bar_open(interval, minute)
                end = bar_end(interval, begin)
                found.append(row._replace(minute=begin))
            else:
                found[-1] = merged(found[-1], row)
        return found[-self._behaviour.retention :]

    def page(self, coin: str, start: int, end: int, now: float, *, most: int, newest: bool) -> list[MinuteRow]:
        """At most so many of the minutes that open in the epoch minutes [start, end], ascending.

        Args:
            now: UTC seconds; the minute that contains it is told as far as it is known.
            newest: whether the newest of them are taken, or the oldest.
        """
        current = epoch_ms(now) // MINUTE_MS
        first, last = max(start, self._tape.market.begins(coin)), min(end, current)
        found: list[MinuteRow] = []
        for minute in range(last, first - 1, -1) if newest else range(first, last + 1):
            if len(found) == most:
                break
            row = self._minute(coin, minute, current, now)
            if row is not None:
                found.append(row)
        return found[::-1] if newest else found

    def forming_bar(self, coin: str, interval: str, row: MinuteRow) -> MinuteRow:
        """The bar of an interval as its stream tells it, whose newest minute is `row`."""
        if interval == "1m":
            return row
        start = bar_open(interval, row.minute)
        begun, until, bar = self._begun.get((coin, interval), (start, start, None))
        if begun != start or until > row.minute:
            until, bar = start, None
        for minute in range(until, row.minute):
            final = self._tape.market.minute(coin, minute)
            if final is not None and (final.trades or final.volume):
                bar = merged(bar, final) if bar else final._replace(minute=start)
        self._begun[coin, interval] = (start, row.minute, bar)
        return merged(bar, row) if bar else row._replace(minute=start)

    def _minute(self, coin: str, minute: int, current: int, now: float) -> MinuteRow | None:
        if minute == current:
            step = self._tape.now_forming(coin, now)
            if step is not None:
                return step.row
            return self._tape.untraded(coin, minute) if self._always else None
        row = self._tape.market.minute(coin, minute)
        if row is None or not row.trades:
            return self._empty(coin, minute, now)
        if self._faults.knows(FaultKind.LATE_REVISION):
            row = self._unrevised(coin, row, now)
        if minute == current - 1 and self._faults.active(FaultKind.WRONG_REST_ROW, now):
            return broken(row)
        return row

    def _empty(self, coin: str, minute: int, now: float) -> MinuteRow | None:
        policy = self._empty_minute
        if policy is EmptyMinute.OMIT:
            return None
        if policy is EmptyMinute.LATE_FLAT and now < (minute + 1) * 60 + self._behaviour.late_flat_seconds:
            return None
        return self._tape.untraded(coin, minute)

    def _unrevised(self, coin: str, row: MinuteRow, now: float) -> MinuteRow:
        close = (row.minute + 1) * 60
        fault = self._faults.active(FaultKind.LATE_REVISION, close)
        if fault is None or now >= close + fault.amount:
            return row
        steps = self._tape.steps(coin, row.minute)
        return steps[-2].row if len(steps) > 1 else row


def broken(row: MinuteRow) -> MinuteRow:
    """The row with a high below its open or close."""
    return row._replace(high=max(row.open, row.close) - 1)
