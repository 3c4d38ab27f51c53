"""Whether everything is well: one assessment for the API, the command line and Dagster.

Belongs here: what rows of the database mean, in numbers and in sentences. Pure: rows in, a report out. Does not belong
here: the statements (`storage.health`), and how a report is shown.

A symbol is live if the collector has a row for it; one that only has an imported history is not expected to go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from btc_pipeline.market.intervals import Interval
from btc_pipeline.pipeline.readiness import Readiness, StoredBars, assess_readiness, bars_to_read
from btc_pipeline.settings import Settings
from btc_pipeline.storage.health import BARS, COLLECTORS, DECISIONS, SYMBOLS, Question
from btc_pipeline.storage.times import to_datetime, to_minute
from btc_pipeline.strategies.decisions import StrategyOnInterval

Row = Mapping[str, Any]

PROGRESS_WITHIN: Final = timedelta(seconds=90)
"""Minutes are known up to a moment that is never longer ago: a close comes every minute and lands in a few seconds."""

QUIET_WITHIN: Final = timedelta(minutes=10)
"""An exchange that answers and has no minute for longer is worth a word."""

HEARD_WITHIN: Final = timedelta(seconds=60)
CLOCK_WITHIN_MS: Final = 1_000.0

WARN_GAP_AFTER: Final = timedelta(hours=60)
EXCHANGE_FORGETS_AFTER: Final = timedelta(minutes=5_000)
"""Hyperliquid gives the newest 5,000 minutes, 83 hours."""

STOPPED: Final = "stopped"
UNREACHABLE: Final = "unreachable"
START: Final = "btc-pipeline up starts it"


@dataclass(frozen=True, slots=True)
class CollectorHealth:
    """The collection of one symbol.

    Attributes:
        healthy: minutes land, and nothing waits.
        message: what is wrong, else what it is doing, in words.
        warnings: what does no harm yet.
        accounted_until: all closed minutes before have landed, or the exchange was asked and has none.
        progress_age_seconds: since then, by the exchange's clock.
    """

    symbol: str
    feed: str
    healthy: bool
    message: str
    warnings: tuple[str, ...]
    connection: str
    process: str
    heartbeat_at: datetime
    heartbeat_age_seconds: int
    last_minute: datetime | None
    accounted_until: datetime | None
    progress_age_seconds: int | None
    minutes_landed: int
    spooled_minutes: int
    spooled_bytes: int
    clock_offset_ms: float | None


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


def health_questions(strategies: Sequence[StrategyOnInterval]) -> dict[str, Question]:
    """What has to be read for `assess_health`, by name: a statement and its parameters each."""
    bars = bars_to_read(strategies)
    return {
        "collectors": (COLLECTORS, ()),
        "symbols": (SYMBOLS, ()),
        "bars": (BARS, ([interval.name for interval in bars], list(bars.values()))),
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
    collectors = {one.symbol: one for one in assess_collector(rows["collectors"], now, settings.symbols)}
    times = {row["symbol"]: _exchange_time(row, now) for row in rows["collectors"]}
    stored: dict[str, dict[Interval, StoredBars]] = {}
    for row in rows["bars"]:
        bars = StoredBars.of(row["times"], row["usable"])
        stored.setdefault(row["symbol"], {})[Interval.parse(row["interval"])] = bars
    decisions: dict[str, LastDecision] = {}
    for row in rows["decisions"]:
        decisions.setdefault(row["symbol"], _last_decision(row))
    by_symbol = {row["symbol"]: row for row in rows["symbols"]}
    symbols = []
    for symbol in sorted({*by_symbol, *collectors}):
        collector = collectors.get(symbol)
        at = times.get(symbol, now)
        readiness = tuple(
            assess_readiness(one, stored.get(symbol, {}), to_minute(at)) for one in strategies if collector
        )
        symbols.append(_symbol(symbol, by_symbol.get(symbol, {}), collector, decisions.get(symbol), readiness, at))
    problems = tuple(f"{one.symbol}: {problem}" for one in symbols for problem in one.problems)
    warnings = tuple(f"{one.symbol}: {warning}" for one in symbols for warning in one.warnings)
    status = "degraded" if problems else "ok"
    return HealthReport(status, now.replace(microsecond=0), settings.feed, problems, warnings, tuple(symbols))


def assess_collector(rows: Sequence[Row], now: datetime, wanted: Sequence[str] | None = None) -> list[CollectorHealth]:
    """Whether each symbol is collected, from rows of `storage.health.COLLECTORS`.

    Progress is minutes, never a loop that turns: a process that lives and lands nothing is not healthy.

    Args:
        now: this machine's time, UTC.
        wanted: the symbols that the settings name. Another one that was stopped is not live any more and left out.
    """
    return [
        _collector(row, now)
        for row in rows
        if not (wanted is not None and row["symbol"] not in wanted and row["connection"] == STOPPED)
    ]


def _collector(row: Row, now: datetime) -> CollectorHealth:
    exchange_time = _exchange_time(row, now)
    heartbeat_age = max(timedelta(0), now - row["heartbeat_at"])
    until: datetime | None = row["accounted_until"]
    progress_age = None if until is None else max(timedelta(0), exchange_time - until)
    problems = list(_collector_problems(row, heartbeat_age, progress_age))
    offset: float | None = row["clock_offset_ms"]
    warnings = []
    if offset is not None and abs(offset) > CLOCK_WITHIN_MS:
        ahead = "ahead of" if offset > 0 else "behind"
        warnings.append(f"the exchange's clock is {abs(offset) / 1000:.1f} s {ahead} this machine's: set the clock")
    return CollectorHealth(
        symbol=row["symbol"],
        feed=row["feed"],
        healthy=not problems,
        message="; ".join(problems) or row["message"] or row["connection"],
        warnings=tuple(warnings),
        connection=row["connection"],
        process=row["process"],
        heartbeat_at=row["heartbeat_at"],
        heartbeat_age_seconds=int(heartbeat_age.total_seconds()),
        last_minute=row["newest_minute"],
        accounted_until=until,
        progress_age_seconds=None if progress_age is None else int(progress_age.total_seconds()),
        minutes_landed=row["minutes_landed"],
        spooled_minutes=row["spooled_minutes"],
        spooled_bytes=row["spooled_bytes"],
        clock_offset_ms=offset,
    )


def _collector_problems(row: Row, heartbeat_age: timedelta, progress_age: timedelta | None) -> list[str]:
    problems = []
    silent = heartbeat_age > HEARD_WITHIN
    late = progress_age is None or progress_age > PROGRESS_WITHIN
    since = "" if progress_age is None else f": minutes are known up to {shown(row['accounted_until'])}"
    if row["connection"] == STOPPED:
        problems.append(f"the collector stopped at {shown(row['heartbeat_at'])}; {START}")
    elif silent:
        problems.append(
            f"nothing was heard of the collector (process {row['process']}) since {shown(row['heartbeat_at'])}{since}; "
            f"{START}"
        )
    elif row["connection"] == UNREACHABLE:
        problems.append(row["message"] or "the exchange cannot be reached")
    elif progress_age is None:
        problems.append(f"no minute has landed yet ({row['message'] or row['connection']})")
    elif late:
        ago = in_words(progress_age)
        problems.append(
            f"no minute was accounted for in {ago}{since} ({row['connection']}: {row['message'] or 'no message'})"
        )
    elif (newest := row["newest_minute"]) is None or row["accounted_until"] - newest > QUIET_WITHIN:
        problems.append(
            f"the exchange answers and has no minute since {shown(newest)}" if newest else "no minute is stored"
        )
    if late and progress_age is not None and progress_age > WARN_GAP_AFTER:
        problems.append(_forgetting(progress_age))
    if row["spooled_minutes"]:
        problems.append(
            f"{row['spooled_minutes']:,} minutes wait on disk ({row['spooled_bytes'] / 1e6:.1f} MB) to be written"
        )
    return problems


def _exchange_time(row: Row, now: datetime) -> datetime:
    """The exchange's time now: minutes are its, and a replay may run at times of its own."""
    if row["exchange_at"] is None:
        return now
    told: datetime = row["exchange_at"]
    heard: datetime = row["heartbeat_at"]
    return told + (now - heard)


