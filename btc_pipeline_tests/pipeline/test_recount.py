"""Both real years against a recount by hand: every bar, every average, every decision; then the fingerprint."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from btc_pipeline.market.intervals import Interval
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.pipeline.imports import import_candles
from btc_pipeline.pipeline.recount import recount_bars
from btc_pipeline.settings import load_settings
from btc_pipeline_tests.pipeline import recount_by_hand as by_hand
from btc_pipeline_tests.pipeline.worlds import NOW, SYMBOL, chain_of, day_of, fingerprint, query
from btc_pipeline_tests.real_data import DATA, needs_real_data

pytestmark = [needs_real_data, pytest.mark.timescale, pytest.mark.proof]

FILES = [DATA / f"bitfinex_btcusd_1m_{year}.csv.gz" for year in (2015, 2016)]
DAYS = range(day_of("2015-01-01"), day_of("2017-01-01"))
LENGTHS = {"37m": 37, "148m": 148, "1d": 1440}
ORIGINS = {"1w": by_hand.WEEK_START}
PERIODS = {"ma44": 44, "ma125": 125}

FINGERPRINT = {
    "candles": "e00edbb79171aa8ed6ef1122e929b50e",
    "indicators": "81d5e08f0c2be9f529c05dcc61aa2b57",
    "decisions": "fd4890b5e1010d3e51ef931104533844",
}
"""Of every candle, indicator and current decision of both years; pinned when all below agreed."""


@pytest.fixture(scope="module")
def chain(module_database) -> Chain:
    """Both years, imported and materialised as one range."""
    for path in FILES:
        instrument = import_candles(module_database, path, SYMBOL, vouch=True).instrument
    chain = chain_of(module_database, load_settings())
    chain.refresh(instrument, DAYS, NOW)
    return chain


@pytest.fixture(scope="module")
def instrument(chain):
    from btc_pipeline.storage.instruments import find_instrument

    with chain.database.arrow() as cursor:
        return find_instrument(cursor, SYMBOL)


@pytest.fixture(scope="module")
def history():
    return by_hand.read_history(FILES)


@pytest.fixture(scope="module")
def recounted(history):
    """Bars by interval name."""
    found = {}

    def bars(name):
        if name not in found:
            length = LENGTHS.get(name, 7 * 1440)
            found[name] = by_hand.bars_of(*history, length, ORIGINS.get(name, 0), DAYS.start * 1440, DAYS.stop * 1440)
        return found[name]

    return bars


@pytest.mark.parametrize("interval", [*LENGTHS, "1w"])
def test_every_stored_bar_equals_the_recount(chain, recounted, interval):
    stored = query(
        chain.database,
        "SELECT time, open, high, low, close, volume, minutes, quiet_minutes, expected_minutes, usable, "
        "quote_volume, taker_buy_volume, trades FROM candles WHERE interval = %s ORDER BY time",
        interval,
    )
    unit = by_hand.UNIT
    expected = [
        (
            moment(bar.time),
            *(ticks / unit for ticks in (bar.open, bar.high, bar.low, bar.close, bar.volume)),
            bar.minutes,
            bar.quiet,
            bar.expected,
            bar.usable,
            None,
            None,
            None,
        )
        for bar in recounted(interval)
    ]
    assert len(expected) > 90
    assert stored == expected


@pytest.mark.parametrize("interval", LENGTHS)
@pytest.mark.parametrize(("name", "period"), PERIODS.items())
def test_every_average_equals_the_recount(chain, recounted, interval, name, period):
    stored = query(
        chain.database,
        "SELECT time, value, settled FROM indicators WHERE interval = %s AND indicator_name = %s ORDER BY time",
        interval,
        name,
    )
    averages = by_hand.averages_of(recounted(interval), period)
    assert len(averages) > 100
    assert stored == [(moment(time), value, True) for time, value in averages.items()]


@pytest.mark.parametrize("interval", LENGTHS)
@pytest.mark.parametrize(("name", "period"), PERIODS.items())
def test_every_decision_equals_the_recount(chain, recounted, interval, name, period):
    bars = recounted(interval)
    stored = query(
        chain.database,
        "SELECT time, target, type, confidence, version, withdrawn, origin, indicator_snapshot::text, parameters::text "
        "FROM decisions WHERE interval = %s AND strategy = %s ORDER BY time, version",
        interval,
        name,
    )
    decided = by_hand.decisions_of(bars, period)
    assert [row[:7] for row in stored] == [
        (moment(time), one.target, one.type, one.confidence, 1, False, "backfill") for time, one in decided.items()
    ]
    closes = [bar.close / by_hand.UNIT for bar in bars]
    seen = [one.seen for one in decided.values()]
    assert [json.loads(row[7]) for row in stored] == [
        {"close": close, "ma": average} for close, average in zip(closes, seen, strict=True)
    ]
    assert {row[8] for row in stored} == {json.dumps({"period": period})}
    assert len({one.type for one in decided.values()}) >= 3


def test_quiet_and_missing_minutes_equal_the_recount(chain, history):
    minutes, quiet = history
    gaps = query(
        chain.database,
        "SELECT start_time, end_time FROM data_quality WHERE kind = 'gap' AND NOT resolved ORDER BY start_time",
    )
    stored = [m for start, end in gaps for m in range(epoch_minute(start), epoch_minute(end))]
    assert stored == [m for m in range(min(minutes), max(minutes) + 1) if m not in minutes and m not in quiet]


def test_duckdb_counts_the_bars_of_every_interval_as_they_are_stored(chain, instrument):
    for asset in chain.catalogue.bars:
        report = recount_bars(chain.database, instrument, asset.intervals, DAYS, chain.rule, NOW)
        assert report.passed, (asset.name, report)
    stored = {name for (name,) in query(chain.database, "SELECT DISTINCT interval FROM candles")}
    assert stored == {"1m", *(i.name for asset in chain.catalogue.bars for i in asset.intervals)}
    assert Interval.parse("1M").name in stored


def test_both_years_have_their_fingerprint(chain):
    assert fingerprint(chain.database) == FINGERPRINT


def moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def epoch_minute(time: datetime) -> int:
    return int(time.timestamp()) // 60
