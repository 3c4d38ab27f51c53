"""What the live lane knows of the recent days, in three statements that cost a few milliseconds.

Belongs here: reading. Does not belong here: what follows from it (`live`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.catalogue import Catalogue
from btc_pipeline.pipeline.content import combined_digest
from btc_pipeline.pipeline.staleness import SymbolDigests, source_contents
from btc_pipeline.storage.digests import StoredDigest
from btc_pipeline.storage.instruments import READ_ALL as READ_INSTRUMENTS
from btc_pipeline.storage.instruments import instrument_of
from btc_pipeline.storage.times import to_date, to_datetime, to_day, to_minute

Connection = psycopg.Connection[dict[str, Any]]

READ_STATES: Final = """
SELECT i.symbol, d.touched, d.newest_day,
       greatest(m.newest + interval '1 minute', c.accounted_until) AS accounted_until
FROM instruments i
JOIN LATERAL (
    SELECT max(day) AS newest_day,
           jsonb_object_agg(day - date '1970-01-01', extract(epoch FROM coalesce(touched_from, day))::bigint / 60)
               FILTER (WHERE content_digest IS NULL OR inputs_digest IS NULL) AS touched
    FROM partition_digests WHERE asset = 'candles_1m' AND symbol = i.symbol AND day >= %(first)s AND day <= %(today)s
) d ON d.newest_day IS NOT NULL
LEFT JOIN LATERAL (
    SELECT max(time) AS newest FROM candles
    WHERE symbol = i.symbol AND interval = '1m' AND time >= %(yesterday)s AND time < %(tomorrow)s
) m ON true
LEFT JOIN collector_state c ON c.symbol = i.symbol
ORDER BY i.symbol
"""
# Not the newest change, but a sum over all of them: a long transaction commits with an old time.
READ_STAMP: Final = """
SELECT count(p.day) || '/' || coalesce(sum(extract(epoch FROM p.updated_at)), 0) AS stamp
FROM unnest(%(assets)s::text[]) AS a (asset) CROSS JOIN instruments i
JOIN partition_digests p ON p.asset = a.asset AND p.symbol = i.symbol AND p.day >= %(first)s
    AND p.day <= CASE WHEN a.asset = 'candles_1m' THEN %(yesterday)s ELSE %(today)s END
"""
READ_DIGESTS: Final = """
SELECT asset, day, content_digest, inputs_digest, touched_from FROM partition_digests
WHERE asset = ANY(%(assets)s) AND symbol = %(symbol)s AND day >= %(first)s AND day <= %(today)s
"""


@dataclass(frozen=True, slots=True)
class SymbolState:
    """What one cheap statement tells of a symbol with minutes in the recent days.

    Attributes:
        touched: by day, the earliest epoch minute that changed since the day was last looked at.
        newest_day: the last day with minutes.
        accounted_until: the epoch minute before which all minutes are stored, or known not to come; None: unknown.
    """

    symbol: str
    touched: Mapping[int, int]
    newest_day: int
    accounted_until: int | None


def read_states(connection: Connection, recent: range) -> list[SymbolState]:
    """The symbols with minutes in the recent days, the last of which is today."""
    today = recent.stop - 1
    parameters = {
        "first": to_date(recent.start),
        "today": to_date(today),
        "yesterday": to_datetime((today - 1) * MINUTES_PER_DAY),
        "tomorrow": to_datetime((today + 1) * MINUTES_PER_DAY),
    }
    return [
        SymbolState(
            row["symbol"],
            {int(day): int(minute) for day, minute in (row["touched"] or {}).items()},
            to_day(row["newest_day"]),
            None if row["accounted_until"] is None else to_minute(row["accounted_until"]),
        )
        for row in connection.execute(READ_STATES, parameters)
    ]


def read_stamp(connection: Connection, catalogue: Catalogue, recent: range) -> str:
    """What changes whenever a digest of the recent days does, those of today's minutes aside, or code or settings."""
    today = recent.stop - 1
    parameters = {
        "assets": list(catalogue.names),
        "first": to_date(recent.start),
        "yesterday": to_date(today - 1),
        "today": to_date(today),
    }
    row = connection.execute(READ_STAMP, parameters).fetchone() or {}
    # Another day, other settings or other code ask anew, too.
    settings = repr(sorted(catalogue.warm_ups.items()))
    return combined_digest(str(today), str(row.get("stamp")), settings, *(asset.recipe for asset in catalogue.derived))


def read_digests(
    connection: Connection, catalogue: Catalogue, recent: range, symbols: Collection[str]
) -> Iterator[SymbolDigests]:
    """The digests of the recent days, and of those that these are made from."""
    reach = (wanted.first_day for asset in catalogue.derived for day in recent for wanted in asset.inputs(day))
    parameters: dict[str, Any] = {
        "assets": list(catalogue.names),
        "first": to_date(min(reach, default=recent.start)),
        "today": to_date(recent.stop - 1),
    }
    instruments = {one.symbol: one for one in map(instrument_of, connection.execute(READ_INSTRUMENTS))}
    for symbol, instrument in instruments.items():
        if symbol not in symbols:
            continue
        own, warm_up = _digests(connection, symbol, parameters), catalogue.warm_ups.get(symbol)
        source = None
        if warm_up is not None:
            of_source = _digests(connection, warm_up.source, parameters)
            source = source_contents(warm_up, instruments.get(warm_up.source), of_source)
        yield SymbolDigests(instrument, own, source)


def _digests(connection: Connection, symbol: str, parameters: Mapping[str, Any]) -> dict[str, dict[int, StoredDigest]]:
    found: dict[str, dict[int, StoredDigest]] = {}
    for row in connection.execute(READ_DIGESTS, {**parameters, "symbol": symbol}):
        touched = None if row["touched_from"] is None else to_minute(row["touched_from"])
        digest = StoredDigest(row["content_digest"], row["inputs_digest"], touched)
        found.setdefault(row["asset"], {})[to_day(row["day"])] = digest
    return found
