"""Whether everything is well: one assessment for the API, the command line and Dagster.

Belongs here: what rows of the database mean, in numbers and in sentences. Pure: rows in, a report out. Does not belong
here: the statements (`storage.health`), and how a report is shown.

A symbol is live if the collector has a row for it; one that only has an imported history is not expected to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from btc_pipeline.market.intervals import Interval
from btc_pipeline.pipeline.collection import (
    WARN_GAP_AFTER,
    CollectorHealth,
    Row,
    assess_collector,
    exchange_time_of,
    forgets_after,
    forgetting,
    shown,
)
from btc_pipeline.pipeline.readiness import Readiness, StoredBars, assess_readiness, bars_to_read
from btc_pipeline.settings import Settings
from btc_pipeline.storage.health import BARS, COLLECTORS, DECISIONS, SYMBOLS, WARM_BARS, Question
from btc_pipeline.storage.times import to_datetime, to_minute
from btc_pipeline.strategies.decisions import StrategyOnInterval

__all__ = [
    "CollectorHealth",
    "HealthReport",
    "LastDecision",
    "SymbolHealth",
    "assess_collector",
    "assess_health",
    "health_questions",
]


RUNNING_DAYS: Final = 2
"""Days that change while minutes arrive: today, and yesterday around midnight."""

DECIDED_WITHIN: Final = timedelta(minutes=3)
"""How long after a bar is stored its decisions may come: seconds behind a live close, more behind a download."""


@dataclass(frozen=True, slots=True)
class LastDecision:
    """The newest decision of a symbol; `time` is its bar's open, `decided_at` that bar's close."""

    time: datetime
    decided_at: datetime
    interval: str
    strategy: str
    type: str
    target: int | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class SymbolHealth:
    """One symbol: its minutes, its gaps, who collects it, what is decided on it.

    Attributes:
        feed: live or replay; None of a symbol that is not collected.
        age_seconds: since the last stored minute closed.
        readiness: of a live symbol, every configured strategy on every interval.
    """

    symbol: str
    venue: str | None
    feed: str | None
    first_day: date | None
    last_day: date | None
    last_minute: datetime | None
    age_seconds: int | None
    minutes: int
    touched_days: int
    neglected_days: int
    open_gaps: int
    recent_open_gaps: int
    missing_minutes: int
    rejected_rows: int
    collector: CollectorHealth | None
    last_decision: LastDecision | None
    readiness: tuple[Readiness, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """All of it. `ok` if no symbol has a problem; problems and warnings are sentences that name their symbol."""

    status: str
    time: datetime
    feed: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    symbols: tuple[SymbolHealth, ...]

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    def to_dict(self) -> dict[str, Any]:
        """Plain objects, times as datetimes."""
        return asdict(self)


def health_questions(settings: Settings) -> dict[str, Question]:
    """What has to be read for `assess_health`, by name: a statement and its parameters each."""
    strategies = settings.strategies_at_work
    bars = bars_to_read(strategies)
    intervals = ([interval.name for interval in bars], list(bars.values()))
    warm_ups = settings.warm_ups
    sources = ([one.source for one in warm_ups.values()], [one.until for one in warm_ups.values()])
    return {
        "collectors": (COLLECTORS, ()),
        "symbols": (SYMBOLS, ()),
        "bars": (BARS, intervals),
        "warm_bars": (WARM_BARS, (list(warm_ups), *sources, *intervals)),
        "decisions": (
            DECISIONS,
            (
                [one.interval.name for one in strategies],
                [one.strategy.name for one in strategies],
                [one.parameters_json for one in strategies],
            ),
        ),
    }


def assess_health(rows: Mapping[str, Sequence[Row]], settings: Settings, now: datetime) -> HealthReport:
    """The report.

    Args:
        rows: of every one of `health_questions`, by its name.
        now: this machine's time, UTC.
    """
    strategies = settings.strategies_at_work
    collectors = {one.symbol: one for one in assess_collector(rows["collectors"], now, settings.collected)}
    times = {row["symbol"]: exchange_time_of(row, now) for row in rows["collectors"]}
    stored = _stored_bars(rows, settings)
    decisions: dict[str, LastDecision] = {}
    for row in rows["decisions"]:
        decisions.setdefault(row["symbol"], _last_decision(row))
    by_symbol = {row["symbol"]: row for row in rows["symbols"]}
    symbols = []
    for symbol in sorted({*by_symbol, *collectors}):
        collector = collectors.get(symbol)
        at = times.get(symbol, now)
        pending = _pending(collector)
        row = by_symbol.get(symbol, {})
        touched = row.get("touched_days", 0)
        live = strategies if collector else ()
        silent = _silent(rows, symbol, live, now) if touched <= RUNNING_DAYS else {}
        readiness = tuple(
            _unheard(found, one, silent[one]) if one in silent else found
            for one in live
            for found in [_readiness(one, stored.get(symbol, {}), to_minute(at), pending, touched)]
        )
        silence = tuple(_silence(silent))
        symbols.append(_symbol(symbol, row, collector, decisions.get(symbol), readiness, silence, at))
    problems = tuple(f"{one.symbol}: {problem}" for one in symbols for problem in one.problems)
    warnings = tuple(f"{one.symbol}: {warning}" for one in symbols for warning in one.warnings)
    status = "degraded" if problems else "ok"
    return HealthReport(status, now.replace(microsecond=0), settings.feed, problems, warnings, tuple(symbols))


def _stored_bars(rows: Mapping[str, Sequence[Row]], settings: Settings) -> dict[str, dict[Interval, StoredBars]]:
    """The newest bars of every collected symbol, with those of its warm-up in front where it has one."""
    warm = {(row["symbol"], row["interval"]): StoredBars.of(row["times"], row["usable"]) for row in rows["warm_bars"]}
    stored: dict[str, dict[Interval, StoredBars]] = {}
    for row in rows["bars"]:
        symbol, interval = row["symbol"], Interval.parse(row["interval"])
        bars = StoredBars.of(row["times"], row["usable"])
        source, warm_up = warm.get((symbol, row["interval"])), settings.warm_ups.get(symbol)
        if source is not None and warm_up is not None:
            bars = bars.behind(source, interval, warm_up)
        stored.setdefault(symbol, {})[interval] = bars
    return stored


def _pending(collector: CollectorHealth | None) -> str | None:
    """What bars that are not there wait for, if not for the market."""
    waits = collector is not None and collector.accounted_until is None
    return "the exchange has not given its history yet" if waits else None


def _readiness(
    at_work: StrategyOnInterval, bars: Mapping[Interval, StoredBars], now: int, pending: str | None, touched: int
) -> Readiness:
    """Readiness, except where bars are missing for a reason that will pass: then there is no date to give.

    Args:
        touched: days whose bars are not made of all minutes; the day that runs always is one of them.
    """
    found = assess_readiness(at_work, bars, now)
    if found.ready:
        return found
    own = bars.get(at_work.interval)
    none = own is None or not len(own.time)
    if none and pending is not None:
        return replace(found, first_due=None, reason=pending)
    if touched > RUNNING_DAYS or (none and touched):
        reason = f"bars of {_count(touched, 'day')} are still being made from the minutes"
        return replace(found, first_due=None, reason=reason)
    return found


def _silent(
    rows: Mapping[str, Sequence[Row]], symbol: str, strategies: Sequence[StrategyOnInterval], now: datetime
) -> dict[StrategyOnInterval, datetime | None]:
    """The strategies without a decision at a bar that was stored long enough ago; and when each last decided, if ever.

    Only the symbol's own bars are decided at, not those of a warm-up.
    """
    bars = {row["interval"]: row for row in rows["bars"] if row["symbol"] == symbol}
    newest = {
        (row["interval"], row["strategy"], row["parameters"]): row["time"]
        for row in rows["decisions"]
        if row["symbol"] == symbol
    }
    silent: dict[StrategyOnInterval, datetime | None] = {}
    for one in strategies:
        last = newest.get((one.interval.name, one.strategy.name, one.parameters_json))
        row = bars.get(one.interval.name, {"times": (), "recorded": ()})
        waiting = [
            recorded
            for time, recorded in zip(row["times"], row["recorded"], strict=True)
            if last is None or time > last
        ]
        # The first of them: where bars close every minute or two, the newest one never waits for long.
        if waiting and now - min(waiting) > DECIDED_WITHIN:
            silent[one] = None if last is None else _close(one.interval, last)
    return silent


def _silence(silent: Mapping[StrategyOnInterval, datetime | None]) -> Iterator[str]:
    """A sentence for each interval, whose strategies are decided by one asset."""
    intervals: dict[Interval, dict[datetime | None, list[str]]] = {}
    for one, last in silent.items():
        names = intervals.setdefault(one.interval, {}).setdefault(last, [])
        if one.strategy.name not in names:
            names.append(one.strategy.name)
    for interval, found in intervals.items():
        told = [
            f"{_listed(names)} on {interval} {'has' if len(names) == 1 else 'have'} {_undecided(last)}"
            for last, names in found.items()
        ]
        yield f"{', '.join(told)}: {_fails_or_waits(interval)}; look at its runs in the Dagster UI"


def _unheard(found: Readiness, one: StrategyOnInterval, last: datetime | None) -> Readiness:
    """The readiness of a strategy that decides nothing, whatever bars there are: nothing is due."""
    reason = f"has {_undecided(last)}: {_fails_or_waits(one.interval)}"
    return replace(found, ready=False, first_due=None, reason=reason)


def _undecided(last: datetime | None) -> str:
    return "made no decision" if last is None else f"not decided since {shown(last)}"


def _fails_or_waits(interval: Interval) -> str:
    return f"the asset decisions_{interval} fails or waits"


def _symbol(
    symbol: str,
    row: Row,
    collector: CollectorHealth | None,
    decision: LastDecision | None,
    readiness: tuple[Readiness, ...],
    silence: tuple[str, ...],
    now: datetime,
) -> SymbolHealth:
    last: datetime | None = row.get("newest_minute")
    age = None if last is None else max(timedelta(0), now - last - timedelta(minutes=1))
    problems, warnings = _data_problems(row, now, live=collector is not None)
    problems += silence
    if collector is not None:
        warnings += collector.warnings
        if not collector.healthy:
            problems.insert(0, collector.message)
    return SymbolHealth(
        symbol=symbol,
        venue=row.get("venue"),
        feed=None if collector is None else collector.feed,
        first_day=row.get("first_day"),
        last_day=row.get("last_day"),
        last_minute=last,
        age_seconds=None if age is None else int(age.total_seconds()),
        minutes=row.get("minutes", 0),
        touched_days=row.get("touched_days", 0),
        neglected_days=row.get("neglected_days", 0),
        open_gaps=row.get("open_gaps", 0),
        recent_open_gaps=row.get("recent_open_gaps", 0),
        missing_minutes=row.get("missing_minutes", 0),
        rejected_rows=row.get("rejected_rows", 0),
        collector=collector,
        last_decision=decision,
        readiness=readiness,
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def _data_problems(row: Row, now: datetime, *, live: bool) -> tuple[list[str], list[str]]:
    problems: list[str] = []
    warnings: list[str] = []
    neglected, final = row.get("neglected_days", 0), row.get("final_gaps", 0)
    if neglected:
        problems.append(f"{_count(neglected, 'day')} changed and {_are(neglected)} not materialised since")
    fillable: Sequence[datetime] = row.get("fillable_since", ())
    if fillable:
        problems.append(f"{_count(len(fillable), 'open gap')} in the last seven days of its data")
    if final:
        warnings.append(f"{_count(final, 'gap')} in the last seven days of its data that the exchange cannot fill")
    ages = [now - start for start in fillable]
    limit = forgets_after(row["symbol"]) if ages else None
    if live and limit is not None and (old := [age for age in ages if WARN_GAP_AFTER < age < limit]):
        problems.append(forgetting(max(old), limit))
    return problems, warnings


def _last_decision(row: Row) -> LastDecision:
    return LastDecision(
        time=row["time"],
        decided_at=_close(Interval.parse(row["interval"]), row["time"]),
        interval=row["interval"],
        strategy=row["strategy"],
        type=row["type"],
        target=row["target"],
        recorded_at=row["recorded_at"],
    )


def _close(interval: Interval, time: datetime) -> datetime:
    """The close of the bar that opens at `time`."""
    return to_datetime(interval.close(interval.slot(to_minute(time))))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"
