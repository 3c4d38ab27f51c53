"""Downloads from the replay exchange: every venue, its faults, and its own count of requests that came too soon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from btc_pipeline.downloading.errors import DownloadError
from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay import Fault, FaultKind
from btc_pipeline.storage.connection import Database
from btc_pipeline_tests.cli.environment import own_environment
from btc_pipeline_tests.downloading.fake_binance import SYMBOL
from btc_pipeline_tests.downloading.replayed import FIRST, NOW, Replayed, replaying
from btc_pipeline_tests.pipeline.worlds import query

pytestmark = pytest.mark.proof

PRICES = (
    "SELECT extract(epoch FROM time)::bigint / 60 AS minute, open, high, low, close, volume FROM candles "
    "WHERE symbol = %s ORDER BY time"
)


@pytest.fixture
def replayed(tmp_path: Path) -> Iterator[Replayed]:
    with own_environment(tmp_path), replaying() as one:
        yield one


def minutes(database: Database, symbol: str = SYMBOL) -> list[int]:
    return [row[0] for row in query(database, PRICES, symbol)]


def test_two_venues_of_one_market_end_in_the_same_minutes(
    replayed: Replayed, database: Database, tmp_path: Path
) -> None:
    binance = replayed.download(database, tmp_path, SYMBOL)
    assert binance.archive.stored
    assert minutes(database) == list(range(FIRST, NOW))
    bybit = replayed.download(database, tmp_path, "BTCUSDT.BYBIT")
    assert bybit.archive.stored == []
    assert query(database, PRICES, "BTCUSDT.BYBIT") == query(database, PRICES, SYMBOL)
    assert (binance.gaps, bybit.gaps) == ({}, {})
    assert replayed.too_soon() == 0


def test_bybit_is_not_asked_for_years_in_which_it_had_nothing(
    replayed: Replayed, database: Database, tmp_path: Path
) -> None:
    replayed.download(database, tmp_path, "BTCUSDT.BYBIT", FIRST - 3 * 366 * 1440)
    assert minutes(database, "BTCUSDT.BYBIT") == list(range(FIRST, NOW))
    assert query(database, "SELECT reason FROM data_quality WHERE kind = 'gap'") == []
    assert sum(replayed.asked("BYBIT").values()) < 100


def test_hyperliquid_gives_its_newest_minutes_and_that_is_said(
    replayed: Replayed, database: Database, tmp_path: Path
) -> None:
    report = replayed.download(database, tmp_path, "cbBTC")
    assert report.symbol == "BTC"
    (note,) = report.notes
    assert note.startswith(
        "HYPERLIQUID gives only its newest 5,000 minutes, from 2025-01-03 18:41 UTC on: what is older"
    )
    assert minutes(database, "BTC") == list(range(NOW - 4_999, NOW))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.RATE_LIMIT, seconds=45, value=20),
        Fault(FaultKind.BANNED, seconds=100, value=90),
        Fault(FaultKind.BAD_GATEWAY, seconds=4),
        Fault(FaultKind.SERVER_ERROR, seconds=4),
        Fault(FaultKind.REFUSE, seconds=4),
        Fault(FaultKind.CUT_REST, seconds=4),
        Fault(FaultKind.CUT_ARCHIVE, seconds=4),
        Fault(FaultKind.HTML_ARCHIVE, seconds=4),
        Fault(FaultKind.OTHER_HEADER, seconds=1e6),
        Fault(FaultKind.LATE_ARCHIVE, seconds=1e6, value=1e6),
    ],
    ids=lambda fault: str(fault.kind),
)
def test_faults_are_waited_out_and_no_request_comes_too_soon(
    replayed: Replayed, database: Database, tmp_path: Path, fault: Fault
) -> None:
    replayed.inject_after(4, fault)
    report = replayed.download(database, tmp_path, SYMBOL)
    assert minutes(database) == list(range(FIRST, report.end))
    assert replayed.too_soon() == 0


def test_the_same_again_fetches_no_file(replayed: Replayed, database: Database, tmp_path: Path) -> None:
    replayed.download(database, tmp_path, SYMBOL)
    fetched = replayed.asked("BINANCE")["archive"]
    assert fetched == 6
    replayed.download(database, tmp_path, SYMBOL)
    assert replayed.asked("BINANCE")["archive"] == fetched


def test_a_file_that_is_issued_again_is_fetched_and_its_differences_kept(
    replayed: Replayed, database: Database, tmp_path: Path
) -> None:
    replayed.download(database, tmp_path, SYMBOL)
    replayed.inject(Fault(FaultKind.REISSUED, seconds=1e6))
    report = replayed.download(database, tmp_path, SYMBOL)
    assert report.replaced == len(report.archive.reissued) == 6
    reasons = query(database, "SELECT DISTINCT left(reason, 32) AS reason FROM candle_revisions ORDER BY 1")
    assert reasons[0] == ("archive file BTCUSDT-1m-2024-12.",)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FaultKind.WRONG_CHECKSUM, "it was fetched twice and not taken"),
        (FaultKind.SHORT_ARCHIVE, "ends in the middle"),
        (FaultKind.MIXED_UNITS, "a file has one unit"),
        (FaultKind.HTML_ARCHIVE, "answered a web page"),
        (FaultKind.CUT_ARCHIVE, "What is stored stays"),
    ],
)
def test_a_file_that_stays_wrong_is_refused_in_words(
    replayed: Replayed, database: Database, tmp_path: Path, kind: FaultKind, words: str
) -> None:
    replayed.inject(Fault(kind, seconds=1e6))
    with pytest.raises((DownloadError, UserError), match=words) as refused:
        replayed.download(database, tmp_path, SYMBOL)
    assert "\n" not in str(refused.value)
    assert len(minutes(database)) < 1440, "of the first file, which is within one unit"
    replayed.clear_faults()
    report = replayed.download(database, tmp_path, SYMBOL)
    assert minutes(database) == list(range(FIRST, report.end))
