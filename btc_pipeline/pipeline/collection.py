"""Whether each symbol is collected: minutes land, by the exchange's clock. Pure: rows in, sentences out.

Belongs here: what a row of `collector_state` means, without anything heavy, so that a container's own check is cheap.
The rest of health is in `pipeline.health`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from btc_pipeline.exchanges.base import LIVE_LOOK_BACK_MINUTES
from btc_pipeline.exchanges.retention import RETENTION_MINUTES
from btc_pipeline.market.instruments import split_symbol

Row = Mapping[str, Any]

PROGRESS_WITHIN: Final = timedelta(seconds=90)
"""Minutes are known up to a moment that is never longer ago: a close comes every minute and lands in a few seconds."""

QUIET_WITHIN: Final = timedelta(minutes=10)
"""An exchange that answers and has no minute for longer is worth a word."""

HEARD_WITHIN: Final = timedelta(seconds=60)
CLOCK_WITHIN_MS: Final = 1_000.0
DAY_MS: Final = 86_400_000.0

WARN_GAP_AFTER: Final = timedelta(hours=60)
LOOKS_BACK: Final = timedelta(minutes=LIVE_LOOK_BACK_MINUTES)
"""So far back the collector asks a venue that gives everything."""

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
    exchange_time = exchange_time_of(row, now)
    heartbeat_age = max(timedelta(0), now - row["heartbeat_at"])
    until: datetime | None = row["accounted_until"]
    progress_age = None if until is None else max(timedelta(0), exchange_time - until)
    problems = list(_collector_problems(row, heartbeat_age, progress_age))
    offset: float | None = row["clock_offset_ms"]
    warnings = []
    # A replay at times of its own is no wrong clock.
    most = float("inf") if row["feed"] == "live" else DAY_MS
    if offset is not None and CLOCK_WITHIN_MS < abs(offset) < most:
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
        problems.append(f"the exchange cannot be reached{since} ({row['message'] or 'no message'})")
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
        problems += _too_old(row["symbol"], progress_age)
    if row["spooled_minutes"]:
        problems.append(
            f"{row['spooled_minutes']:,} minutes wait on disk ({row['spooled_bytes'] / 1e6:.1f} MB) to be written"
        )
    return problems


def exchange_time_of(row: Row, now: datetime) -> datetime:
    """The exchange's time now: minutes are its, and a replay may run at times of its own."""
    if row["exchange_at"] is None:
        return now
    told: datetime = row["exchange_at"]
    heard: datetime = row["heartbeat_at"]
    return told + (now - heard)


def forgets_after(symbol: str) -> timedelta | None:
    """How old a minute is when its venue does not give it any more; None for a venue that gives all."""
    minutes = RETENTION_MINUTES.get(split_symbol(symbol)[0])
    return None if minutes is None else timedelta(minutes=minutes)


def forgetting(age: timedelta, limit: timedelta) -> str:
    """What becomes of minutes that have been missing for so long, at a venue that forgets them after `limit`."""
    hours, last = age // timedelta(hours=1), limit // timedelta(hours=1)
    if age < limit:
        return f"minutes are missing for {hours} h: the exchange forgets them at {last} h"
    return f"minutes are missing for {hours} h: the exchange has forgotten those older than {last} h"


def _too_old(symbol: str, age: timedelta) -> list[str]:
    """What is to be said of minutes that have been missing for days."""
    limit = forgets_after(symbol)
    if limit is not None:
        return [forgetting(age, limit)]
    if age < LOOKS_BACK:
        return []
    days = LOOKS_BACK // timedelta(days=1)
    return [
        f"the collector asks for the newest {days} days: btc-pipeline download --symbol {symbol} fetches older ones"
    ]


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
