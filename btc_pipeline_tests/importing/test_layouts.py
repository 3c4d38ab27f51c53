"""Which column is what: named, by header, or found out from the prices."""

from __future__ import annotations

import numpy as np
import pytest

from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline_tests.importing.files import HEADER, START, START_MS, error_of, rows, write


def in_order(*columns: str) -> list[list[str]]:
    """The valid rows with their columns in another order."""
    return [[row[HEADER.index(column)] for column in columns] for row in rows()]


BITFINEX = ("time", "open", "close", "high", "low", "volume")


@pytest.fixture
def expected(tmp_path):
    return read_candle_file(write(tmp_path, rows(), name="expected.csv")).minutes


def assert_same(read, expected):
    for column in ("time", *HEADER[1:]):
        assert np.array_equal(getattr(read.minutes, column), getattr(expected, column)), column
    assert read.minutes.scale == expected.scale


@pytest.mark.parametrize("layout", ["auto", "bitfinex"])
def test_bitfinex_order_without_a_header(layout, tmp_path, expected):
    read = read_candle_file(write(tmp_path, in_order(*BITFINEX), None), layout=layout)
    assert read.layout == "bitfinex"
    assert_same(read, expected)


@pytest.mark.parametrize("layout", ["auto", "ohlcv"])
def test_open_high_low_close_without_a_header(layout, tmp_path, expected):
    read = read_candle_file(write(tmp_path, rows(), None), layout=layout)
    assert read.layout == "ohlcv"
    assert_same(read, expected)


def test_a_wrong_row_does_not_hide_the_order(tmp_path):
    table = in_order(*BITFINEX)
    table[2][3] = "1"
    assert "row 3, column high: '1' is below low '101.75'" in error_of(write(tmp_path, table, None))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[t, "5", "5", "5", "5", "1"] for t, *_ in rows()], "every row is flat, so both orders fit"),
        (in_order("time", "high", "open", "low", "close", "volume"), "no row fits either order"),
        (in_order(*BITFINEX)[:4] + rows()[4:], "4 rows fit one order, 4 the other and 0 none"),
    ],
)
def test_prices_that_do_not_tell_the_order_ask_for_a_layout(table, reason, tmp_path):
    message = error_of(write(tmp_path, table, None))
    assert "cannot be told apart" in message
    assert reason in message
    assert "--layout" in message


def test_the_wrong_layout_is_refused(tmp_path):
    assert "column high" in error_of(write(tmp_path, in_order(*BITFINEX), None), layout="ohlcv")
    assert "(and 7 more rows)" in error_of(write(tmp_path, in_order(*BITFINEX), None), layout="ohlcv")


def test_a_flat_beginning_is_looked_past(tmp_path):
    flat = [[str(START_MS + i * 60_000), "5", "5", "5", "5", "0"] for i in range(3000)]
    moving = [str(START_MS + 3000 * 60_000), "5", "6", "7", "4", "1"]
    assert read_candle_file(write(tmp_path, [*flat, moving], None)).layout == "bitfinex"


def test_an_unknown_width_asks_for_a_header(tmp_path):
    assert "no layout without a header has 5 columns" in error_of(write(tmp_path, [r[:5] for r in rows()], None))


@pytest.mark.parametrize(
    "header",
    [
        ["Open Time", "Open", "High", "Low", "Close", "Volume"],
        ["timestamp", "o", "h", "l", "c", "v"],
        ["unix", "open_price", "high_price", "low_price", "close_price", "Volume_(BTC)"],
        ['"date"', '"open"', '"high"', '"low"', '"close"', '"vol"'],
        ["", "open", "high", "low", "close", "volume"],
    ],
)
def test_headers_are_recognised_by_many_names(header, tmp_path, expected):
    read = read_candle_file(write(tmp_path, rows(), header))
    assert read.layout == "header"
    assert_same(read, expected)


def test_columns_may_stand_in_any_order_among_others(tmp_path, expected):
    table = [["BTC/USD", "x y", *reversed(row), ""] for row in rows()]
    read = read_candle_file(write(tmp_path, table, ["symbol", "note", *reversed(HEADER), "unused"]))
    assert_same(read, expected)


def test_of_two_times_the_more_telling_one_is_read(tmp_path, expected):
    table = [[row[0], "whenever", *row[1:]] for row in rows()]
    assert_same(read_candle_file(write(tmp_path, table, ["unix", "date", *HEADER[1:]])), expected)


def test_a_message_uses_the_name_in_the_file(tmp_path):
    table = rows()
    table[3][5] = "x"
    assert "row 5, column Vol.: 'x'" in error_of(write(tmp_path, table, ["Date", *HEADER[1:5], "Vol."]))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(delimiter, tmp_path, expected):
    path = write(tmp_path, rows())
    path.write_text(path.read_text().replace(",", delimiter))
    assert_same(read_candle_file(path), expected)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_newlines_byte_order_mark_and_the_end_do_not_matter(newline, mark, end, tmp_path, expected):
    path = write(tmp_path, rows())
    text = (path.read_text().rstrip("\n") + end).replace("\n", newline)
    path.write_bytes(mark + text.encode())
    assert_same(read_candle_file(path), expected)


