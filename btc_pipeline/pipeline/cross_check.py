"""The asset check that compares two symbols' stored closes, and records what it finds in `data_quality`.

Belongs here: which stored minutes are compared. Does not belong here: the basis and its alerts (`market.basis`), and
the comparison of minutes as they come, which is the collector's; both record an alert in the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from btc_pipeline.market.basis import Alert, Basis, Closes, Comparison, basis_of, find_alerts
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.checks import SHOWN_PROBLEMS, CheckReport
from btc_pipeline.pipeline.refresh import pieces
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.cross_checks import LOCK_NAME, READ_CLOSES, RESOLVE_OTHERS, SAVE_ALERT, alert_row
from btc_pipeline.storage.digests import lock
from btc_pipeline.storage.instruments import read_instruments
from btc_pipeline.storage.reading import read_table, with_literals
from btc_pipeline.storage.times import to_datetime

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

MARGIN_MINUTES: Final = 240
"""So far beyond the days an alert is followed at first, and four times as far each time that is not enough."""
GOES_ON_MINUTES: Final = 5
"""An alert up to a minute that is no older may go on."""


def check_cross(
    database: Database, comparisons: Sequence[Comparison], instrument: Instrument, days: range, now: int
) -> CheckReport:
    """No alert in the days (since 1970-01-01) between a symbol and those it is compared with.

    Args:
        now: the epoch minute; minutes from it on have not closed.
    """
    pairs = [pair for pair in comparisons if pair.symbol == instrument.symbol]
    if not pairs:
        with_others = ", ".join(pair.symbol for pair in comparisons if pair.against == instrument.symbol)
        return CheckReport(True, f"compared under {with_others}" if with_others else "no pair is configured")
    found: dict[tuple[str, int], tuple[Comparison, Alert]] = {}
    absent = []
    for pair in pairs:
        with database.arrow() as cursor:
            scales = {one.symbol: one.scale.price for one in read_instruments(cursor)}
        if pair.against not in scales:
            absent.append(f"nothing is stored of {pair.against}")
            continue
        for piece in pieces(days):
            with database.arrow() as cursor:
                alerts = _compare(cursor, pair, scales, piece, now)
            found |= {(pair.against, alert.start): (pair, alert) for alert in alerts}
    in_order = sorted(found.values(), key=lambda one: one[1].start)
    problems = [_problem(pair, alert) for pair, alert in in_order[:SHOWN_PROBLEMS]]
    against = ", ".join(pair.against for pair in pairs)
    told = f"{len(found):,} alerts against {against}" if found else f"no alert against {against}"
    return CheckReport(not found, "; ".join([told, *absent]), problems)


def _compare(cursor: Cursor, pair: Comparison, decimals: dict[str, int], days: range, now: int) -> list[Alert]:
    """The alerts that overlap the days; recorded."""
    start, end = days.start * MINUTES_PER_DAY, min(days.stop * MINUTES_PER_DAY, now)
    if start >= end:
        return []
    lock(cursor, LOCK_NAME, f"{pair.symbol}/{pair.against}")
    basis, alerts = _whole_alerts(cursor, pair, decimals, start, end, now)
    overlapping = [alert for alert in alerts if alert.start < end and alert.end > start]
    newest = int(basis.time[-1]) + 1 if len(basis.time) else start
    for alert in overlapping:
        goes_on = alert.end == newest and newest > now - GOES_ON_MINUTES
        cursor.execute(with_literals(SAVE_ALERT, alert_row(pair, alert, over=not goes_on)))
    starts = [alert.start for alert in overlapping]
    cursor.execute(with_literals(RESOLVE_OTHERS, (pair.symbol, pair.against, start, end, starts)))
    return overlapping


def _whole_alerts(
    cursor: Cursor, pair: Comparison, decimals: dict[str, int], start: int, end: int, now: int
) -> tuple[Basis, list[Alert]]:
    """The alerts around [start, end), and the basis they are of.

    One that the days cut is followed to its own start and end, so that it is the same one whichever days are looked at.
    """
    before = after = MARGIN_MINUTES
    while True:
        since, until = start - before, min(end + after, now)
        window = (since - pair.rule.median_minutes, until)
        first, second = (_closes(cursor, symbol, decimals[symbol], *window) for symbol in (pair.symbol, pair.against))
        basis = basis_of(first, second, pair.rule, since=since)
        alerts = find_alerts(basis, pair.rule)
        cut_before = any(alert.start == since and alert.end > start for alert in alerts)
        cut_after = until < now and any(alert.end == until and alert.start < end for alert in alerts)
        if not cut_before and not cut_after:
            return basis, alerts
        before, after = 4 * before, 4 * after


def _closes(cursor: Cursor, symbol: str, decimals: int, start: int, end: int) -> Closes:
    table = read_table(cursor, READ_CLOSES, (symbol, start, end))
    return Closes(table["minute"].to_numpy(), table["close"].to_numpy(), decimals)


def _problem(pair: Comparison, alert: Alert) -> dict[str, Any]:
    return {
        "against": pair.against,
        "start": to_datetime(alert.start),
        "minutes": alert.minutes,
        "deviation_bps": round(alert.deviation, 1),
    }