def _symbol(
    symbol: str,
    row: Row,
    collector: CollectorHealth | None,
    decision: LastDecision | None,
    readiness: tuple[Readiness, ...],
    now: datetime,
) -> SymbolHealth:
    last: datetime | None = row.get("newest_minute")
    age = None if last is None else max(timedelta(0), now - last - timedelta(minutes=1))
    problems, warnings = _data_problems(row, now, live=collector is not None)
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
    old = [age for age in ages if WARN_GAP_AFTER < age < EXCHANGE_FORGETS_AFTER]
    if live and old:
        problems.append(_forgetting(max(old)))
    return problems, warnings


def _forgetting(age: timedelta) -> str:
    hours, limit = age // timedelta(hours=1), EXCHANGE_FORGETS_AFTER // timedelta(hours=1)
    if age < EXCHANGE_FORGETS_AFTER:
        return f"minutes are missing for {hours} h: the exchange forgets them at {limit} h"
    return f"minutes are missing for {hours} h: the exchange has forgotten those older than {limit} h"


def _last_decision(row: Row) -> LastDecision:
    interval = Interval.parse(row["interval"])
    close = interval.close(interval.slot(to_minute(row["time"])))
    return LastDecision(
        time=row["time"],
        decided_at=to_datetime(close),
        interval=row["interval"],
        strategy=row["strategy"],
        type=row["type"],
        target=row["target"],
        recorded_at=row["recorded_at"],
    )


def shown(moment: datetime) -> str:
    """A moment for people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def in_words(age: timedelta) -> str:
    """A length of time in its two largest units: 42 s, 3 min, 5 h 10 min, 2 d 3 h."""
    seconds = int(age.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if minutes < 2:
        return f"{seconds} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"
