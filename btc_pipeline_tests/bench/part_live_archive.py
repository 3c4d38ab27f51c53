"""A year of an archive's files, which lie on the disk already, to stored and materialised minutes."""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from btc_pipeline.downloading.archive import download_files
from btc_pipeline.downloading.fetching import Fetcher
from btc_pipeline.downloading.pace import Pace
from btc_pipeline.downloading.progress import Progress
from btc_pipeline.exchanges.provider import ArchiveFile
from btc_pipeline.market.intervals import MINUTES_PER_DAY
from btc_pipeline.pipeline.catalogue import MINUTES_ASSET, build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline_tests.bench.figures import Figure, Laps, timed
from btc_pipeline_tests.bench.live_stack import LiveSpace, Place, place
from btc_pipeline_tests.bench.market import synthetic_minutes

ASKED_SECONDS: Final = 60.0
ROUNDS: Final = 3
SYMBOL: Final = "BTCUSDT.BINANCE"
YEAR: Final = 2025
EPOCH: Final = date(1970, 1, 1)


class OnDisk(Fetcher):
    """Files that were fetched before; their published checksums are at hand."""

    def __init__(self, folder: Path, checksums: dict[str, str]) -> None:
        super().__init__(folder, "http://127.0.0.1", Pace())
        self._checksums = checksums

    def checksum(self, file: ArchiveFile) -> str:
        return self._checksums[file.name]


def run(space: LiveSpace) -> list[Figure]:
    space.say("archive: making a year of files")
    folder = space.folder / "archive-files"
    folder.mkdir()
    files, checksums = _make_year(folder)
    stored, made, whole = [], [], []
    for lap in range(ROUNDS):
        space.say(f"archive: lap {lap + 1} of {ROUNDS}")
        with place(space, f"archive-{lap}") as here:
            seconds = _lap(here, files, OnDisk(folder, checksums))
        stored.append(seconds[0])
        made.append(seconds[1])
        whole.append(seconds[2])
    both = Laps([a + b for a, b in zip(stored, made, strict=True)])
    rows = files[-1].end - files[0].start
    return [
        Figure(
            f"archive to stored and materialised minutes, 1 year ({rows:,} rows), network excluded",
            f"{both.median:.1f} s",
            f"{ASKED_SECONDS:.0f} s",
            both.median <= ASKED_SECONDS,
            [
                f"verified, read and stored: {Laps(stored)}, {rows / Laps(stored).median:,.0f} rows/s",
                f"candles_1m made of them: {Laps(made)}",
                f"all bars, indicators and decisions besides: {Laps(whole)}",
            ],
        )
    ]


def _lap(here: Place, files: list[ArchiveFile], fetcher: Fetcher) -> tuple[float, float, float]:
    database, settings = here.database(), here.settings()
    chain = Chain(database, build_catalogue(settings), settings.rule)
    end = files[-1].end
    stored, report = timed(
        lambda: download_files(database, SYMBOL, files, fetcher, Pace(), Progress(), now=end + MINUTES_PER_DAY)
    )
    fetcher.close()
    assert len(report.stored) == len(files)
    days = range(files[0].start // MINUTES_PER_DAY, end // MINUTES_PER_DAY)
    made, whole = (_refresh(chain, database, days, end, assets) for assets in ([MINUTES_ASSET], None))
    return stored, made, whole


def _refresh(chain: Chain, database: Database, days: range, now: int, assets: list[str] | None) -> float:
    with database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
    seconds, reports = timed(lambda: chain.refresh(instrument, days, now, assets=assets))
    assert reports[MINUTES_ASSET].rows == len(days) * MINUTES_PER_DAY
    return seconds


def _make_year(folder: Path) -> tuple[list[ArchiveFile], dict[str, str]]:
    """Monthly files as Binance writes them, twelve columns and microseconds; and their checksums."""
    files, checksums = [], {}
    for month in range(1, 13):
        first, after = date(YEAR, month, 1), date(YEAR + month // 12, month % 12 + 1, 1)
        name = f"BTCUSDT-1m-{YEAR}-{month:02d}.zip"
        data = _file(name, (first - EPOCH).days, (after - first).days)
        (folder / name).write_bytes(data)
        checksums[name] = hashlib.sha256(data).hexdigest()
        start, end = ((day - EPOCH).days * MINUTES_PER_DAY for day in (first, after))
        files.append(ArchiveFile(name, f"http://127.0.0.1/{name}", f"http://127.0.0.1/{name}.CHECKSUM", start, end))
    return files, checksums


def _file(name: str, first_day: int, days: int) -> bytes:
    minutes = synthetic_minutes(first_day, days, seed=first_day)
    trades = np.random.default_rng(first_day).integers(1, 5_000, len(minutes)).tolist()
    columns = (minutes.time, minutes.open, minutes.high, minutes.low, minutes.close, minutes.volume)
    lines = (
        f"{time * 60_000_000},{o:.8f},{h:.8f},{low:.8f},{c:.8f},{v:.8f},{time * 60_000_000 + 59_999_999},"
        f"{v * c:.6f}00,{n},{v / 2:.4f}0000,{v * c / 2:.6f}00,0\n"
        for (time, o, h, low, c, v), n in zip(
            zip(*(column.tolist() for column in columns), strict=True), trades, strict=True
        )
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name.replace(".zip", ".csv"), "".join(lines))
    return buffer.getvalue()
