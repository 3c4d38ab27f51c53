"""Markets: the same minute is always the same row, and a file's rows are the file's."""

from __future__ import annotations

import numpy as np
import pytest

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay import MinuteRow, SyntheticMarket
from btc_pipeline.exchanges.replay.file_market import FileMarket, read_candles
from btc_pipeline.exchanges.replay.joint_market import JointMarket
from btc_pipeline.exchanges.replay.numbers import decimal_text
from btc_pipeline.market.candles import Candles, Scale, minute_candles
from btc_pipeline_tests.exchanges.replay.bench import MINUTE
from btc_pipeline_tests.real_data import DATA, binanceus_minutes, needs_real_data


def candles(rows: list[tuple[int, float, float]], trades: list[int] | None = None) -> Candles:
    """Rows of (minute, price, volume) that opened, stayed and closed at that price."""
    time, price, volume = (np.array(column) for column in zip(*rows, strict=True))
    prices = price.astype(np.float64)
    return minute_candles(
        Scale(2, 3),
        time.astype(np.int64),
        (prices, prices, prices, prices),
        volume.astype(np.float64),
        trades=None if trades is None else np.array(trades, dtype=np.int64),
    )


def test_a_made_up_market_needs_no_walk_and_is_a_function_of_seed_and_minute() -> None:
    minutes = [0, MINUTE, MINUTE + 10**6, MINUTE - 10**6]
    forwards = [SyntheticMarket(seed=1).minute("BTC", minute) for minute in minutes]
    market = SyntheticMarket(seed=1)
    assert [market.minute("BTC", minute) for minute in reversed(minutes)] == forwards[::-1]
    assert forwards != [SyntheticMarket(seed=2).minute("BTC", minute) for minute in minutes]
    assert None not in forwards


def test_a_made_up_market_is_pinned() -> None:
    """Whoever changes the recipe changes every demo and every seeded case: knowingly."""
    row = SyntheticMarket(seed=1).minute("BTC", MINUTE)
    assert row == PINNED


def test_a_made_up_market_has_possible_rows_and_moves_like_a_market() -> None:
    market = SyntheticMarket(seed=3)
    for coin in ("BTC", "ETH"):
        rows = [market.minute(coin, MINUTE + k) for k in range(3000)]
        moves = []
        before: MinuteRow | None = None
        for row in rows:
            assert row is not None
            assert row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high
            assert row.volume >= row.trades > 0
            assert before is None or abs(row.open / before.close - 1) < 0.001
            moves.append(abs(row.close / row.open - 1))
            before = row
        assert 0.0001 < np.median(moves) < 0.002
        assert max(moves) < 0.02


def test_a_share_of_minutes_is_empty_and_the_last_close_is_that_of_the_newest_traded_one() -> None:
    market = SyntheticMarket(seed=3, empty_share=0.3)
    rows = [market.minute("BTC", MINUTE + k) for k in range(2000)]
    assert 0.25 < rows.count(None) / len(rows) < 0.35
    last = None
    for k, row in enumerate(rows):
        if last is not None:
            assert market.last_close("BTC", MINUTE + k) == last
        last = row.close if row else last


@pytest.mark.parametrize("coin", ["btc", "", "B TC", "ÄTH"])
def test_a_made_up_coin_needs_a_name_that_could_be_one(coin: str) -> None:
    with pytest.raises(UserError, match="coin"):
        SyntheticMarket(coins=(coin,)) if coin else SyntheticMarket(coins=("BTC", "x"))


def test_an_impossible_empty_share_is_refused() -> None:
    with pytest.raises(UserError, match=r"empty share 1\.0"):
        SyntheticMarket(empty_share=1.0)


