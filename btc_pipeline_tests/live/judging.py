"""What must hold once everything is settled, whatever went wrong: of a database, against the market itself.

Belongs here: statements of their own about what is stored. Does not belong here: the product's ways to find the same.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from btc_pipeline.exchanges.replay import Behaviour, EmptyMinute, Fault, FaultKind, Market, ReplayExchange
from btc_pipeline.exchanges.replay.counters import most_within
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline.storage.vouched import read_vouched
from btc_pipeline_tests.live.world import COIN, SYMBOL, open_gaps, stored_rows
from btc_pipeline_tests.pipeline.worlds import chain_of, content, query, small_settings

NEWEST_MINUTES: Final = 3
"""So many of the newest may still wait for the exchange's word."""
GAP_MINUTES: Final = 12
"""A gap is found by a look every five minutes, once there is a row behind it."""
RETRY_MINUTES: Final = 7
"""A gap is asked for again after five minutes."""
DIALS_A_MINUTE: Final = 20
SHOWN: Final = 5

Row = tuple[float, ...]

_TRAIL: Final = """
CREATE TABLE trail (time timestamptz, open float8, high float8, low float8, close float8, volume float8, trades bigint);
CREATE FUNCTION leave_trail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trail VALUES (OLD.time, OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume, OLD.trades);
    RETURN NULL;
END $$;
CREATE TRIGGER trail_of_updates AFTER UPDATE ON candles FOR EACH ROW
    WHEN (OLD.interval = '1m' AND (OLD.time, OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume, OLD.trades)
        IS DISTINCT FROM (NEW.time, NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume, NEW.trades))
    EXECUTE FUNCTION leave_trail();
CREATE TRIGGER trail_of_deletes AFTER DELETE ON candles FOR EACH ROW
    WHEN (OLD.interval = '1m') EXECUTE FUNCTION leave_trail();
"""
_VALUES: Final = "time, open, high, low, close, volume, trades"


def keep_trail(database: Database) -> None:
    """From now on the server itself notes every value of a minute that is replaced or removed."""
    query(database, _TRAIL)


def final_truth(market: Market, behaviour: Behaviour, start: int, end: int) -> dict[int, Row]:
    """(open, high, low, close, volume, trades) of the epoch minutes [start, end) as the exchange has them at last."""
    listing = market.listings[COIN]
    price, volume = 10.0**listing.price_decimals, 10.0**listing.volume_decimals
    found: dict[int, Row] = {}
    for at in range(start, end):
        row = market.minute(COIN, at)
        if row is not None:
            prices = (row.open / price, row.high / price, row.low / price, row.close / price)
            found[at] = (*prices, row.volume / volume, row.trades)
        elif behaviour.empty_minute is not EmptyMinute.OMIT:
            close = market.last_close(COIN, at)
            assert close is not None
            found[at] = (*[close / price] * 4, 0.0, 0)
    return found


