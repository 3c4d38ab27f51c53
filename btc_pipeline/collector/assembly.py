"""Putting a collector together from the settings."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from btc_pipeline.collector.cross_check import CrossCheck
from btc_pipeline.collector.landing import Lander
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.service import Collector
from btc_pipeline.collector.spool import Spool
from btc_pipeline.collector.store import MinuteStore
from btc_pipeline.collector.trade_writer import TradeWriter
from btc_pipeline.collector.venue import Venue
from btc_pipeline.exchanges.venues import require_provider
from btc_pipeline.market.basis import Comparison
from btc_pipeline.market.instruments import split_symbol
from btc_pipeline.settings import Settings
from btc_pipeline.timing.clock import Clock


def build_collector(
    settings: Settings,
    store: MinuteStore,
    clock: Clock,
    *,
    metrics: Metrics,
    random: Random,
    announce: Callable[[str], None],
) -> Collector:
    """A collector of the settings' symbols.

    Args:
        random: of the waits between tries.

    Raises:
        UserError: a symbol of a venue that cannot be collected from.
    """
    keep_days, compared = settings.collector.keep_trades_days, _compared(settings)
    spool = Spool(settings.data_dir / "spool", max_bytes=settings.collector.spool_megabytes * 1_000_000)
    return Collector(
        _venues(settings, clock),
        store,
        Lander(store, spool, clock),
        clock,
        feed=settings.feed,
        omitted=settings.collector.omitted_minutes,
        metrics=metrics,
        random=random,
        announce=announce,
        trades=settings.collector.trades,
        trade_writer=TradeWriter(store, clock, keep_days, metrics, announce) if keep_days else None,
        cross_check=CrossCheck(compared, store, clock, metrics, announce) if compared else None,
    )


def _compared(settings: Settings) -> list[Comparison]:
    """Those of which this process collects both; the others are the asset check's affair alone."""
    return [of for of in settings.comparisons if {of.symbol, of.against} <= set(settings.collected)]


def _venues(settings: Settings, clock: Clock) -> list[Venue]:
    symbols: dict[str, list[str]] = {}
    for symbol in settings.collected:
        symbols.setdefault(split_symbol(symbol)[0], []).append(symbol)
    venues = []
    for name, of_venue in symbols.items():
        provider = require_provider(settings, name, of_venue[0])
        rest, stream = provider.rest(provider.addresses, clock), provider.stream(provider.addresses)
        venues.append(Venue(name, rest, stream, tuple(of_venue)))
    return venues
