"""Parity: what was logged against what the stored minutes give when everything is made of them again, in memory.

Two questions. Do the decisions that hold follow from the minutes that are stored? And, of `live`: was what was said at
the time what is known now? Every difference is given a cause that is looked up, not guessed: minutes that were stored
or superseded since, a day that waits to be made again, code or settings that changed. What none explains is a fault.

Nothing is written, and nothing that is materialised is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from btc_pipeline.errors import UserError
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Interval
from btc_pipeline.pipeline.backtest_data import Replay, Scope, Told
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET, Catalogue, DecisionsAsset, build_catalogue
from btc_pipeline.pipeline.refresh import pieces
from btc_pipeline.pipeline.staleness import read_symbol_digests, stale_days
from btc_pipeline.settings import Settings
from btc_pipeline.storage.as_of import read_minutes_as_of
from btc_pipeline.storage.candles import first_and_last_minute
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.decision_log import Changes, Logged, read_changes, read_logged
from btc_pipeline.storage.instruments import find_instrument, read_instruments
from btc_pipeline.storage.times import to_day
from btc_pipeline.strategies.decisions import Decisions, StrategyOnInterval

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

FIELDS: Final = ("target", "type", "confidence", "reasons", "input_digest", "warmed")
LIVE: Final = "live"
IN_FLIGHT: Final = timedelta(seconds=10)
"""What was recorded so shortly before a decision may not have been committed when that read the minutes."""

Row = tuple[object, ...]


class Cause(StrEnum):
    """Why a logged decision is not what is made of the minutes now."""

    REVISED = "minutes revised since"
    FILLED = "gap filled since"
    CHANGED = "code, parameters or settings changed since"
    STALE = "not made yet: the day is stale"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Difference:
    """A bar at which the log and the recomputation differ.

    Attributes:
        time: epoch minute of the bar's open.
        field: the first that differs; `decision` where one of the two has none.
        logged, made: its values.
        recorded_at: of the logged version.
        detail: what the cause rests on.
    """

    symbol: str
    interval: str
    strategy: str
    parameters: str
    time: int
    field: str
    logged: object
    made: object
    recorded_at: datetime | None
    cause: Cause
    detail: str


@dataclass
class Parity:
    """How many decisions were compared, and which differ."""

    compared: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def logged(self) -> int:
        """How many of them are in the log."""
        return self.compared - sum(one.cause is Cause.STALE for one in self.differences)

    @property
    def unexplained(self) -> int:
        return sum(one.cause is Cause.UNEXPLAINED for one in self.differences)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is compared; None is everything.

    Attributes:
        start, end: days since 1970-01-01, `end` exclusive.
        live: the versions that were made live, instead of those that hold now.
    """

    symbol: str | None = None
    interval: Interval | None = None
    start: int | None = None
    end: int | None = None
    live: bool = False


def verify_parity(
    database: Database,
    settings: Settings,
    wanted: Wanted,
    now: int,
    progress: Callable[[str], None] = lambda _: None,
) -> Parity:
    """Compares the log of every strategy at work with what the stored minutes give.

    Args:
        now: the epoch minute; bars that close later are not compared.
        progress: told what is being looked at.

    Raises:
        UserError: the symbol has no data, no strategy is at work on the interval, the range is empty.
    """
    catalogue, parity = build_catalogue(settings), Parity()
    assets = [one for one in catalogue.decisions if wanted.interval in (None, one.interval)]
    if not assets:
        at_work = ", ".join(one.interval.name for one in catalogue.decisions) or "none"
        raise UserError(f"interval {wanted.interval}: no strategy is at work on it; on {at_work} there is.")
    with database.kept() as kept:
        with kept.arrow() as cursor:
            known = read_instruments(cursor)
            chosen = known if wanted.symbol is None else [find_instrument(cursor, wanted.symbol)]
            spans = {one: days for one in chosen if len(days := _days(cursor, settings, one, wanted, now))}
        sources = {one.symbol: one for one in known}
        for instrument, days in spans.items():
            for asset in assets:
                progress(f"{instrument.symbol} {asset.interval}")
                for piece in pieces(days):
                    with kept.arrow() as cursor:
                        comparison = _Comparison(cursor, settings, catalogue, asset, instrument, piece, sources, now)
                        comparison.add_to(parity, live=wanted.live)
    return parity


