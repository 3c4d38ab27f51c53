"""Binance's public files: zips of 1m klines, by month and by day, each with a checksum beside it.

A month's file is published on the first Monday of the next month, a day's on the next day; a little later they are sure
to be there. Files are published again at times: their checksums tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from btc_pipeline.exchanges.binance.markets import Market
from btc_pipeline.exchanges.provider import ArchiveFile
from btc_pipeline.market.intervals import MINUTES_PER_DAY

EPOCH: Final = date(1970, 1, 1)
ONE_DAY: Final = timedelta(days=1)
MONTH_GRACE_DAYS: Final = 1
DAY_AGE_DAYS: Final = 2


class BinanceArchive:
    """The files of one of the markets under `url`."""

    def __init__(self, market: Market, url: str) -> None:
        self._market = market
        self._url = url.rstrip("/")

    def files(self, coin: str, start: int, end: int, now: int) -> Sequence[ArchiveFile]:
        today = _day(now)
        first = max(_day(start), self._market.archive_since)
        # The day that the last minute is in.
        last = _day(end - 1)
        if start >= end or first > last:
            return []
        return list(self._files(coin, first, last, today))

    def _files(self, coin: str, first: date, last: date, today: date) -> Iterator[ArchiveFile]:
        day = first
        while day <= last and day + DAY_AGE_DAYS * ONE_DAY <= today:
            month, after = day.replace(day=1), _next_month(day)
            if _first_monday(after) + MONTH_GRACE_DAYS * ONE_DAY <= today:
                yield self._file(coin, "monthly", f"{month:%Y-%m}", month, after)
                day = after
            else:
                yield self._file(coin, "daily", f"{day:%Y-%m-%d}", day, day + ONE_DAY)
                day += ONE_DAY

    def _file(self, coin: str, every: str, label: str, start: date, end: date) -> ArchiveFile:
        name = f"{coin}-1m-{label}.zip"
        url = f"{self._url}/data/{self._market.archive_folder}/{every}/klines/{coin}/1m/{name}"
        return ArchiveFile(name, url, f"{url}.CHECKSUM", _minute(start), _minute(end))


def _day(minute: int) -> date:
    return EPOCH + minute // MINUTES_PER_DAY * ONE_DAY


def _minute(day: date) -> int:
    return (day - EPOCH).days * MINUTES_PER_DAY


def _next_month(day: date) -> date:
    return (day.replace(day=1) + 32 * ONE_DAY).replace(day=1)


def _first_monday(month: date) -> date:
    """Of the month that begins on a day."""
    return month + (-month.weekday() % 7) * ONE_DAY
