"""The asset check over two symbols' stored minutes, and the rows that it leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from btc_pipeline.market.basis import BasisRule, Comparison
from btc_pipeline.market.candles import Candles, Scale, minute_candles
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.pipeline.checks import CheckReport
from btc_pipeline.pipeline.cross_check import check_cross
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline.storage.times import to_datetime
from btc_pipeline_tests.pipeline.worlds import NOW, query

pytestmark = pytest.mark.timescale

SYMBOL, OTHER, THIRD = "BTC", "BTCUSDT.BINANCE", "BTCUSDT.BYBIT"
DAY = 29_700_000 // 1440
FIRST = DAY * 1440
DAYS = range(DAY, DAY + 3)
SCALE = Scale(1, 5)
PAIR = Comparison(SYMBOL, OTHER)
ROWS = (
    "SELECT (extract(epoch FROM start_time) / 60 - %s)::int AS first, (extract(epoch FROM end_time) / 60 - %s)::int, "
    "reason, payload ->> 'cross_check' AS against, resolved, resolved_at IS NOT NULL AS known_when "
    "FROM data_quality WHERE kind = 'anomaly' "
    "ORDER BY symbol, start_time, id"
)


def minutes(bps: dict[int, int], *, days: int = 3, scale: Scale = SCALE) -> Candles:
    """Closes 3 bps above 10,000, or as many as are said of minutes since FIRST."""
    time = FIRST + np.arange(days * 1440)
    close = np.full(len(time), 10_003.0)
    for minute, points in bps.items():
        close[minute] = 10_000.0 + points
    return minute_candles(scale, time, (close, close, close, close), np.ones(len(time)))


def store(database: Database, symbol: str, candles: Candles) -> Instrument:
    with database.arrow() as cursor:
        instrument = upsert_instrument(cursor, symbol, candles.scale)
        write_minutes(cursor, symbol, candles, status="confirmed", reason="test")
    return instrument


@pytest.fixture
def far(database: Database) -> Instrument:
    """Far from the other four times: too briefly, by day, and across each midnight."""
    other = minutes(dict.fromkeys(range(3 * 1440), 0), scale=Scale(2, 3))
    store(database, OTHER, other)
    runs = dict.fromkeys((700, 701, *range(800, 805), *range(1439, 1443)), 60) | dict.fromkeys(range(2870, 2890), -50)
    return store(database, SYMBOL, minutes(runs))


def check(database: Database, instrument: Instrument, days: range = DAYS, now: int = NOW) -> CheckReport:
    return check_cross(database, [PAIR], instrument, days, now)


def rows(database: Database) -> list[tuple[object, ...]]:
    return query(database, ROWS, FIRST, FIRST)


ALERTS = [
    (800, 805, "BTC is 60 bps above BTCUSDT.BINANCE (median 3 bps) for 5 minutes", OTHER, True, True),
    (1439, 1443, "BTC is 60 bps above BTCUSDT.BINANCE (median 3 bps) for 4 minutes", OTHER, True, True),
    (2870, 2890, "BTC is 50 bps below BTCUSDT.BINANCE (median 3 bps) for 20 minutes", OTHER, True, True),
]


def test_alerts_are_shown_and_recorded(database: Database, far: Instrument) -> None:
    report = check(database, far)
    assert (report.passed, report.summary) == (False, "3 alerts against BTCUSDT.BINANCE")
    assert report.problems == [
        {"against": OTHER, "start": to_datetime(FIRST + 800), "minutes": 5, "deviation_bps": 57.0},
        {"against": OTHER, "start": to_datetime(FIRST + 1439), "minutes": 4, "deviation_bps": 57.0},
        {"against": OTHER, "start": to_datetime(FIRST + 2870), "minutes": 20, "deviation_bps": -53.0},
    ]
    assert rows(database) == ALERTS


def test_however_the_days_are_cut_the_rows_are_the_same_and_are_written_once(
    database: Database, far: Instrument
) -> None:
    found = [check(database, far, range(day, day + 1)).summary for day in (DAY + 2, DAY, DAY + 1)]
    assert [text.split(" against")[0] for text in found] == ["1 alerts", "2 alerts", "2 alerts"]
    assert rows(database) == ALERTS
    versions = query(database, "SELECT ctid::text, xmin::text FROM data_quality ORDER BY id")
    check(database, far)
    check(database, far, range(DAY + 1, DAY + 2))
    assert query(database, "SELECT ctid::text, xmin::text FROM data_quality ORDER BY id") == versions


def test_an_alert_that_goes_on_stays_open_until_it_is_seen_to_be_over(database: Database, far: Instrument) -> None:
    check(database, far, range(DAY, DAY + 1), now=FIRST + 803)
    assert rows(database) == [(800, 803, ALERTS[0][2].replace("5 minutes", "3 minutes"), OTHER, False, False)]
    check(database, far, range(DAY, DAY + 1), now=FIRST + 804)
    assert rows(database) == [(800, 804, ALERTS[0][2].replace("5 minutes", "4 minutes"), OTHER, False, False)]
    check(database, far, range(DAY, DAY + 1), now=FIRST + 806)
    assert rows(database) == ALERTS[:1]


def test_an_open_alert_whose_minutes_came_out_otherwise_is_resolved(database: Database, far: Instrument) -> None:
    check(database, far, range(DAY, DAY + 1), now=FIRST + 803)
    mended = minutes({}).take(slice(790, 900))
    store(database, SYMBOL, mended)
    assert check(database, far, range(DAY, DAY + 1), now=FIRST + 803).passed
    assert [row[-2:] for row in rows(database)] == [(True, True)]


def test_a_long_alert_is_followed_to_its_own_start_and_end(database: Database) -> None:
    rule = BasisRule(median_minutes=4_000)
    store(database, OTHER, minutes(dict.fromkeys(range(4 * 1440), 0), days=4))
    instrument = store(database, SYMBOL, minutes(dict.fromkeys(range(1000, 2800), 60), days=4))
    pair = replace(PAIR, rule=rule)
    for day in (DAY + 1, DAY, DAY + 1):
        assert not check_cross(database, [pair], instrument, range(day, day + 1), NOW).passed
    # Half of the minutes that the median is of are far then, and nearer ones are few for as long again.
    assert [row[:2] for row in rows(database)] == [(1000, 2000), (2800, 3600)]


def test_each_pair_is_checked_under_its_first_symbol(database: Database, far: Instrument) -> None:
    third = store(database, THIRD, minutes(dict.fromkeys(range(3 * 1440), 0)))
    pairs = [PAIR, Comparison(SYMBOL, THIRD), Comparison(THIRD, "ETH.NOWHERE")]
    report = check_cross(database, pairs, far, DAYS, NOW)
    assert report.summary == "6 alerts against BTCUSDT.BINANCE, BTCUSDT.BYBIT"
    assert len(rows(database)) == 6
    report = check_cross(database, pairs, third, DAYS, NOW)
    assert (report.passed, report.summary) == (
        True, "no alert against ETH.NOWHERE; nothing is stored of ETH.NOWHERE"
    )  # fmt: skip
    other = Instrument(OTHER, "BINANCE", "BTCUSDT", Scale(2, 3))
    assert check_cross(database, pairs, other, DAYS, NOW).summary == "compared under BTC"


def test_without_a_pair_it_passes_and_says_so(database: Database, far: Instrument) -> None:
    assert check_cross(database, [], far, DAYS, NOW) == CheckReport(True, "no pair is configured")
    assert rows(database) == []


def test_days_to_come_are_nothing_to_look_at(database: Database, far: Instrument) -> None:
    assert check(database, far, range(DAY + 1, DAY + 2), now=FIRST).passed
