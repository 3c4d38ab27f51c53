"""What a download stores, from which road, and what it makes of what is not there."""

from __future__ import annotations

import hashlib
import math

import pytest

from btc_pipeline.downloading.errors import DownloadError
from btc_pipeline.downloading.progress import Progress
from btc_pipeline.errors import UserError
from btc_pipeline.market.intervals import MINUTE
from btc_pipeline.storage.candles import read_candles
from btc_pipeline.storage.downloads import only_download
from btc_pipeline.storage.instruments import find_instrument
from btc_pipeline_tests.downloading.fake_binance import SYMBOL, FakeBinance, minute_of, zipped
from btc_pipeline_tests.downloading.worlds import START, World
from btc_pipeline_tests.pipeline.worlds import chain_of, query, row_versions, small_settings

MONTH = "BTCUSDT-1m-2024-12.zip"
FIRST_DAY = "BTCUSDT-1m-2025-01-01.zip"
DAY = "BTCUSDT-1m-2025-01-03.zip"
ARCHIVE_END = minute_of("2025-01-09 00:00")


def test_every_minute_is_stored_as_the_venue_has_it(world: World, binance: FakeBinance) -> None:
    report = world.download()
    assert world.minutes() == list(range(binance.first, binance.now))
    assert (report.added, report.replaced, report.known) == (binance.now - binance.first, 0, 0)
    assert (report.first, report.last) == (binance.first, binance.now - 1)
    assert report.gaps == {}
    with world.database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
        stored = read_candles(cursor, SYMBOL, MINUTE, instrument.scale, 0, binance.now)
    for at in (0, 1_423, 1_424, len(stored) - 1):
        row = binance.row(int(stored.time[at]))
        values = (stored.open, stored.high, stored.low, stored.close, stored.volume)
        assert [float(text) for text in row[1:6]] == [one[at] for one in values]
        assert (float(row[7]), float(row[9])) == (stored.quote_volume[at], stored.taker_buy_volume[at])
        assert int(row[8]) == stored.trades[at]


def test_files_come_from_the_archive_and_only_the_rest_from_rest(world: World, binance: FakeBinance) -> None:
    world.download()
    zips = [one for one in binance.requests(".zip") if not one.path.endswith(".CHECKSUM")]
    assert [one.path.rpartition("/")[2] for one in zips][:2] == [MONTH, FIRST_DAY]
    assert len(zips) == 9
    (first, *_) = binance.requests("klines?")
    assert f"startTime={(ARCHIVE_END - 1) * 60_000}" in first.path, "with the minute before, for a hole shows between"


def test_the_same_again_fetches_no_file_and_writes_nothing(world: World, binance: FakeBinance) -> None:
    binance.absent |= set(range(ARCHIVE_END + 30, ARCHIVE_END + 37)) | {binance.now - 10, ARCHIVE_END - 1}
    world.download()
    before, written = world.content(), row_versions(world.database)
    versions = query(world.database, "SELECT xmin::text, ctid::text FROM data_quality ORDER BY id")
    binance.asked.clear()
    report = world.download()
    assert (report.added, report.replaced, len(report.archive.known)) == (0, 0, 9)
    assert [one.path for one in binance.asked if one.path.endswith(".zip")] == []
    assert world.content() == before
    assert row_versions(world.database) == written
    assert query(world.database, "SELECT xmin::text, ctid::text FROM data_quality ORDER BY id") == versions


def test_rows_that_were_deleted_are_stored_again_from_the_file_that_is_kept(world: World, binance: FakeBinance) -> None:
    world.download()
    before = world.minutes()
    day, tail = minute_of("2025-01-03 05:00"), ARCHIVE_END + 100
    for first in (day, tail):
        query(
            world.database,
            "DELETE FROM candles WHERE time >= to_timestamp(%s) AND time < to_timestamp(%s)",
            first * 60,
            (first + 20) * 60,
        )
    binance.asked.clear()
    report = world.download()
    assert (report.archive.stored, report.archive.restored, report.archive.reissued) == ([DAY], [DAY], [])
    assert (report.added, report.replaced, report.missing) == (40, 0, 0)
    assert [one.path for one in binance.asked if one.path.endswith(".zip")] == []
    assert world.minutes() == before
    assert world.download().archive.stored == []