def test_quotes_and_blanks_around_fields(tmp_path, expected):
    path = write(tmp_path, [[f' "{cell}"' for cell in row] for row in rows()])
    path.write_text(path.read_text().replace('" ', '"'))
    assert_same(read_candle_file(path), expected)


def test_header_layout_needs_a_header(tmp_path):
    assert "row 1: no header with column names" in error_of(write(tmp_path, rows(), None), layout="header")


BINANCE_HEADER = [
    *("open_time", "open", "high", "low", "close", "volume", "close_time"),
    *("quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
]


def binance_rows(per_ms: int = 1) -> list[list[str]]:
    table = []
    for i, (time_ms, *numbers) in enumerate(rows()):
        close_time = (int(time_ms) + 60_000) * per_ms - 1
        written = [f"{float(number):.8f}" for number in numbers]
        rest = [str(close_time), f"{12.5 + i:.8f}", str(i), f"0.0{i}000000", "1.00000000", "0"]
        table.append([str(int(time_ms) * per_ms), *written, *rest])
    return table


@pytest.mark.parametrize("header", [None, BINANCE_HEADER])
@pytest.mark.parametrize(("per_ms", "unit"), [(1, "ms"), (1000, "us")])
@pytest.mark.parametrize("layout", ["auto", "binance"])
def test_binance_with_and_without_a_header_in_ms_and_us(header, per_ms, unit, layout, tmp_path, expected):
    read = read_candle_file(write(tmp_path, binance_rows(per_ms), header), layout=layout)
    assert (read.layout, read.time_unit) == ("binance", unit)
    assert np.array_equal(read.minutes.close, expected.close)
    assert read.minutes.quote_volume.tolist() == [12.5 + i for i in range(8)]
    assert read.minutes.trades.tolist() == list(range(8))
    assert read.minutes.taker_buy_volume[3] == 0.03
    assert (read.minutes.scale.price, read.minutes.scale.volume, read.minutes.scale.quote) == (2, 2, 1)


def test_a_quote_volume_of_too_many_digits_can_be_left_out(tmp_path):
    table = binance_rows()
    table[4][7] = "50123456.12345678"
    path = write(tmp_path, table, None)
    assert "row 5, column quote_volume: '50123456.12345678' has 16 significant digits" in error_of(path)
    assert "--layout binance-no-quote" in error_of(path)
    read = read_candle_file(path, layout="binance-no-quote")
    assert len(read.minutes) == 8
    assert np.isnan(read.minutes.quote_volume).all()
    assert read.minutes.trades.tolist() == list(range(8))


def test_absent_or_empty_optional_columns_are_unknown(tmp_path, expected):
    assert np.isnan(expected.quote_volume).all()
    assert (expected.trades == -1).all()
    read = read_candle_file(write(tmp_path, [[*row, ""] for row in rows()], [*HEADER, "quote_volume"]))
    assert np.isnan(read.minutes.quote_volume).all()
    some = [[*row, "1" if i else ""] for i, row in enumerate(rows())]
    assert "row 2, column trades: '' is an empty field" in error_of(write(tmp_path, some, [*HEADER, "trades"]))


@pytest.mark.parametrize(
    ("spell", "unit"),
    [
        (lambda m: str(m * 60), "s"),
        (lambda m: f"{m * 60}.0", "s"),
        (lambda m: str(m * 60_000), "ms"),
        (lambda m: str(m * 60_000_000), "us"),
        (lambda m: str(m * 60_000_000_000), "ns"),
        (lambda m: f"2024-01-01T00:{m - START:02}:00Z", "iso8601"),
        (lambda m: f"2024-01-01 00:{m - START:02}:00+00:00", "iso8601"),
        (lambda m: f"2024-01-01 01:{m - START:02}:00+01:00", "iso8601"),
        (lambda m: f"2024-01-01 00:{m - START:02}", "iso8601"),
        (lambda m: f"2024-01-01 00:{m - START:02}:00 UTC", "iso8601"),
        (lambda m: f"2024-01-01 00:{m - START:02}:00.000000000", "iso8601"),
    ],
)
def test_units_of_time(spell, unit, tmp_path, expected):
    table = [[spell(START + i), *row[1:]] for i, row in enumerate(rows())]
    read = read_candle_file(write(tmp_path, table))
    assert read.time_unit == unit
    assert_same(read, expected)


def test_a_lost_offset_is_another_unit(tmp_path):
    table = [[f"2024-01-01 00:0{i}:00+02:00", *row[1:]] for i, row in enumerate(rows())]
    table[3][0] = "2024-01-01 00:03:00"
    assert "row 5, column time: '2024-01-01 00:03:00' is in ISO 8601 without an offset" in error_of(
        write(tmp_path, table)
    )