def test_a_file_is_served_at_its_own_times_or_moved() -> None:
    table = candles([(100, 5.25, 1.5), (101, 5.5, 2.0), (103, 6.0, 0.001)], trades=[7, 8, 1])
    own = FileMarket(table)
    assert own.minute("BTC", 101) == MinuteRow(101, 550, 550, 550, 550, 2000, 8)
    assert own.minute("BTC", 102) is None
    assert own.minute("BTC", 99) is own.minute("BTC", 104) is own.minute("ETH", 101) is None
    assert (own.last_close("BTC", 102), own.last_close("BTC", 100), own.last_close("BTC", 104)) == (550, None, None)
    moved = FileMarket(table, shift=1000)
    assert moved.minute("BTC", 1101) == MinuteRow(1101, 550, 550, 550, 550, 2000, 8)
    assert moved.minute("BTC", 101) is None
    assert (moved.first, moved.end) == (1100, 1104)
    assert (own.begins("BTC"), moved.begins("BTC"), FileMarket(table, repeat=True).begins("BTC")) == (100, 1100, 0)
    assert moved.last_close("BTC", 1102) == 550


def test_a_file_over_and_over_has_no_end_and_does_not_depend_on_when_it_was_begun() -> None:
    market = FileMarket(candles([(100, 5.25, 1.5), (101, 5.5, 2.0), (103, 6.0, 0.001)]), repeat=True)
    closes = [row.close if row else None for row in (market.minute("BTC", minute) for minute in range(96, 112))]
    assert closes == [525, 550, None, 600] * 4
    assert [market.last_close("BTC", minute) for minute in (99, 100, 102, 107)] == [550, 600, 550, 550]
    assert market.minute("BTC", 10**7) is not None


def test_minutes_of_a_file_without_a_count_of_trades_get_one() -> None:
    market = FileMarket(candles([(100, 5.25, 1.5), (101, 5.25, 0.0), (102, 5.25, 0.001)]))
    rows = [market.minute("BTC", minute) for minute in (100, 101, 102)]
    assert [row.trades if row else None for row in rows[1:]] == [0, 1]
    assert rows[0] is not None
    assert rows[0].trades > 3
    assert rows[0] == FileMarket(candles([(100, 5.25, 1.5)])).minute("BTC", 100)


def test_several_markets_are_one_and_the_first_part_wins() -> None:
    table = FileMarket(candles([(100, 5.25, 1.5)]))
    market = JointMarket([table, SyntheticMarket(coins=("BTC", "ETH"))])
    assert set(market.listings) == {"BTC", "ETH", "MATIC"}
    assert market.listings["BTC"].price_decimals == 2
    assert market.minute("BTC", 100) == table.minute("BTC", 100)
    assert market.minute("BTC", 101) is None
    assert market.minute("ETH", 101) is not None
    assert market.minute("NOPE", 101) is market.last_close("NOPE", 101) is None


@pytest.mark.parametrize(
    ("ticks", "decimals", "text"),
    [
        (841430, 1, "84143.0"),
        (36, 5, "0.00036"),
        (1427847, 5, "14.27847"),
        (200000, 5, "2.0"),
        (0, 5, "0.0"),
        (12, 0, "12.0"),
        (210, 2, "2.1"),
    ],
)
def test_decimals_are_written_as_the_exchange_writes_them(ticks: int, decimals: int, text: str) -> None:
    assert decimal_text(ticks, decimals) == text


@needs_real_data
def test_a_real_file_is_served_to_the_last_digit() -> None:
    table = read_candles(DATA / "binanceus_btcusdt_1m_2023-03.csv.gz")
    market = FileMarket(table)
    expected = binanceus_minutes()
    listing = market.listings["BTC"]
    rows = [market.minute("BTC", int(minute)) for minute in expected.time]
    for column in ("open", "high", "low", "close"):
        served = [float(decimal_text(getattr(row, column), listing.price_decimals)) for row in rows]
        assert served == getattr(expected, column).tolist()
    volumes = [float(decimal_text(row.volume, listing.volume_decimals)) for row in rows if row]
    assert volumes == expected.volume.tolist()
    assert all((row.trades == 0) == (row.volume == 0) for row in rows if row)


PINNED = MinuteRow(MINUTE, 816150, 816706, 815760, 816403, 22071, 45)
