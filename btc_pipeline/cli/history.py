"""`python -m btc_pipeline.cli.history`: what `up --history` runs beside its services, once, until the past is there."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Final

from btc_pipeline.cli.materializing import RunFailedError, materialize
from btc_pipeline.downloading.download import DownloadReport, Order, download
from btc_pipeline.downloading.errors import DownloadError
from btc_pipeline.downloading.history import Want, longest_reach, wanted
from btc_pipeline.downloading.lacking import lacking
from btc_pipeline.downloading.progress import Progress
from btc_pipeline.errors import UserError
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.clock import now_minute, today
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.address import open_database
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.digests import MINUTES_ASSET, read_all_digests
from btc_pipeline.storage.instruments import read_instruments
from btc_pipeline.storage.times import to_date, to_datetime

SAY_EVERY_SECONDS: Final = 10.0


def main() -> int:
    """Downloads what is missing, and materialises what is stale.

    0 once all of it is there, 2 for what a user has to mend first, 1 for what may go better another time.
    """
    began = time.monotonic()
    try:
        settings = load_settings()
        database = open_database(settings)
        wants = wanted(settings, now_minute())
        brought = [want for want in wants if _bring(settings, database, want)]
        if _materialize(database, [*settings.collected, *(want.symbol for want in wants)], with_today=bool(brought)):
            _say(f"the past is there, and made into bars and decisions, after {time.monotonic() - began:.0f} s")
    except UserError as error:
        _say(str(error))
        return 2
    except RunFailedError as failed:
        _say(failed.reason)
        return 2 if failed.mistake else 1
    except DownloadError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _bring(settings: Settings, database: Database, want: Want) -> bool:
    """Downloads what is missing of a symbol's past; whether anything was."""
    end = now_minute() if want.end is None else want.end
    days = (end - want.start) // MINUTES_PER_DAY
    missing = lacking(database, want, now_minute())
    if missing <= 0:
        _say(f"{want.symbol}: {days} days are there already")
        return False
    reach = longest_reach(settings)
    why = f", for {reach.name} on {reach.interval}" if reach else ""
    _say(f"{want.symbol}: {missing:,} minutes of {days} days are missing{why}: downloading")
    report = download(settings, database, Order(want.symbol, want.start, want.end), progress=_progress(want), say=_say)
    _say(f"{want.symbol}: {_told(report)}")
    return report.added + report.replaced > 0


def _materialize(database: Database, symbols: Sequence[str], *, with_today: bool) -> bool:
    """Brings the days of symbols up to date by the job that the Dagster UI shows; whether any could be stale.

    Today is left to the closes of its bars, unless its past has just come.
    """
    with database.arrow() as cursor:
        stored = [one.symbol for one in read_instruments(cursor) if one.symbol in symbols]
        firsts = [min(days) for one in stored if (days := read_all_digests(cursor, one).get(MINUTES_ASSET))]
    if not firsts or min(firsts) >= today():
        return False
    if with_today:
        _say(f"making bars, indicators and decisions of {today() - min(firsts) + 1} days: see the Dagster UI")
        try:
            materialize(start=None, end=None, symbol=stored, stale=True)
        except UserError as error:
            # Minutes land all the time: what is stale of today by now, its next close makes.
            print(error, flush=True)
    materialize(start=None, end=to_date(today()).isoformat(), symbol=stored, stale=True)
    return with_today


def _progress(want: Want) -> Progress:
    said = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal said
        if progress.planned and time.monotonic() - said >= SAY_EVERY_SECONDS:
            said = time.monotonic()
            share = progress.done / progress.planned
            _say(f"{want.symbol}: {share:.0%}, {progress.stored:,} minutes stored, {progress.rate:,.0f} a second")

    return Progress(show=show)


def _told(report: DownloadReport) -> str:
    if report.first is None:
        return "its venue has nothing of that time"
    days = (report.end - max(report.start, report.first)) // MINUTES_PER_DAY
    gaps = sum(report.gaps.values())
    missing = f", {gaps:,} missing" if gaps else ""
    return f"{days} days, {report.added:,} minutes new{missing}, from {to_datetime(report.first):%Y-%m-%d %H:%M} UTC on"


def _say(line: str) -> None:
    """A line for the user: `btc-pipeline up` shows what begins with STATE."""
    print(f"STATE history: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
