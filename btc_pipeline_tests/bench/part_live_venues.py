"""A collector of three venues at once: its memory, from an empty database through the looks back to quiet minutes."""

from __future__ import annotations

import time
from typing import Final

import psutil
import psycopg

from btc_pipeline_tests.bench.figures import Figure
from btc_pipeline_tests.bench.live_stack import LiveSpace, place

SYMBOLS: Final = ("BTC", "BTCUSDT.BYBIT", "BTCUSDT.BINANCE")
SECONDS: Final = 150.0
ASKED: Final = 160e6
STORED: Final = "SELECT symbol, count(*) FROM candles WHERE interval = '1m' GROUP BY symbol"


def run(space: LiveSpace) -> list[Figure]:
    config = {"symbols": list(SYMBOLS), "collector": {"trades": True}}
    with place(space, "venues", config=config, replay=True) as here:
        uri = here.database().uri
        with (
            here.running("exchange", ["btc-pipeline", "replay-exchange", "--port", str(here.exchange_port)]),
            here.collector() as process,
        ):
            watched, samples = psutil.Process(process.pid), []
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                samples.append(watched.memory_info().rss)
                time.sleep(0.5)
        with psycopg.connect(uri) as connection:
            stored = dict(connection.execute(STORED).fetchall())
    if set(stored) != set(SYMBOLS):
        raise RuntimeError(f"minutes are stored of {sorted(stored)} alone")
    return [
        Figure(
            "collector with three venues and three symbols, memory",
            f"{max(samples) / 1e6:.0f} MB",
            "160 MB",
            max(samples) <= ASKED,
            [
                (
                    f"the largest RSS of {SECONDS:.0f} s from an empty database on, trades taken; at the end "
                    f"{samples[-1] / 1e6:.0f} MB"
                ),
                ", ".join(f"{symbol}: {count:,} minutes stored" for symbol, count in sorted(stored.items())),
            ],
        )
    ]
