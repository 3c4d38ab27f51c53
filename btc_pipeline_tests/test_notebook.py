"""What a notebook sees: types, labels, what was known when, and words for mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import btc_pipeline
from btc_pipeline import load_candles, load_decisions
from btc_pipeline.errors import UserError
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.settings import load_settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import upsert_instrument
from btc_pipeline_tests.cli.environment import database_variables, own_environment, small_pipeline
from btc_pipeline_tests.defs.worlds import DAYS, FIRST, HOLE, SCALE, SYMBOL, edit_minute, made_minutes, store

NOW = 30_000_000
QUIET = "BTCUSDT.BINANCE"
UTC_MICROSECONDS = pd.DatetimeTZDtype("us", "UTC")


def chain(database: Database) -> Chain:
    settings = load_settings()
    return Chain(database, build_catalogue(settings), settings.rule)


@pytest.fixture(scope="module")
def world(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Four days of one symbol, materialised; another symbol without any row. Tests only read it, but for one."""
    folder: Path = tmp_path_factory.mktemp("notebook")
    with own_environment(folder):
        import os

        os.environ.update(small_pipeline(folder))
        os.environ.update(database_variables(module_database.uri))
        store(module_database, SYMBOL, made_minutes(FIRST, DAYS, without=HOLE))
        with module_database.arrow() as cursor:
            instrument = upsert_instrument(cursor, SYMBOL, SCALE)
            upsert_instrument(cursor, QUIET, SCALE)
        chain(module_database).refresh(instrument, range(FIRST, FIRST + DAYS), NOW)
        yield module_database


@pytest.mark.parametrize("interval", ["37m", "41m"])
@pytest.mark.parametrize("symbol", [SYMBOL, QUIET])
def test_candles_have_the_same_types_with_rows_and_without(world: Database, symbol: str, interval: str) -> None:
    frame = load_candles(symbol, interval, database=world)
    assert (len(frame) > 0) == (symbol == SYMBOL)
    assert frame.attrs == {"feed": "live"}
    assert frame.index.name == "time"
    assert frame.index.dtype == UTC_MICROSECONDS
    assert frame.index.is_monotonic_increasing
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "open": "float64",
        "high": "float64",
        "low": "float64",
        "close": "float64",
        "volume": "float64",
        "quote_volume": "float64",
        "taker_buy_volume": "float64",
        "trades": "Int64",
        "minutes": "int32",
        "quiet_minutes": "int32",
        "expected_minutes": "int32",
        "usable": "bool",
    }


def test_an_interval_that_is_not_stored_is_made_from_the_minutes(world: Database) -> None:
    minutes = load_candles(SYMBOL, "1m", database=world)
    made = load_candles(SYMBOL, "41m", database=world)
    by_hand = minutes.groupby(minutes.index.floor("41min")).agg({"open": "first", "high": "max", "close": "last"})
    pd.testing.assert_frame_equal(made[["open", "high", "close"]], by_hand, check_freq=False)
    part = load_candles(SYMBOL, "41m", made.index[3], made.index[7], database=world)
    pd.testing.assert_frame_equal(part, made.iloc[3:7])


@pytest.mark.parametrize("symbol", [SYMBOL, QUIET])
def test_decisions_have_the_same_types_with_rows_and_without(world: Database, symbol: str) -> None:
    frame = load_decisions(symbol, "37m", database=world)
    assert (len(frame) > 0) == (symbol == SYMBOL)
    assert frame.index.dtype == frame["recorded_at"].dtype == UTC_MICROSECONDS
    assert str(frame["target"].dtype) == "Int64"
    assert str(frame["confidence"].dtype) == "float64"
    assert list(frame.columns) == [
        "strategy",
        "parameters",
        "version",
        "target",
        "type",
        "confidence",
        "reasons",
        "indicator_snapshot",
        "origin",
        "recorded_at",
        "warmed",
    ]