def test_quarantined_rows_of_a_file_are_not_taken_for_deleted(world: World) -> None:
    world.download()
    wrong = minute_of("2025-01-03 05:01")  # where no bar opens
    query(world.database, "UPDATE candles SET high = low / 2 WHERE time = to_timestamp(%s)", wrong * 60)
    query(world.database, "DELETE FROM partition_digests WHERE symbol = %s", SYMBOL)
    chain = chain_of(world.database, small_settings())
    with world.database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
    chain.refresh(instrument, range(wrong // 1440, wrong // 1440 + 1), wrong + 5_000)
    assert wrong not in world.minutes()
    report = world.download()
    assert (report.archive.stored, report.missing) == ([], 1)


def test_counts_are_of_the_range_though_a_file_is_of_a_month(world: World, binance: FakeBinance) -> None:
    start, end = minute_of("2024-12-31 00:00"), minute_of("2024-12-31 12:00")
    report = world.download(start, end)
    assert len(world.minutes()) > 720, "the file holds more"
    told = (report.stored, report.missing, report.added, report.replaced, report.known)
    assert told == (720, 0, 720, 0, 0)
    assert (report.first, report.last) == (start, end - 1)
    usual = binance.volume
    changed = {start - 5, start + 5}
    binance.volume = lambda minute: usual(minute) + (minute in changed)
    report = world.download(start, end)
    assert (report.added, report.replaced, report.known) == (0, 1, 719)


def test_what_is_missing_is_counted_without_a_recorded_gap_too(world: World, binance: FakeBinance) -> None:
    binance.absent |= {binance.now - 1, binance.now - 2}
    report = world.download()
    assert (report.missing, report.gaps) == (2, {})
    assert report.stored == binance.now - 2 - binance.first


def test_only_what_is_new_is_asked_for_later(world: World, binance: FakeBinance) -> None:
    world.download()
    binance.asked.clear()
    binance.now += 60
    report = world.download()
    assert report.added == 60
    (asked,) = binance.requests("klines?")
    assert f"startTime={(binance.now - 61) * 60_000}" in asked.path


def test_a_minute_that_a_verified_file_lacks_is_the_exchanges_gap_and_stays_one(
    world: World, binance: FakeBinance
) -> None:
    day = minute_of("2025-01-03 00:00")
    binance.absent |= set(range(day + 300, day + 320)) | {day + 1439, day + 1440, binance.first + 7}
    world.download()
    told = [
        (binance.first + 7, binance.first + 8, "exchange_downtime"),
        (day + 300, day + 320, "exchange_downtime"),
        (day + 1439, day + 1440, "exchange_downtime"),
        (day + 1440, day + 1441, "exchange_downtime"),
    ]
    assert world.gaps() == told
    chain = chain_of(world.database, small_settings())
    with world.database.arrow() as cursor:
        instrument = find_instrument(cursor, SYMBOL)
    chain.refresh(instrument, range(binance.first // 1440, binance.now // 1440 + 1), binance.now)
    assert world.gaps() == told


def test_a_gap_that_somebody_recorded_before_gets_its_reason_from_the_file(world: World, binance: FakeBinance) -> None:
    day = minute_of("2025-01-03 00:00")
    binance.absent |= set(range(day + 300, day + 320))
    binance.files[DAY] = None
    world.download()
    query(world.database, "UPDATE data_quality SET reason = 'unknown' WHERE kind = 'gap'")
    del binance.files[DAY]
    world.download()
    assert world.gaps() == [(day + 300, day + 320, "exchange_downtime")]


def test_a_file_that_is_not_there_is_asked_of_rest(world: World, binance: FakeBinance) -> None:
    binance.files[DAY] = None
    report = world.download()
    assert world.minutes() == list(range(binance.first, binance.now))
    assert report.archive.absent == [(minute_of("2025-01-03 00:00"), minute_of("2025-01-04 00:00"))]


def test_before_the_first_file_there_is_no_gap_and_rest_is_not_asked(world: World, binance: FakeBinance) -> None:
    report = world.download(minute_of("2024-05-01 00:00"))
    assert world.gaps() == []
    assert report.notes == [f"{SYMBOL} has minutes from 2024-12-30 00:17 UTC on"]
    spans = [one.path for one in binance.requests("klines?")]
    assert all("startTime=1736" in path for path in spans), spans


def test_what_rest_leaves_out_is_a_gap_of_the_exchange_once_it_is_a_day_old(world: World, binance: FakeBinance) -> None:
    old, new = range(ARCHIVE_END + 30, ARCHIVE_END + 37), range(binance.now - 100, binance.now - 90)
    binance.absent |= {*old, *new}
    world.download()
    assert world.gaps() == [
        (old.start, old.stop, "exchange_downtime"),
        (new.start, new.stop, "late_publish"),
    ]
    binance.absent -= set(new)
    assert world.download().added == 10
    assert world.gaps() == [(old.start, old.stop, "exchange_downtime")]


def test_a_known_outage_is_a_gap_with_that_reason_and_is_not_asked_for(
    world: World, binance: FakeBinance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from btc_pipeline.downloading import download as module
    from btc_pipeline.exchanges.provider import Outage

    outage = range(binance.now - 300, binance.now - 240)
    known = module.require_provider
    monkeypatch.setattr(
        module,
        "require_provider",
        lambda *given: replace(known(*given), outages=(Outage(outage.start, outage.stop, "a test"),)),
    )
    binance.absent |= set(outage)
    world.download()
    assert world.gaps() == [(outage.start, outage.stop, "exchange_downtime")], "though it is younger than a day"


def test_the_minute_that_forms_is_not_stored(world: World, binance: FakeBinance) -> None:
    world.download()
    assert world.minutes()[-1] == binance.now - 1


def test_a_quote_volume_with_too_many_digits_is_unknown_and_said(world: World, binance: FakeBinance) -> None:
    busy = minute_of("2025-01-02 12:34")
    binance.quote = lambda minute: "123456789.12345678" if minute == busy else None
    report = world.download()
    assert report.archive.unheld == 1
    ((reason,),) = query(
        world.database,
        "SELECT reason FROM data_quality WHERE kind = 'anomaly' AND start_time = to_timestamp(%s)",
        busy * 60,
    )
    assert "quote volume 123456789.12345678 has more digits than a double holds" in reason
    ((quote, volume),) = query(
        world.database, "SELECT quote_volume, volume FROM candles WHERE time = to_timestamp(%s)", busy * 60
    )
    assert quote is None
    assert not math.isnan(volume)


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("microseconds_from", ["2017-01-01", "2025-01-01", "2099-01-01"])
def test_a_header_or_none_milliseconds_or_microseconds(
    world: World, binance: FakeBinance, header: bool, microseconds_from: str
) -> None:
    binance.header, binance.split_time = header, minute_of(microseconds_from)
    world.download(end=ARCHIVE_END)
    assert world.minutes() == list(range(binance.first, ARCHIVE_END))


def test_units_mixed_within_a_file_are_refused_in_words_and_what_was_stored_stays(
    world: World, binance: FakeBinance
) -> None:
    binance.split_time = minute_of("2025-01-03 11:00")
    words = rf"{DAY}: row 1, .* is in milliseconds, the other rows are in microseconds; a file has one unit"
    with pytest.raises(DownloadError, match=words) as refused:
        world.download()
    assert str(refused.value).endswith(". Nothing of this file was stored: the same command fetches it again")
    assert world.minutes() == list(range(binance.first, minute_of("2025-01-03 00:00")))


def test_a_file_that_is_issued_again_replaces_and_says_which(world: World, binance: FakeBinance) -> None:
    world.download()
    changed = minute_of("2025-01-03 05:06")
    usual = binance.volume
    binance.volume = lambda minute: usual(minute) + (minute == changed)
    binance.asked.clear()
    report = world.download()
    assert (report.added, report.replaced, report.archive.reissued) == (0, 1, [DAY])
    assert [one.path.rpartition("/")[2] for one in binance.asked if one.path.endswith(".zip")] == [DAY]
    sha256 = hashlib.sha256((world.files / DAY).read_bytes()).hexdigest()
    ((reason,),) = query(world.database, "SELECT reason FROM candle_revisions")
    assert reason == f"archive file {DAY}, sha256 {sha256}"
    ((issues,),) = query(world.database, "SELECT count(*) AS n FROM downloads WHERE name = %s", DAY)
    assert issues == 2
    assert world.download().archive.stored == []


def test_a_file_that_is_of_another_time_is_refused(world: World, binance: FakeBinance) -> None:
    start = minute_of("2025-01-04 00:00")
    binance.files[DAY] = zipped(DAY, binance.csv(start, start + 1440))
    with pytest.raises(
        DownloadError, match=rf"{DAY}: its rows are of 2025-01-04 00:00 .* by its name it is of another time"
    ):
        world.download()


def test_a_wrong_row_is_refused_or_left_out_and_kept(world: World, binance: FakeBinance) -> None:
    start = minute_of("2025-01-03 00:00")
    lines = binance.csv(start, start + 1440).splitlines()
    lines[100] = lines[100].replace(b",9", b",x", 1)
    binance.files[DAY] = zipped(DAY, b"\n".join(lines) + b"\n")
    with pytest.raises(DownloadError, match=rf"{DAY}: row 101, column open: .* is not a number") as refused:
        world.download()
    assert str(refused.value).endswith("fetches it again, and with --skip-invalid leaves such rows out")
    report = world.download(skip_invalid=True)
    assert report.archive.rejected == 1
    assert world.gaps() == [(start + 100, start + 101, "unknown")], "the venue has it, so it is no gap of the venue's"


def test_a_second_download_of_the_symbol_is_refused(world: World) -> None:
    with (
        only_download(world.database, SYMBOL),
        pytest.raises(UserError, match="another download of it is at work"),
    ):
        world.download()
    with only_download(world.database, "ETHUSDT.BINANCE"):
        assert world.download().added


def test_mistakes_are_one_sentence(world: World, binance: FakeBinance) -> None:
    with pytest.raises(UserError, match="--start 2031-01-01 is in the future"):
        world.download(minute_of("2031-01-01 00:00"))
    for end in ("2025-01-05", "2025-01-02"):
        with pytest.raises(UserError, match=f"--start 2025-01-05 is not before --end {end}: give the day after"):
            world.download(minute_of("2025-01-05 00:00"), minute_of(f"{end} 00:00"))
    assert binance.asked == [], "judged before anybody is asked"
    from btc_pipeline.downloading.download import Order, download

    with pytest.raises(UserError, match=r"BINANCE has no instrument BTCUSD; did you mean BTCUSDT\?"):
        download(world.settings, world.database, Order("BTCUSD.BINANCE", START), clock=world.clock)


def test_progress_ends_where_it_was_planned(world: World) -> None:
    seen: list[tuple[int, int]] = []
    progress = Progress(show=lambda one: seen.append((one.done, one.planned)))
    world.download(progress=progress)
    assert progress.done == progress.planned
    assert progress.stored == len(world.minutes())
    assert all(done <= planned for done, planned in seen)
    assert progress.fetched_bytes == sum(path.stat().st_size for path in world.files.iterdir())


def test_a_venue_that_is_away_is_told_with_how_to_go_on(world: World, binance: FakeBinance) -> None:
    from btc_pipeline_tests.downloading.fake_binance import Fault

    binance.fault = lambda path: Fault(status=503) if "klines" in path and "api" in path else None
    with pytest.raises(
        DownloadError, match=r"BINANCE: the minutes from .* \(8 times\)\. What is stored stays; the same"
    ):
        world.download()
    assert world.minutes() == list(range(binance.first, ARCHIVE_END))
    binance.fault = lambda _: None
    world.download()
    assert world.minutes() == list(range(binance.first, binance.now))
