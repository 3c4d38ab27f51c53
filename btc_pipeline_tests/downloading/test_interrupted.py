"""A download that is interrupted wherever it may be ends in the database of one that was not."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from btc_pipeline.downloading import archive, fetching, slices
from btc_pipeline.downloading.progress import Progress
from btc_pipeline.pipeline import archive_files, imports
from btc_pipeline_tests.databases import migrated_database
from btc_pipeline_tests.downloading.fake_binance import FakeBinance, Fault, minute_of
from btc_pipeline_tests.downloading.worlds import World

INTERRUPTIONS = 20
SEED = int(os.environ.get("DOWNLOAD_SEED", random.SystemRandom().randrange(10**6)))

POINTS = (
    (fetching, "_sha256_of"),
    (archive, "read_candle_file"),
    (archive, "store_archive_file"),
    (imports, "write_minutes"),
    (imports, "_touch_unseen"),
    (archive_files, "record_gaps"),
    (archive_files, "save_download"),
    (slices, "accept"),
    (slices, "record_new_rejected"),
    (slices, "record_gaps"),
    (slices, "explain_gaps"),
)
"""What a download calls, inside transactions and out: it may end before or after any of them."""


class Killed(BaseException):
    """Stands for a kill: nobody catches it."""


class Fuse:
    """Kills whoever reaches the n-th point."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.reached = 0
        self._lock = threading.Lock()

    def point(self) -> None:
        with self._lock:
            self.reached += 1
            if self.left is None:
                return
            self.left -= 1
            dead = self.left <= 0
        if dead:
            raise Killed


def armed(function: Callable[..., Any], fuse: Fuse) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        fuse.point()
        result = function(*given, **named)
        fuse.point()
        return result

    return call


def market(binance: FakeBinance) -> None:
    """Holes of every kind, a file that is not there, and connections that break."""
    day = minute_of("2025-01-03 00:00")
    binance.absent |= set(range(day + 300, day + 320)) | {day + 1439, day + 1440}
    binance.absent |= set(range(binance.now - 1_900, binance.now - 1_750)) | {binance.now - 50}
    binance.files["BTCUSDT-1m-2025-01-06.zip"] = None
    usual = binance.quote
    binance.quote = lambda minute: "123456789.12345678" if minute % 5_000 == 0 else usual(minute)


@pytest.mark.proof
def test_interrupted_twenty_times_it_ends_in_the_same_database(
    world: World, binance: FakeBinance, server_uri: str, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"DOWNLOAD_SEED={SEED}")
    dice = random.Random(SEED)
    market(binance)
    fuse = Fuse()
    for module, name in POINTS:
        monkeypatch.setattr(module, name, armed(getattr(module, name), fuse))
    world.download(progress=Progress(show=lambda _: fuse.point()))
    points = fuse.reached

    with migrated_database(server_uri, template) as database:
        other = World(database, tmp_path / "other", binance)
        binance.fault = lambda path: Fault(cut=dice.randrange(1, 40_000)) if dice.random() < 0.1 else None
        killed = 0
        for _ in range(INTERRUPTIONS):
            # Mostly soon, so that there are twenty of them.
            fuse.left = dice.randrange(1, max(2, points // 4))
            try:
                other.download(progress=Progress(show=lambda _: fuse.point()))
            except Killed:
                killed += 1
            for thread in threading.enumerate():
                assert thread.name != "fetching", "a part of a download that was killed works on"
        fuse.left = None
        binance.fault = lambda _: None
        report = other.download()
        assert killed >= INTERRUPTIONS // 2, killed
        ours, theirs = world.content(), other.content()
        for name in ours:
            assert theirs[name] == ours[name], (name, set(theirs[name]) ^ set(ours[name]))
        assert report.gaps == world.download().gaps
        assert {path.name: path.read_bytes() for path in other.files.iterdir()} == {
            path.name: path.read_bytes() for path in world.files.iterdir()
        }


def test_any_order_of_spans_ends_in_the_same_database(
    world: World, binance: FakeBinance, server_uri: str, template: str, tmp_path: Path
) -> None:
    market(binance)
    world.download()
    with migrated_database(server_uri, template) as database:
        other = World(database, tmp_path / "other", binance)
        for first in ("2025-01-09", "2025-01-05", "2024-12-01"):
            other.download(minute_of(f"{first} 00:00"))
        ours, theirs = world.content(), other.content()
        for name in ("candles", "vouched", "downloads", "quality"):
            assert theirs[name] == ours[name], (name, set(theirs[name]) ^ set(ours[name]))