def _days(cursor: Cursor, settings: Settings, instrument: Instrument, wanted: Wanted, now: int) -> range:
    bounds = first_and_last_minute(cursor, instrument.symbol)
    first = to_day(settings.start_date) if wanted.start is None else wanted.start
    if wanted.end is not None and first >= wanted.end:
        raise UserError("start is not before end: the end is the day after the last.", field="start")
    if bounds is None:
        return range(0)
    start = max(first, bounds[0] // MINUTES_PER_DAY)
    end = min(now // MINUTES_PER_DAY, bounds[1] // MINUTES_PER_DAY) + 1
    return range(start, max(start, end if wanted.end is None else min(end, wanted.end)))


class _Comparison:
    """One asset's decisions over some days of one symbol, in one transaction."""

    def __init__(
        self,
        cursor: Cursor,
        settings: Settings,
        catalogue: Catalogue,
        asset: DecisionsAsset,
        instrument: Instrument,
        days: range,
        sources: Mapping[str, Instrument],
        now: int,
    ) -> None:
        self._cursor, self._settings, self._catalogue = cursor, settings, catalogue
        self._asset, self._instrument, self._days, self._now = asset, instrument, days, now
        slots = asset.interval.slots_closing_in(days.start, days.stop)
        self._slots = range(slots.start, max(slots.start, min(slots.stop, asset.interval.slot(now))))
        warm_up = settings.warm_ups.get(instrument.symbol)
        bounds = first_and_last_minute(cursor, instrument.symbol) or (0, -1)
        # The first bar may open days before the day that it belongs to.
        first = min(days.start, asset.interval.open(slots.start) // MINUTES_PER_DAY)
        self._scope = Scope(
            instrument,
            asset.interval,
            asset.lookbacks,
            range(first, days.stop),
            range(bounds[0] // MINUTES_PER_DAY, bounds[1] // MINUTES_PER_DAY + 1),
            warm_up,
            sources.get(warm_up.source) if warm_up else None,
        )

    def add_to(self, parity: Parity, *, live: bool) -> None:
        """Compares, and adds what is found."""
        if not len(self._slots):
            return
        replay = Replay.read(self._cursor, self._scope, self._settings.rule)
        start, end = (self._asset.interval.open(slot) for slot in (self._slots.start, self._slots.stop))
        for one in self._asset.strategies:
            made = rows_of(one.decide(replay.frames, self._slots, replay.warm_bars))
            logged = read_logged(self._cursor, self._instrument.symbol, one, start, end, origin=LIVE if live else "")
            told = rows_of(logged.decisions)
            standing = {time for time, gone in zip(told, logged.withdrawn.tolist(), strict=True) if not gone}
            times = standing if live else standing | made.keys()
            parity.compared += len(times)
            differing = [time for time in sorted(times) if told.get(time) != made.get(time) or time not in standing]
            if differing:
                at_work = _AtWork(one, made, told, logged, differing)
                parity.differences += self._explained(at_work, live=live)

    def _explained(self, at_work: _AtWork, *, live: bool) -> Iterator[Difference]:
        stale, changes = self._stale(), self._changes(at_work)
        interval = self._asset.interval
        replayed = self._as_recorded(at_work, changes) if live else {}
        for time in at_work.differing:
            at = at_work.row_of.get(time)
            found = self._since(changes, at_work, time)
            day = (interval.close(interval.slot(time)) - 1) // MINUTES_PER_DAY
            if live and at is not None:
                again = bool(at_work.logged.newest[at] > at_work.logged.version[at])
                verdict = _cause_of_live(found, again=again, stale=day in stale, replayed=replayed.get(time))
            else:
                verdict = _cause_of_current(found, stale=day in stale, missing=at is None)
            yield at_work.difference(self._instrument.symbol, time, *verdict)

    # What a cause rests on

    def _stale(self) -> set[int]:
        """Days whose decisions, or anything they are made from, wait to be made again."""
        digests = read_symbol_digests(self._cursor, self._instrument, self._catalogue)
        # Nobody has to make days that have no minutes.
        known = digests.days(to_day(self._settings.start_date))
        reach = [wanted.first_day for wanted in self._asset.inputs(self._days.start)]
        first = max(known.start, min([self._days.start, *reach]))
        found = stale_days(digests, self._catalogue, range(first, self._days.stop), self._now)
        own = set(found.get(self._asset.name, ()))
        touched = set(found.get(MINUTES_ASSET, ()))
        for day in self._days:
            for wanted in self._asset.inputs(day):
                upstream = touched.union(found.get(wanted.upstream, ()))
                if any(wanted.first_day <= one <= day for one in upstream):
                    own.add(day)
        return own

    def _changes(self, at_work: _AtWork) -> list[Changes]:
        """What was stored or superseded of the minutes that any of the decisions looks at, since the first of them."""
        recorded = [at_work.logged.recorded_at[at] for at in at_work.row_of.values()]
        if not recorded:
            return []
        start, end = self._window(at_work.differing[0])[0], self._window(at_work.differing[-1])[1]
        source = self._scope.source if self._scope.warm else None
        symbols = [self._instrument.symbol, *([source.symbol] if source else [])]
        return [read_changes(self._cursor, symbol, start, end, min(recorded)) for symbol in symbols]

    def _since(self, changes: Sequence[Changes], at_work: _AtWork, time: int) -> tuple[int, int]:
        """How many of the minutes that a decision looks at were revised since it was recorded, and how many came."""
        at = at_work.row_of.get(time)
        if at is None:
            return 0, 0
        counts = [one.since(at_work.logged.recorded_at[at], *self._window(time)) for one in changes]
        return sum(count for count, _ in counts), sum(count for _, count in counts)

    def _window(self, time: int) -> tuple[int, int]:
        """The epoch minutes that a decision looks at."""
        own = self._asset.interval
        slot = own.slot(time)
        opens = [one.open(self._scope.slots_of(one, slot).start) for one in self._scope.lookbacks]
        return min(opens), own.close(slot)

    def _as_recorded(self, at_work: _AtWork, changes: Sequence[Changes]) -> dict[int, bool]:
        """Whether the minutes that were known when a decision was recorded give it, where any changed since."""
        groups: dict[datetime, list[int]] = {}
        for time in at_work.differing:
            if any(self._since(changes, at_work, time)):
                groups.setdefault(at_work.logged.recorded_at[at_work.row_of[time]], []).append(time)
        found: dict[int, bool] = {}
        for recorded, times in groups.items():
            for moment in (recorded, recorded - IN_FLIGHT):
                left = [time for time in times if not found.get(time)]
                if left:
                    made = self._replay_as_of(at_work.one, moment, left)
                    found.update((time, made.get(time) == at_work.told[time]) for time in left)
        return found

    def _replay_as_of(self, one: StrategyOnInterval, moment: datetime, times: Sequence[int]) -> dict[int, Row]:
        """The decisions at some bars from the minutes as they were known at a moment."""
        interval = self._asset.interval
        slots = range(interval.slot(times[0]), interval.slot(times[-1]) + 1)
        first, last = times[0] // MINUTES_PER_DAY, (interval.close(slots[-1]) - 1) // MINUTES_PER_DAY
        scope = replace(self._scope, days=range(first, last + 1))
        source = scope.warm
        own = self._told_as_of(scope.instrument, scope.own_days, moment)
        warm = None if source is None else self._told_as_of(source.instrument, source.days, moment)
        replay = Replay(scope, own, warm, self._settings.rule)
        return rows_of(one.decide(replay.frames, slots, replay.warm_bars))

    def _told_as_of(self, instrument: Instrument, days: range, moment: datetime) -> Told:
        start, end = days.start * MINUTES_PER_DAY, days.stop * MINUTES_PER_DAY
        return Told(*read_minutes_as_of(self._cursor, instrument, start, end, moment), {})


@dataclass(frozen=True)
class _AtWork:
    """One strategy's rows by time, made and logged, and the times at which they differ, ascending."""

    one: StrategyOnInterval
    made: Mapping[int, Row]
    told: Mapping[int, Row]
    logged: Logged
    differing: Sequence[int]

    @cached_property
    def row_of(self) -> dict[int, int]:
        """The rows of the log by the times that differ."""
        wanted = set(self.differing)
        return {time: at for at, time in enumerate(self.told) if time in wanted}

    def difference(self, symbol: str, time: int, cause: Cause, detail: str) -> Difference:
        """What there is to say about a bar."""
        at = self.row_of.get(time)
        told = None if at is None or self.logged.withdrawn[at] else self.told[time]
        name, logged, made = _first_field(told, self.made.get(time))
        return Difference(
            symbol,
            self.one.interval.name,
            self.one.strategy.name,
            self.one.parameters_json,
            time,
            name,
            logged,
            made,
            None if at is None else self.logged.recorded_at[at],
            cause,
            detail,
        )


def _cause_of_current(found: tuple[int, int], *, stale: bool, missing: bool) -> tuple[Cause, str]:
    """Of a decision that holds: where nothing waits to be made again, the log should be what the minutes give."""
    revised, filled = found
    if not stale:
        return Cause.UNEXPLAINED, "the day counts as up to date"
    if missing:
        return Cause.STALE, "materialise the day"
    if revised or filled:
        return (Cause.REVISED if revised else Cause.FILLED), f"{_counted(found)}; the day is stale"
    return Cause.CHANGED, "the same minutes; the day is stale"


def _cause_of_live(found: tuple[int, int], *, again: bool, stale: bool, replayed: bool | None) -> tuple[Cause, str]:
    """Of a decision that was made live.

    Args:
        again: whether the bar was decided again since.
        replayed: whether the minutes that were known then give it; None where none changed since.
    """
    if replayed:
        return (Cause.REVISED if found[0] else Cause.FILLED), f"{_counted(found)}; what was known then gives it"
    if replayed is None and (again or stale):
        return Cause.CHANGED, "the same minutes; " + ("decided again since" if again else "the day is stale")
    if replayed is False:
        return Cause.UNEXPLAINED, f"{_counted(found)}, but what was known then does not give it"
    return Cause.UNEXPLAINED, "the same minutes, and it was not decided again"


def _counted(found: tuple[int, int]) -> str:
    revised, filled = found
    parts = [f"{revised} minutes revised"] * bool(revised) + [f"{filled} came"] * bool(filled)
    return ", ".join(parts) + " since"


def _first_field(logged: Row | None, made: Row | None) -> tuple[str, object, object]:
    if logged is None or made is None:
        return "decision", logged and logged[1], made and made[1]
    return next((name, one, other) for name, one, other in zip(FIELDS, logged, made, strict=True) if one != other)


def rows_of(decisions: Decisions) -> dict[int, Row]:
    """What is compared of each decision, in the order of FIELDS, by time."""
    rows = decisions.rows(snapshots=False)
    return dict(zip(decisions.time.tolist(), (row[1:] for row in rows), strict=True))