def judge_minutes(database: Database, market: Market, behaviour: Behaviour, *, first: int, now: float) -> list[str]:
    """What is wrong with the stored minutes, each in a sentence.

    Args:
        first: the epoch minute from which on all that the exchange has must be there.
        now: UTC seconds; nothing has gone wrong for half an hour.
    """
    stored = stored_rows(database)
    if not stored:
        return ["nothing is stored"]
    newest = int(now // 60)
    begin, end = min(stored), newest - NEWEST_MINUTES
    expected = final_truth(market, behaviour, min(begin, first), end)
    gaps = open_gaps(database)
    problems = _listed("stored before it was over", [at for at in stored if at >= newest])
    vouched = _vouched(database, begin, newest)
    # A minute known to have had no trade is not lost for want of a flat row, nor is one whose row is still to come.
    late = {at for at in expected if market.minute(COIN, at) is None and at >= newest - _late_minutes(behaviour)}
    problems += _listed("lost", expected.keys() - stored.keys() - vouched - late)
    problems += _listed("stored and not the exchange's", [at for at in stored if at < end and at not in expected])
    wrong = [at for at in expected if at in stored and stored[at] != expected[at]]
    problems += [f"minute {at}: stored {stored[at]}, the exchange has {expected[at]}" for at in sorted(wrong)[:SHOWN]]
    missing = {at for at in range(begin, newest - GAP_MINUTES) if at not in stored}
    problems += _listed("missing without a reason", missing - gaps.keys() - vouched)
    problems += _listed("a gap though stored", [at for at in gaps if at in stored and at < newest - GAP_MINUTES])
    problems += _listed("vouched as quiet though traded", [at for at in vouched if market.minute(COIN, at)])
    unsettled = query(
        database,
        "SELECT extract(epoch FROM time)::bigint / 60, status FROM candles WHERE interval = '1m' "
        "AND status NOT IN ('confirmed', 'revised')",
    )
    problems += _listed("never confirmed", [at for at, _ in unsettled if at < end])
    return problems + _judge_revisions(database)


def _judge_revisions(database: Database) -> list[str]:
    """Every value that was ever replaced is kept, once."""
    problems = []
    for name, one, other in (("forgotten", "trail", "candle_revisions"), ("invented", "candle_revisions", "trail")):
        rows = query(
            database,
            f"SELECT extract(epoch FROM time)::bigint / 60, count(*) FROM "
            f"(SELECT {_VALUES} FROM {one} EXCEPT ALL SELECT {_VALUES} FROM {other}) left_over GROUP BY 1",
        )
        problems += _listed(f"superseded values {name}", [at for at, _ in rows])
    return problems


def judge_requests(exchange: ReplayExchange, faults: Sequence[Fault], starts: Iterable[float]) -> list[str]:
    """What is wrong with how the exchange was asked.

    Args:
        starts: when a collector's process began; no process knows of another one's dials.
    """
    counters, problems = exchange.counters, []
    begins = [*sorted(starts), float("inf")]
    for begin, end in pairwise(begins):
        most = most_within([at for at in counters.dials if begin <= at < end], 60.0)
        if most > DIALS_A_MINUTE:
            problems.append(f"{most} dials in a minute")
    limits = [one for one in faults if one.kind is FaultKind.RATE_LIMIT]
    for request in counters.requests:
        injected = any((one.at or 0.0) <= request.time < (one.at or 0.0) + one.seconds for one in limits)
        if request.status == 429 and not injected:
            problems.append(f"too many requests at {request.time:.0f}")
        if 400 <= request.status < 500 and request.status != 429:
            problems.append(f"{request.kind} was refused ({request.status}) at {request.time:.0f}")
    return problems[:SHOWN]


def judge_bars(database: Database, other: Database, market: Market, behaviour: Behaviour, folder: Path) -> list[str]:
    """Whether all bars equal those made from an import of the exchange's final rows into the other, empty database."""
    stored = stored_rows(database)
    begin, end = min(stored), max(stored) + 1 - max(NEWEST_MINUTES, _late_minutes(behaviour))
    if final_truth(market, behaviour, begin, end).keys() - stored.keys() or any(
        market.minute(COIN, at) is None for at in range(begin, end) if behaviour.empty_minute is EmptyMinute.OMIT
    ):
        return []  # what the collector vouches for or calls a gap, a file says in another form
    query(database, "DELETE FROM candles WHERE time >= to_timestamp(%s)", end * 60)
    path = folder / "truth.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "open", "high", "low", "close", "volume", "trades"])
        writer.writerows([at * 60, *row] for at, row in final_truth(market, behaviour, begin, end).items())
    import_candles(other, path, SYMBOL)
    days = range(begin // 1440, (end - 1) // 1440 + 1)
    for one in (database, other):
        chain = chain_of(one, small_settings(standard_intervals=("5m", "37m", "148m")))
        with one.arrow() as cursor:
            instrument = find_instrument(cursor, SYMBOL)
        assets = ["candles_1m", *(asset.name for asset in chain.catalogue.bars)]
        chain.refresh(instrument, days, end, assets=assets)
    mine, others = content(database, ["candles"])["candles"], content(other, ["candles"])["candles"]
    if len({row.split(b"\t")[1] for row in mine}) < 3:
        return ["no bars were made"]
    different = sorted(set(mine) ^ set(others))
    problems = [f"bars differ: {row!r}" for row in different[:SHOWN]]
    digests = [
        query(one, "SELECT day, content_digest FROM partition_digests WHERE asset = 'candles_1m' ORDER BY day")
        for one in (database, other)
    ]
    return problems + ([] if digests[0] == digests[1] else [f"digests differ: {digests}"])


def _late_minutes(behaviour: Behaviour) -> int:
    """How many of the newest minutes may lack a flat row that the exchange tells later."""
    if behaviour.empty_minute is not EmptyMinute.LATE_FLAT:
        return 0
    return int(behaviour.late_flat_seconds / 60) + RETRY_MINUTES


def _vouched(database: Database, start: int, end: int) -> set[int]:
    with database.arrow() as cursor:
        return set(read_vouched(cursor, SYMBOL, start // 1440, end // 1440 + 1).tolist())


def _listed(what: str, minutes: Iterable[int]) -> list[str]:
    """One sentence about minutes, if there are any."""
    found = sorted(minutes)
    if not found:
        return []
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return [f"{what}: {', '.join(map(str, found[:SHOWN]))}{more}"]
