"""A download over a database and a local venue, whose pauses take no time; and what the database holds afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from btc_pipeline.downloading.download import DownloadReport, Order, download
from btc_pipeline.downloading.pace import Pace
from btc_pipeline.downloading.progress import Progress
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.downloading.fake_binance import SYMBOL, FakeBinance, minute_of
from btc_pipeline_tests.pipeline.worlds import query

START = minute_of("2024-12-01 00:00")

CONTENT = {
    "instruments": "SELECT symbol, venue, venue_symbol, price_decimals, volume_decimals, quote_decimals "
    "FROM instruments ORDER BY 1",
    "candles": "SELECT symbol, interval, time, open, high, low, close, volume, quote_volume, taker_buy_volume, trades, "
    "quiet_minutes, status FROM candles ORDER BY 1, 2, 3",
    "revisions": "SELECT symbol, time, open, high, low, close, volume, quote_volume, reason FROM candle_revisions "
    "ORDER BY 1, 2, 9",
    "quality": "SELECT kind, symbol, start_time, end_time, reason FROM data_quality WHERE NOT resolved "
    "ORDER BY 1, 2, 3, 5",
    "vouched": "SELECT symbol, day, minutes FROM vouched_minutes ORDER BY 1, 2",
    "digests": "SELECT asset, symbol, day, content_digest, inputs_digest, rows, last_time, touched_from "
    "FROM partition_digests ORDER BY 1, 2, 3",
    "downloads": "SELECT symbol, name, sha256, bytes, start_time, end_time, rows, first_time, last_time FROM downloads "
    "ORDER BY 1, 2, 3",
}


class NoTime:
    """A clock whose pauses take no time, and are counted."""

    def __init__(self, now: float) -> None:
        self.slept = 0.0
        self.pauses: list[float] = []
        self._began = now

    def now(self) -> float:
        return self._began + self.slept

    def monotonic(self) -> float:
        return self.slept

    def pause(self, seconds: float) -> bool:
        self.slept += seconds
        self.pauses.append(seconds)
        return False

    async def sleep(self, seconds: float) -> None:
        self.pause(seconds)


@dataclass
class World:
    """A database, a folder and a venue."""

    database: Database
    folder: Path
    binance: FakeBinance
    clock: NoTime = field(default_factory=lambda: NoTime(0.0))
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = NoTime(self.binance.now * 60.0)

    @property
    def settings(self) -> Settings:
        at = f"http://127.0.0.1:{self.binance.port}"
        return load_settings(
            data_dir=self.folder,
            venues={"BINANCE": {"api_url": at, "archive_url": at}},
            standard_intervals=("5m", "37m", "148m", "1d"),
        )

    @property
    def files(self) -> Path:
        """Where files are kept."""
        return self.folder / "downloads" / "BINANCE" / "BTCUSDT"

    def download(
        self,
        start: int = START,
        end: int | None = None,
        *,
        progress: Progress | None = None,
        skip_invalid: bool = False,
    ) -> DownloadReport:
        return download(
            self.settings,
            self.database,
            Order(SYMBOL, start, end, skip_invalid),
            progress=progress,
            say=self.said.append,
            clock=self.clock,
            pace=Pace(monotonic=self.clock.monotonic, wait=self.clock.pause),
        )

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that a download writes, without the moments at which it did."""
        return {name: query(self.database, statement) for name, statement in CONTENT.items()}

    def gaps(self) -> list[tuple[int, int, str]]:
        """Open gaps as epoch minutes and their reason."""
        return query(
            self.database,
            "SELECT extract(epoch FROM start_time)::int / 60 AS a, extract(epoch FROM end_time)::int / 60 AS b, reason "
            "FROM data_quality WHERE kind = 'gap' AND NOT resolved ORDER BY start_time",
        )

    def minutes(self) -> list[int]:
        """The stored minutes."""
        rows = query(self.database, "SELECT extract(epoch FROM time)::int / 60 AS minute FROM candles ORDER BY time")
        return [row[0] for row in rows]
