"""Repair of whole days before they are looked at: their gaps are asked of the exchange while it still has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from btc_pipeline.collector.database import DatabaseAwayError
from btc_pipeline.collector.repair import RepairReport, repair
from btc_pipeline.collector.store import MinuteStore
from btc_pipeline.exchanges.base import VenueError, VenueRest
from btc_pipeline.exchanges.venues import find_provider, rest_client
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.settings import Settings
from btc_pipeline.timing.clock import Clock, SystemClock

RestFactory = Callable[[Settings, str, Clock], VenueRest | None]


def repair_days(
    settings: Settings,
    database_uri: str,
    instrument: Instrument,
    days: range,
    rest_factory: RestFactory | None = None,
) -> RepairReport | None:
    """Fills the gaps of days (since 1970-01-01) from the instrument's venue, as far as it still has them.

    No request is made where nothing is missing, or nothing that the venue could still have. An exchange or a database
    that is away is reported (`RepairReport.error`), not raised.

    Args:
        rest_factory: `exchanges.venues.rest_client` by default.

    Returns:
        None where the venue has no client.
    """
    return asyncio.run(_repair_days(settings, database_uri, instrument, days, rest_factory or rest_client))


async def _repair_days(
    settings: Settings, database_uri: str, instrument: Instrument, days: range, rest_factory: RestFactory
) -> RepairReport | None:
    clock = SystemClock()
    rest = rest_factory(settings, instrument.venue, clock)
    if rest is None:
        return None
    store, provider = MinuteStore(database_uri), find_provider(settings, instrument.venue)
    try:
        start, end = days.start * MINUTES_PER_DAY, days.stop * MINUTES_PER_DAY
        if settings.feed == "live" and rest.retention_minutes is not None:
            # A replayed exchange may live at another time; the real one lives now, give or take its clock.
            start = max(start, int(clock.now() // 60) - rest.retention_minutes)
        if not len(await store.holes(instrument.symbol, start, max(start, end))):
            return RepairReport(instrument.symbol)
        return await repair(
            store,
            rest,
            instrument.symbol,
            instrument.venue_symbol,
            (start, end),
            clock=clock,
            now_minute=int(await rest.time() // 60),
            omitted=settings.collector.omitted_minutes,
            force=True,
            outages=() if provider is None else provider.outages,
        )
    except (VenueError, DatabaseAwayError) as error:
        return RepairReport(instrument.symbol, error=str(error))
    finally:
        await rest.close()
        await store.close()
