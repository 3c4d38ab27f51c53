"""Servers that fail: waited out within what they allow, or told in one sentence; a file is right or not taken."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from btc_pipeline.downloading import fetching
from btc_pipeline.downloading.download import Order, download
from btc_pipeline.downloading.errors import SAFE, DownloadError
from btc_pipeline.downloading.pace import Pace
from btc_pipeline.settings import load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.downloading.fake_binance import SYMBOL, FakeBinance, Fault, minute_of
from btc_pipeline_tests.downloading.worlds import START, NoTime, World

DAY = "BTCUSDT-1m-2025-01-03.zip"
DAY_BEGINS = minute_of("2025-01-03 00:00")


def first_times(n: int, fault: Fault, part: str = DAY) -> Callable[[str], Fault | None]:
    """The first so many requests whose path ends so go wrong."""
    seen: Counter[str] = Counter()

    def of(path: str) -> Fault | None:
        if not path.partition("?")[0].endswith(part):
            return None
        seen[part] += 1
        return fault if seen[part] <= n else None

    return of


def all_stored(world: World) -> bool:
    return world.minutes() == list(range(world.binance.first, world.binance.now))


def test_a_wrong_checksum_is_fetched_once_more_and_then_refused(world: World, binance: FakeBinance) -> None:
    wrong = "ab" * 32
    binance.checksums[DAY] = wrong
    with pytest.raises(DownloadError) as refused:
        world.download()
    found = hashlib.sha256(binance.file(DAY, DAY_BEGINS, DAY_BEGINS + 1440) or b"").hexdigest()
    sentence = str(refused.value)
    assert sentence.startswith(f"{DAY}: its SHA-256 is {found}, and {wrong} is published at http://127.0.0.1:")
    assert "Try again later" in sentence
    assert "\n" not in sentence
    assert len([one for one in binance.asked if one.path.endswith(DAY)]) == 2
    assert world.minutes() == list(range(binance.first, DAY_BEGINS)), "what was stored stays"
    assert not (world.files / DAY).exists()
    binance.checksums.clear()
    world.download()
    assert all_stored(world)


def test_a_file_that_is_issued_anew_while_it_is_fetched_is_taken(world: World, binance: FakeBinance) -> None:
    usual = binance.volume

    def fault(path: str) -> Fault | None:
        if path.endswith(DAY):
            binance.volume = lambda minute: usual(minute) + 1
        return None

    binance.fault = fault
    world.download()
    assert all_stored(world)


def test_a_cut_connection_goes_on_where_it_broke(world: World, binance: FakeBinance) -> None:
    binance.fault = first_times(3, Fault(cut=9_000))
    world.download()
    assert all_stored(world)
    ranges = [one.range for one in binance.asked if one.path.endswith(DAY)]
    assert ranges == [None, "bytes=9000-", "bytes=18000-", "bytes=27000-"]


def test_a_cut_connection_to_a_server_without_tags_is_right_all_the_same(world: World, binance: FakeBinance) -> None:
    binance.tags = False
    binance.fault = first_times(2, Fault(cut=9_000))
    world.download()
    assert all_stored(world)


def test_a_file_that_breaks_off_and_is_issued_anew_begins_anew(world: World, binance: FakeBinance) -> None:
    binance.fault = lambda path: Fault(cut=9_000) if path.endswith(DAY) else None
    with pytest.raises(KeyboardInterrupt):
        _stopped_after(world, 9_000, DAY)
    assert (world.files / f"{DAY}.part").stat().st_size
    usual = binance.volume
    binance.volume = lambda minute: usual(minute) + 1
    binance.fault = lambda _: None
    binance.asked.clear()
    world.download()
    assert [one.range for one in binance.asked if one.path.endswith(DAY)] == [None]
    assert all_stored(world)
    assert not list(world.files.glob("*.part*"))


def _stopped_after(world: World, count: int, name: str) -> None:
    """Ctrl-C once so much of a file is here."""
    from btc_pipeline.downloading.progress import Progress

    def show(_: Progress) -> None:
        part = world.files / f"{name}.part"
        if part.exists() and part.stat().st_size >= count:
            raise KeyboardInterrupt

    world.download(progress=Progress(show=show))


def test_a_kill_in_the_middle_of_a_file_goes_on_where_it_was(world: World, binance: FakeBinance) -> None:
    binance.fault = lambda path: Fault(cut=9_000) if path.endswith(DAY) else None
    with pytest.raises(KeyboardInterrupt):
        _stopped_after(world, 9_000, DAY)
    have = (world.files / f"{DAY}.part").stat().st_size
    binance.fault = lambda _: None
    binance.asked.clear()
    world.download()
    assert [one.range for one in binance.asked if one.path.endswith(DAY)] == [f"bytes={have}-"]
    assert all_stored(world)


def test_a_truncated_file_with_an_honest_length_is_refused(world: World, binance: FakeBinance) -> None:
    whole = binance.file(DAY, DAY_BEGINS, DAY_BEGINS + 1440) or b""
    binance.checksums[DAY] = hashlib.sha256(whole).hexdigest()
    binance.files[DAY] = whole[: len(whole) // 2]
    with pytest.raises(DownloadError, match=f"{DAY}: its SHA-256 is .* it was fetched twice and not taken"):
        world.download()
    assert world.minutes() == list(range(binance.first, DAY_BEGINS))


def test_a_truncated_file_with_its_own_checksum_is_refused(world: World, binance: FakeBinance) -> None:
    whole = binance.file(DAY, DAY_BEGINS, DAY_BEGINS + 1440) or b""
    binance.files[DAY] = whole[: len(whole) // 2]
    with pytest.raises(DownloadError) as refused:
        world.download()
    assert str(refused.value) == (
        f"{DAY} ends in the middle (truncated zip). Nothing of this file was stored: the same command fetches it again"
    )
    assert world.minutes() == list(range(binance.first, DAY_BEGINS))
    for _ in range(2):
        binance.asked.clear()
        with pytest.raises(DownloadError, match="ends in the middle"):
            world.download()
        assert [one for one in binance.asked if one.path.endswith(DAY)], "it is fetched again, as was said"


@pytest.mark.parametrize("part", [DAY, f"{DAY}.CHECKSUM"])
def test_a_web_page_is_waited_out_or_refused_in_words(world: World, binance: FakeBinance, part: str) -> None:
    page = Fault(body=b"<!DOCTYPE html><html>Log in</html>")
    binance.fault = first_times(2, page, part)
    world.download(end=DAY_BEGINS + 1440)
    assert world.minutes()[-1] == DAY_BEGINS + 1439
    binance.fault = lambda path: page if path.endswith(part.replace("-03", "-04")) else None
    with pytest.raises(DownloadError, match="answered a web page"):
        world.download()


@pytest.mark.parametrize("part", [DAY, f"{DAY}.CHECKSUM", "klines"])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_is_waited_out(world: World, binance: FakeBinance, part: str, status: int) -> None:
    binance.fault = first_times(3, Fault(status=status), part)
    world.download()
    assert all_stored(world)
    assert len(world.clock.pauses) >= 3


@pytest.mark.parametrize("part", [DAY, f"{DAY}.CHECKSUM", "klines"])
@pytest.mark.parametrize("status", [429, 418, 403])
def test_a_pause_that_the_server_wants_is_kept(world: World, binance: FakeBinance, part: str, status: int) -> None:
    allowed_from = 0.0
    too_soon = []
    left = 3

    def fault(path: str) -> Fault | None:
        nonlocal allowed_from, left
        if world.clock.slept < allowed_from:
            too_soon.append(path)
        if path.partition("?")[0].endswith(part) and left:
            left -= 1
            allowed_from = world.clock.slept + 37
            return Fault(status=status, retry_after="37")
        return None

    binance.fault = fault
    world.download()
    assert too_soon == []
    assert all_stored(world)
    assert world.clock.slept >= 3 * 37
    assert len([line for line in world.said if "the next try is in 37 s" in line]) == 3


def test_a_pause_of_hours_is_told_at_once(world: World, binance: FakeBinance) -> None:
    binance.fault = first_times(9, Fault(status=418, retry_after="7200"))
    with pytest.raises(DownloadError, match=r"wants no more requests \(418\) until 2025-01-10 08:01 UTC: run the same"):
        world.download()
    binance.fault = first_times(9, Fault(status=418, retry_after="7200"), "klines")
    with pytest.raises(DownloadError, match=r"it wants no request until 2025-01-10 08:01 UTC: run the same"):
        world.download()


def test_what_will_not_pass_is_not_tried_again(world: World, binance: FakeBinance) -> None:
    binance.fault = lambda path: Fault(status=401) if path.endswith(DAY) else None
    with pytest.raises(DownloadError, match=r"refused \(401\)"):
        world.download()
    assert len([one for one in binance.asked if one.path.endswith(DAY)]) == 1


def test_a_full_disk_is_told_before_it_is_full(
    world: World, binance: FakeBinance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FREE_BYTES", 10**18)
    with pytest.raises(DownloadError, match=r"BTCUSDT-1m-2024-12.zip has 0 MB to come, and .* MB free, .* make room"):
        world.download()


def test_a_folder_that_cannot_be_made_is_told_in_words(world: World, binance: FakeBinance) -> None:
    world.files.parent.parent.write_text("a file")
    with pytest.raises(
        DownloadError, match=r"BINANCE/BTCUSDT cannot be written \(Not a directory\): make it a folder"
    ) as e:
        world.download()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_told_in_words(
    world: World, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    usual = Path.open

    def refuse(path: Path, mode: str = "r", *given: Any, **named: Any) -> Any:
        if path.name.endswith(".part"):
            raise OSError(code, os.strerror(code))
        return usual(path, mode, *given, **named)

    monkeypatch.setattr(Path, "open", refuse)
    words = re.escape(f"BINANCE/BTCUSDT cannot be written ({os.strerror(code)}): ")
    with pytest.raises(DownloadError, match=words):
        world.download()
    monkeypatch.undo()


def test_of_a_pause_of_minutes_it_is_said_that_nobody_need_wait(world: World, binance: FakeBinance) -> None:
    for part in (DAY, "klines"):
        world.said.clear()
        binance.fault = first_times(1, Fault(status=429, retry_after="240"), part)
        world.download(end=DAY_BEGINS + 1440 if part == DAY else None)
        assert [line for line in world.said if line.endswith("the next try is in 240 s; " + SAFE)], world.said


def nobody_at(database: Database, folder: Path, **settings: Any) -> list[str]:
    """What is said of a venue where nobody listens, and then the error."""
    clock, said = NoTime(minute_of("2025-01-10 06:00") * 60.0), list[str]()
    with pytest.raises(DownloadError) as failed:
        download(
            load_settings(data_dir=folder, **settings), database, Order(SYMBOL, START), say=said.append, clock=clock
        )
    return [*said, str(failed.value)]


def test_after_the_first_try_it_is_said_that_nobody_is_there(database: Database, tmp_path: Path) -> None:
    at = f"http://127.0.0.1:{free_port()}"
    first, *more, error = nobody_at(database, tmp_path, venues={"BINANCE": {"api_url": at, "archive_url": at}})
    assert re.fullmatch(rf"BINANCE cannot be reached \(.+\); trying again in \d+ s; {SAFE}", first)
    assert not [line for line in more if "cannot be reached" in line]
    assert "replay" not in error


def test_in_a_replay_it_is_said_what_to_start(database: Database, tmp_path: Path) -> None:
    first, *_, error = nobody_at(database, tmp_path, feed="replay", replay={"port": free_port()})
    start = "start btc-pipeline up --feed replay or btc-pipeline replay-exchange first"
    assert re.fullmatch(rf"BINANCE cannot be reached \(.+\): {start}; trying again in \d+ s; {SAFE}", first)
    assert f"(8 times): {start}. " in error


def test_an_archive_that_is_away_is_said_so(world: World) -> None:
    known = world.settings
    at = {"api_url": known.venues["BINANCE"].api_url, "archive_url": f"http://127.0.0.1:{free_port()}"}
    settings = load_settings(data_dir=world.folder, venues={"BINANCE": at})
    pace = Pace(monotonic=world.clock.monotonic, wait=world.clock.pause)
    with pytest.raises(DownloadError, match=r"CHECKSUM: .* \(8 times\)"):
        download(settings, world.database, Order(SYMBOL, START), say=world.said.append, clock=world.clock, pace=pace)
    assert re.fullmatch(rf"127.0.0.1 cannot be reached \(.+\); trying again in \d+ s; {SAFE}", world.said[0])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_file_on_the_disk_is_used_only_with_its_checksum(world: World, binance: FakeBinance) -> None:
    world.files.mkdir(parents=True)
    whole = binance.file(DAY, DAY_BEGINS, DAY_BEGINS + 1440) or b""
    (world.files / DAY).write_bytes(whole)
    (world.files / DAY.replace("-03", "-04")).write_bytes(whole)
    world.download()
    fetched = [one.path.rpartition("/")[2] for one in binance.asked if one.path.endswith(".zip")]
    assert DAY not in fetched
    assert DAY.replace("-03", "-04") in fetched
    assert all_stored(world)
