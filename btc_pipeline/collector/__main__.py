"""The collector as a process: `python -m btc_pipeline.collector`, or `btc-pipeline collect`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from random import SystemRandom
from typing import Final

import structlog

from btc_pipeline.collector.assembly import build_collector
from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.store import MinuteStore
from btc_pipeline.errors import UserError
from btc_pipeline.market.instruments import canonical_symbol
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.address import database_uri, open_database
from btc_pipeline.supervision import only_one
from btc_pipeline.timing.clock import Clock
from btc_pipeline.timing.shared import ClockFactory, loop_and_clock_from_environment

DATABASE_RETRY_SECONDS: Final = 5.0


def main(settings: Settings | None = None) -> int:
    """Collects until SIGTERM or Ctrl-C; returns the exit code: 0, or 2 for a setting that is wrong."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    try:
        chosen = settings or load_settings()
        loop_factory, make_clock = loop_and_clock_from_environment()
        # Two would take the files of one spool from each other.
        with (
            only_one(chosen.data_dir / "collector.lock", "A collector"),
            asyncio.Runner(loop_factory=loop_factory) as runner,
        ):
            runner.run(_collect(chosen, make_clock))
    except UserError as error:
        announce(f"collector: {error}")
        return 2
    return 0


async def _collect(settings: Settings, make_clock: ClockFactory) -> None:
    loop = asyncio.get_running_loop()
    clock = make_clock(loop)
    uri = await asyncio.to_thread(database_uri, settings)
    metrics = Metrics()
    store = MinuteStore(uri)
    collector = build_collector(settings, store, clock, metrics=metrics, random=SystemRandom(), announce=announce)
    _serve_metrics(settings, metrics)
    for given in settings.symbols:
        if canonical_symbol(given) != given:
            announce(f"collector: {given} is {canonical_symbol(given)} here: Hyperliquid's perpetual")
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, collector.stop)
    preparing = asyncio.create_task(_prepare(settings, clock))
    # Usually it is there, and the first thing asked is how far the minutes are confirmed.
    await asyncio.wait([preparing], timeout=DATABASE_RETRY_SECONDS)
    try:
        await collector.run()
    finally:
        preparing.cancel()


async def _prepare(settings: Settings, clock: Clock) -> None:
    """The schema, as soon as the database is there; until then minutes are collected all the same."""
    said = False
    while True:
        try:
            await asyncio.to_thread(open_database, settings)
        except UserError as error:
            if not said:
                announce(f"collector: {error} Minutes go to the spool meanwhile.")
            said = True
            await clock.sleep(DATABASE_RETRY_SECONDS)
        else:
            return


def _serve_metrics(settings: Settings, metrics: Metrics) -> None:
    where = settings.collector
    try:
        metrics.serve(where.metrics_host, where.metrics_port)
    except OSError as error:
        raise UserError(
            f"{where.metrics_host}:{where.metrics_port} is not free ({error.strerror}); set "
            "BTC_PIPELINE_COLLECTOR__METRICS_PORT to another port.",
            field="metrics_port",
        ) from error


def announce(line: str) -> None:
    """A line for the user: `btc-pipeline up` shows what begins with STATE."""
    print(line if sys.stdout.isatty() else f"STATE {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
