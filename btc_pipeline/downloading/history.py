"""How much past the configured strategies and indicators look back on, and of which symbols it is wanted.

Belongs here: spans. Does not belong here: what of them is there (`lacking`), fetching them (`download`). Nothing heavy
is loaded: `btc-pipeline up`, which stays small, asks this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from btc_pipeline.exchanges.retention import RETENTION_MINUTES
from btc_pipeline.market.instruments import split_symbol
from btc_pipeline.market.intervals import MINUTES_PER_DAY, Interval
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database

SLACK_DAYS: Final = 8
"""On top of the longest look-back: a bar of today rests on whole days, and a bar may be missing."""

DAYS_OF_A_MONTH: Final = 31
FIRST_STORED: Final = """
SELECT extract(epoch FROM time)::bigint / 60 AS minute FROM candles
WHERE symbol = %s AND interval = '1m' ORDER BY time LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Reach:
    """The longest look-back: who looks, on which interval, over how many days."""

    name: str
    interval: str
    days: int


@dataclass(frozen=True, slots=True)
class Want:
    """Past that is wanted: the epoch minutes [start, end) of a symbol; None: up to now."""

    symbol: str
    start: int
    end: int | None


def longest_reach(settings: Settings) -> Reach | None:
    """What has to be stored for every strategy and indicator to have a value; None where there are none."""
    reaches = [
        Reach(one.strategy.name, interval.name, _days(interval, slots))
        for one in settings.strategies_at_work
        for interval, slots in one.lookbacks().items()
    ]
    reaches += [
        Reach(name, on, _days(Interval.parse(on), chosen.spec.lookback_slots))
        for name, chosen in settings.indicators.items()
        for on in chosen.intervals
    ]
    return max(reaches, key=lambda reach: reach.days, default=None)


def wanted(settings: Settings, now: int) -> list[Want]:
    """The past of each collected symbol, and of those that others warm up on, as far as their venues give it.

    Args:
        now: the epoch minute now running.
    """
    reach = longest_reach(settings)
    if reach is None:
        return []
    start = (now // MINUTES_PER_DAY - reach.days) * MINUTES_PER_DAY
    wants = {symbol: Want(symbol, start, None) for symbol in settings.collected if gives_past(symbol)}
    for warm_up in settings.warm_ups.values():
        end = None if warm_up.until >= now else warm_up.until
        first = start if end is None else (end // MINUTES_PER_DAY - reach.days) * MINUTES_PER_DAY
        known = wants.get(warm_up.source)
        if known is not None:
            first, end = min(first, known.start), None
        if gives_past(warm_up.source):
            wants[warm_up.source] = Want(warm_up.source, first, end)
    return list(wants.values())


def gives_past(symbol: str) -> bool:
    """Whether the symbol's venue gives more than its newest days."""
    return split_symbol(symbol)[0] not in RETENTION_MINUTES


def too_little(settings: Settings, database: Database, now: int) -> list[str]:
    """A sentence for each collected symbol that has less past than some strategy looks back on, and could have it.

    Cheap: one look at each symbol's first minute, and nothing loaded for it.
    """
    reach = longest_reach(settings)
    if reach is None:
        return []
    sentences = []
    with database.rows() as connection:
        for want in wanted(settings, now):
            row = connection.execute(FIRST_STORED, [want.symbol]).fetchone()
            have = 0 if row is None else max(0, (want.end or now) - int(row["minute"])) // MINUTES_PER_DAY
            if have < reach.days - SLACK_DAYS:
                sentences.append(
                    f"{want.symbol}: {reach.name} on {reach.interval} looks back on {reach.days - SLACK_DAYS} days, "
                    f"{have} are stored: btc-pipeline up --history downloads them"
                )
    return sentences


def _days(interval: Interval, slots: int) -> int:
    minutes = DAYS_OF_A_MONTH * MINUTES_PER_DAY if interval.is_month else interval.minutes
    return -(-slots * minutes // MINUTES_PER_DAY) + SLACK_DAYS