def test_minutes_are_the_stored_ones(world: Database) -> None:
    frame = load_candles(SYMBOL, database=world)
    made = made_minutes(FIRST, DAYS, without=HOLE)
    assert np.array_equal(frame.index.astype("int64") // 60_000_000, made.time)
    assert np.array_equal(frame["close"], made.close)
    assert np.array_equal(frame["volume"], made.volume)
    assert frame["trades"].isna().all()
    assert frame["quote_volume"].isna().all()


def test_a_window_is_half_open_and_utc_where_no_zone_is_given(world: Database) -> None:
    day = load_candles(SYMBOL, "1m", "2016-01-02", "2016-01-03", database=world)
    assert (str(day.index[0]), str(day.index[-1])) == ("2016-01-02 00:00:00+00:00", "2016-01-02 23:59:00+00:00")
    berlin = timezone(timedelta(hours=1))
    same = load_candles(SYMBOL, "1m", datetime(2016, 1, 2, 1, tzinfo=berlin), datetime(2016, 1, 3), database=world)
    pd.testing.assert_frame_equal(day, same)
    zoned = load_candles(SYMBOL, "1m", "2016-01-02T01:00+01:00", "2016-01-03T00:00Z", database=world)
    pd.testing.assert_frame_equal(day, zoned)


@pytest.mark.parametrize(("interval", "minutes"), [("37m", 37), ("5m", 5), ("1m", 1)])
def test_right_labels_are_closes_and_change_nothing_else(world: Database, interval: str, minutes: int) -> None:
    left = load_candles(SYMBOL, interval, "2016-01-02", "2016-01-03", database=world)
    right = load_candles(SYMBOL, interval, "2016-01-02", "2016-01-03", align="right", database=world)
    assert right.index.dtype == UTC_MICROSECONDS
    assert right.index.name == "time"
    assert (right.index - left.index == pd.Timedelta(minutes=minutes)).all()
    pd.testing.assert_frame_equal(left.reset_index(drop=True), right.reset_index(drop=True))
    assert len(load_candles(QUIET, interval, align="right", database=world)) == 0


def test_an_alias_and_another_spelling_of_an_interval_are_understood(world: Database) -> None:
    assert len(load_candles(SYMBOL, "5m", database=world)) > 0
    with pytest.raises(UserError, match="has no data here"):
        load_candles("cbBTC", "5m", database=world)


def test_as_of_is_what_was_known_then(world: Database) -> None:
    early = datetime(2016, 1, 1, tzinfo=UTC)
    assert load_decisions(SYMBOL, "37m", as_of=early, database=world).empty, "nothing was recorded by then"
    before = load_decisions(SYMBOL, "37m", database=world)
    known = before["recorded_at"].max()

    # The close of a bar moves far up: that bar and those whose averages hold it are decided anew.
    bar = before.index[60]
    minute = int(bar.timestamp()) // 60 + 36
    lifted = made_minutes(minute // 1440, 1)
    with world.rows() as connection:
        connection.execute(
            "UPDATE candles SET high = high * 2, close = close * 2 "
            "WHERE symbol = %s AND interval = '1m' AND time = to_timestamp(%s)",
            (SYMBOL, minute * 60),
        )
    assert len(lifted)
    edit_minute(world, minute)
    with world.arrow() as cursor:
        instrument = upsert_instrument(cursor, SYMBOL, SCALE)
    chain(world).refresh(instrument, range(FIRST, FIRST + DAYS), NOW)

    now = load_decisions(SYMBOL, "37m", database=world)
    assert list(now.index) == list(before.index)
    changed = now[now["version"] == 2]
    assert bar in changed.index
    assert 0 < len(changed) <= 6
    assert set(changed["origin"]) == {"repair"}
    assert changed["recorded_at"].min() > known
    pd.testing.assert_frame_equal(load_decisions(SYMBOL, "37m", as_of=known, database=world), before)
    pd.testing.assert_frame_equal(load_decisions(SYMBOL, "37m", as_of=known.to_pydatetime(), database=world), before)


def test_decisions_carry_what_they_saw(world: Database) -> None:
    frame = load_decisions(SYMBOL, "37m", "2016-01-03", strategy="ma", database=world)
    bars = load_candles(SYMBOL, "37m", "2016-01-03", database=world)
    row = frame.iloc[-1]
    assert json.loads(row["parameters"]) == {"period": 5}
    seen = json.loads(row["indicator_snapshot"])
    assert seen.pop("close") == bars["close"].loc[frame.index[-1]]
    (average,) = seen.values()
    assert average == pytest.approx(bars["close"].loc[: frame.index[-1]].tail(5).mean())
    assert row["reasons"]


@pytest.mark.parametrize(
    ("arguments", "options", "field", "words"),
    [
        (("BTCUSD.BITFINX",), {}, "symbol", "Did you mean BTCUSD.BITFINEX?"),
        (("bitcoin",), {}, "symbol", "is not valid: use BTC"),
        ((SYMBOL, "0m"), {}, "interval", "interval '0m' is unknown"),
        ((SYMBOL, "37m", "yesterday-ish"), {}, "start", "start 'yesterday-ish' is not a time: write 2016-01-31"),
        ((SYMBOL, "37m", "NaT"), {}, "start", "start 'NaT' is not a time"),
        ((SYMBOL, "37m", None, "12016-01-01"), {}, "end", "end '12016-01-01' is not a time"),
        ((SYMBOL, "37m", "2016-01-02", "2016-01-01"), {}, "start", "is not before end"),
        ((SYMBOL, "37m"), {"align": "middle"}, "align", "align 'middle' is neither 'left' nor 'right'."),
    ],
)
def test_mistakes_are_told_in_words(
    world: Database, arguments: tuple[str, ...], options: dict[str, str], field: str, words: str
) -> None:
    with pytest.raises(UserError) as refused:
        load_candles(*arguments, **options, database=world)
    assert refused.value.field == field
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_strategy_is_unknown_unless_there_are_decisions_of_it(world: Database) -> None:
    assert load_decisions(SYMBOL, "37m", strategy="ma44", database=world).empty, "known, though nothing runs it"
    with pytest.raises(UserError, match=r"strategy 'ma4' is unknown: did you mean ma44\?"):
        load_decisions(SYMBOL, "37m", strategy="ma4", database=world)
    with world.rows() as connection:
        connection.execute(
            'INSERT INTO decisions SELECT (jsonb_populate_record(d, \'{"strategy": "gone"}\')).* FROM decisions d '
            "WHERE strategy = 'ma' ORDER BY time LIMIT 2"
        )
        try:
            connection.commit()
            assert len(load_decisions(SYMBOL, "37m", strategy="gone", database=world)) > 0
            assert load_decisions(SYMBOL, "1h", strategy="gone", database=world).empty
        finally:
            connection.execute("DELETE FROM decisions WHERE strategy = 'gone'")


def test_a_wrong_as_of_is_told_in_words(world: Database) -> None:
    with pytest.raises(UserError, match="as_of 'then' is not a time"):
        load_decisions(SYMBOL, as_of="then", database=world)


def test_without_a_database_the_settings_own_is_used(world: Database) -> None:
    pd.testing.assert_frame_equal(load_candles(SYMBOL, "37m"), load_candles(SYMBOL, "37m", database=world))


def test_the_package_offers_both_and_nothing_by_accident() -> None:
    assert set(btc_pipeline.__all__) == {"backtest", "load_candles", "load_decisions"}
    with pytest.raises(AttributeError, match="no attribute 'load_bars'"):
        _ = btc_pipeline.load_bars  # type: ignore[attr-defined]


def test_a_backtest_is_frames_and_figures_and_stores_nothing(world: Database) -> None:
    from btc_pipeline import backtest

    order = ("37m", "2016-01-01", "2016-01-05")
    result = backtest(SYMBOL, *order, strategy="ma", period=5, direction="long", database=world)  # type: ignore[operator]
    assert result.id is None
    assert result.trades.index.name == "number"
    assert set(result.trades["side"]) == {1}
    assert result.trades["entry_time"].dtype == UTC_MICROSECONDS
    assert (len(result.equity), result.equity.index.dtype) == (DAYS + 1, UTC_MICROSECONDS)
    assert result.equity["equity"].iloc[-1] == result.metrics.final_equity
    assert result.configuration["parameters"] == {"period": 5}
    assert repr(result).startswith(f"{SYMBOL} 37m ma 2016-01-01 to 2016-01-05\ntotal_return ")
    assert stored_runs(world) == 0

    kept = backtest(  # type: ignore[operator]
        SYMBOL, *order, strategy="ma", parameters={"period": 5}, direction="long", store=True, database=world
    )
    assert (kept.id is None, kept.from_store, stored_runs(world)) == (False, False, 1)
    pd.testing.assert_frame_equal(kept.trades, result.trades)
    pd.testing.assert_frame_equal(kept.equity, result.equity)
    assert kept.report == result.report
    again = backtest(SYMBOL, *order, strategy="ma", period=np.int64(5), direction="long", store=True, database=world)  # type: ignore[operator]
    assert (again.id, again.from_store) == (kept.id, True)


def test_a_backtest_takes_moments_at_midnight(world: Database) -> None:
    from btc_pipeline import backtest

    days = ("2016-01-01", "2016-01-05")
    wanted = backtest(SYMBOL, "37m", *days, strategy="ma", period=5, database=world)  # type: ignore[operator]
    for zone, hour in ((None, 0), ("UTC", 0), ("Asia/Tokyo", 9)):
        moments = [pd.Timestamp(f"{day} {hour:02}:00", tz=zone) for day in days]
        made = backtest(SYMBOL, "37m", *moments, strategy="ma", period=5, database=world)  # type: ignore[operator]
        assert made.configuration == wanted.configuration


def test_a_backtests_mistakes_have_words(world: Database) -> None:
    from btc_pipeline import backtest

    for name, words in (
        ("perid", "perid is neither an option nor a parameter of ma: did you mean period?"),
        ("fee_bps", "fee_bps is neither an option nor a parameter of ma: did you mean taker_fee_bps?"),
        ("zzz", "zzz is neither an option nor a parameter of ma: its parameters are period."),
    ):
        with pytest.raises(UserError) as refused:
            backtest(SYMBOL, "37m", "2016-01-01", strategy="ma", database=world, **{name: 5})  # type: ignore[operator]
        assert str(refused.value) == words
    with pytest.raises(UserError, match="strategy ma44: parameter 'period' is unknown"):
        backtest(SYMBOL, "37m", "2016-01-01", period=45, database=world)  # type: ignore[operator]
    with pytest.raises(UserError, match=r"start 2016-01-01 12:00:00 is not the begin of a day"):
        backtest(SYMBOL, "37m", pd.Timestamp("2016-01-01 12:00"), database=world)  # type: ignore[operator]
    with pytest.raises(UserError, match="start 'x' is not a date"):
        backtest(SYMBOL, "37m", "x", database=world)  # type: ignore[operator]
    with pytest.raises(UserError, match="notional 500 and size 1 exclude each other"):
        backtest(SYMBOL, "37m", "2016-01-01", notional=500, size=1, database=world)  # type: ignore[operator]
    with pytest.raises(UserError, match="above leverage 1 x capital 400: use 400 at most"):
        backtest(SYMBOL, "37m", "2016-01-01", notional=500, capital=400, database=world)  # type: ignore[operator]


def test_backtest_is_the_function_whatever_was_imported_first() -> None:
    for first in ("", "import btc_pipeline.backtest.account", "from btc_pipeline.backtest.engine import ExitReason"):
        script = (
            f"{first}\nfrom btc_pipeline import backtest\nassert callable(backtest)\nimport btc_pipeline.backtest.fees"
        )
        subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[1], timeout=60)


def stored_runs(database: Database) -> int:
    with database.rows() as connection:
        row = connection.execute("SELECT count(*) AS n FROM backtest_runs").fetchone()
    assert row is not None
    return int(row["n"])
