"""Every way in which a row can be wrong: refused with row, column and value, or skipped when asked."""

from __future__ import annotations

import pytest

from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline_tests.importing.files import HEADER, START, START_MS, error_of, rows, spoilt, write

# (what, column, value, what the message says after the value); always in the row of line 5
CELLS = [
    ("text in a number", "open", "abc", "is not a number"),
    ("decimal comma in quotes", "open", '"1.5x"', "is not a number"),
    ("hexadecimal", "open", "0x10", "is not a number"),
    ("underscore", "open", "1_0", "is not a number"),
    ("digits of another script", "open", "١٠٠", "is not a number"),
    ("empty field", "close", "", "is an empty field"),
    ("only blanks", "close", "  ", "is an empty field"),
    ("nan", "low", "NaN", "is not a finite number"),
    ("infinity", "high", "inf", "is not a finite number"),
    ("minus infinity", "low", "-Infinity", "is not a finite number"),
    ("beyond doubles", "high", "1e999", "is beyond every number that can be stored"),
    ("below doubles", "volume", "1e-400", "is too close to zero to be stored"),
    ("price zero", "low", "0", "is not a price; prices are above 0"),
    ("price below zero", "low", "-5.5", "is not a price; prices are above 0"),
    ("negative volume", "volume", "-0.1", "is negative; volume is 0 or more"),
    ("high below low", "high", "7.1", "is below low '102.75'"),
    ("high below open", "high", "103", "is below open '103.5'"),
    ("high below close", "high", "103.75", "is below close '104'"),
    ("low above open", "low", "103.75", "is above open '103.5'"),
    ("low above close", "low", "104.25", "is above open '103.5'"),
    ("more than 15 digits", "open", "103.5000000000000227", "has 19 significant digits; at most 15"),
    ("16 digits", "volume", "0.1234567890123456", "has 16 significant digits"),
    ("16 digits with exponent", "volume", "1.234567890123456e-1", "has 16 significant digits"),
    ("too fine for the rest", "low", "0.0000000000001", "has 13 decimals; beside the other rows' values"),
    ("too large for the rest", "high", "10000000000000000", "has 17 significant digits"),
    ("too large at the common scale", "high", "10000000000000.5", "has 14 digits before the point"),
    ("time is text", "time", "abc", "is not a time; write ISO 8601"),
    ("time is empty", "time", "", "is not a time"),
    ("time is hexadecimal", "time", "0x18cc251f400", "is not a time"),
    ("time of no calendar", "time", "2024-02-30T00:00:00Z", "is not a time"),
    ("time within a minute", "time", str(START_MS + 180_001), "is not on a whole minute"),
    ("time in seconds", "time", str(START_MS // 1000 + 180), "is in seconds, the other rows are in milliseconds"),
    ("time in µs", "time", str((START_MS + 180_000) * 1000), "is in microseconds, the other rows are in milliseconds"),
    ("time in ISO 8601", "time", "2024-01-01T00:03:00Z", "is in ISO 8601 with an offset, the other rows are in milli"),
    ("time before Bitcoin", "time", "1230767940000", "(2008-12-31T23:59Z) is before 2009"),
    ("time below zero", "time", "-60000", "is in seconds, the other rows"),
    ("time in the future", "time", "4102444800000", "(2100-01-01T00:00Z) is in the future"),
    ("duplicate time", "time", str(START_MS + 120_000), "is a duplicate: row 4 has the same time"),
    ("earlier time", "time", str(START_MS - 60_000), "is earlier than that of row 4 before it"),
    ("later time", "time", str(START_MS + 6_000_000), "is later than that of row 6 after it"),
]  # fmt: skip
IDS = [what.replace(" ", "-") for what, *_ in CELLS]


@pytest.mark.parametrize(("what", "column", "value", "problem"), CELLS, ids=IDS)
def test_a_wrong_cell_is_named_with_row_column_and_value(what, column, value, problem, tmp_path):
    message = error_of(write(tmp_path, spoilt(3, column, value)))
    shown = value.strip().strip('"')
    assert f"row 5, column {column}: {shown!r} {problem}" in message
    assert "candles.csv" in message
    assert "more row" not in message
    assert "--skip-invalid" in message


@pytest.mark.parametrize(("what", "column", "value", "problem"), CELLS, ids=IDS)
def test_a_wrong_cell_can_be_skipped_and_every_other_row_stays(what, column, value, problem, tmp_path):
    table = spoilt(3, column, value)
    read = read_candle_file(write(tmp_path, table), skip_invalid=True)
    assert read.minutes.time.tolist() == [START + i for i in range(8) if i != 3]
    assert read.rows_read == 8
    [error] = read.skipped
    assert (error.row, error.column, error.raw) == (5, column, ",".join(table[3]))
    assert problem.split(" is ")[-1] in error.problem


def test_the_message_counts_the_other_wrong_rows(tmp_path):
    table = rows()
    table[3][2] = "7.1"
    table[5][1] = "x"
    table[6][5] = "-1"
    assert "row 5, column high: '7.1' is below low '102.75' (and 2 more rows)" in error_of(write(tmp_path, table))
    table[6][5] = "1"
    assert "(and 1 more row)" in error_of(write(tmp_path, table))


def test_a_row_with_two_faults_is_one_wrong_row(tmp_path):
    table = rows()
    table[3] = ["x", "y", "z", "", "-1", "-1"]
    message = error_of(write(tmp_path, table))
    assert "row 5, column time: 'x'" in message
    assert "more row" not in message


@pytest.mark.parametrize(
    ("line", "column", "value", "problem"),
    [
        (["1704067380000", "1", "1", "1", "1"], "volume", "", "is missing: the row has 5 of 6 fields"),
        (["1704067380000"], "open", "", "is missing: the row has 1 of 6 fields"),
        (["1704067380000", "1", "1", "1", "1", "1", "9"], "7", "9", "is one field too many: the row has 7, 6 belong"),
        (["1704067380000", '"1', '5"', "1", "1", "1", "1"], "7", "1", "is one field too many"),
    ],
)
def test_a_row_with_a_wrong_number_of_fields(line, column, value, problem, tmp_path):
    table = rows()
    table[3] = line
    table[6][1] = "x"
    path = write(tmp_path, table)
    message = error_of(path)
    assert f"row 5, column {column}: {value!r} {problem}" in message
    assert "(and 1 more row)" in message
    read = read_candle_file(path, skip_invalid=True)
    assert [(e.row, e.raw) for e in read.skipped] == [(5, ",".join(line)), (8, ",".join(table[6]))]
    assert len(read.minutes) == 6
    assert read.rows_read == 8


def test_a_broken_line_behind_another_fault_is_counted_and_not_named_first(tmp_path):
    table = rows()
    table[2][1] = "x"
    table[6] = ["1"]
    assert "row 4, column open: 'x' is not a number; write decimals as 43251.07 (and 1 more row)" in error_of(
        write(tmp_path, table)
    )


def test_bytes_that_are_no_utf8_are_a_wrong_cell(tmp_path):
    path = write(tmp_path, spoilt(3, "close", "1§4"))
    path.write_bytes(path.read_bytes().replace("§".encode(), b"\xff"))
    assert "row 5, column close: '1�4' is not UTF-8 text" in error_of(path)
    assert [e.row for e in read_candle_file(path, skip_invalid=True).skipped] == [5]


def test_line_numbers_count_as_an_editor_does(tmp_path):
    table = rows()
    table[5][1] = "x"
    lines = [",".join(line) for line in [HEADER, *table]]
    path = tmp_path / "blank.csv"
    path.write_text("\n\n" + "\r\n".join(lines[:3]) + "\r\n\r\n   \r\n" + "\r\n".join(lines[3:]))
    # two blank lines, header 3, rows 4 and 5, two blank lines, rows 8 to 13
    assert "row 11, column open: 'x'" in error_of(path)
    [error] = read_candle_file(path, skip_invalid=True).skipped
    assert (error.row, error.raw) == (11, lines[6])


def test_one_time_far_ahead_is_one_wrong_row_and_not_all_that_follow(tmp_path):
    table = rows(100)
    table[10][0] = str(START_MS + 10_000_000 * 6)
    read = read_candle_file(write(tmp_path, table), skip_invalid=True)
    assert [e.row for e in read.skipped] == [12]


def test_a_wrong_row_does_not_make_its_neighbour_a_duplicate(tmp_path):
    table = rows()
    table[3][1] = "x"
    table[3][0] = table[4][0]
    read = read_candle_file(write(tmp_path, table), skip_invalid=True)
    assert [e.column for e in read.skipped] == ["open"]
    assert START + 4 in read.minutes.time


def test_the_scale_is_that_of_the_rows_that_stay(tmp_path):
    table = spoilt(3, "open", "103.50000001x")
    table[5][1] = "105.123"
    table[5][0] = table[4][0]
    read = read_candle_file(write(tmp_path, table), skip_invalid=True)
    assert len(read.skipped) == 2
    assert read.minutes.scale.price == 2


@pytest.mark.parametrize(("value", "problem"), [("1.5", "is not a whole number of trades"), ("-1", "is negative")])
def test_counts_of_trades(value, problem, tmp_path):
    table = [[*row, "3"] for row in rows()]
    table[3][6] = value
    assert f"row 5, column trades: {value!r} {problem}" in error_of(write(tmp_path, table, [*HEADER, "trades"]))


@pytest.mark.parametrize("value", ["1e2", "1.02e+2", "102.2500000000000000000", "+102.25", "0000000000000102.25"])
def test_unusual_spellings_that_are_exact_are_fine(value, tmp_path):
    table = spoilt(0, "high", value)
    table[0][1] = table[0][3] = table[0][4] = "99.5"
    read = read_candle_file(write(tmp_path, table))
    assert read.minutes.high[0] == float(value)
    assert read.minutes.scale.price == 2


def test_a_volume_of_1e_minus_05_is_fine_and_needs_five_decimals(tmp_path):
    read = read_candle_file(write(tmp_path, spoilt(3, "volume", "1e-05")))
    assert read.minutes.volume[3] == 0.00001
    assert read.minutes.scale.volume == 5


def test_quiet_rows_stay_rows(tmp_path):
    table = rows()
    table[3][1:] = ["103.5", "103.5", "103.5", "103.5", "0.00000000"]
    table[4][1:] = ["103.5", "103.5", "103.5", "103.5", "-0"]
    read = read_candle_file(write(tmp_path, table))
    assert len(read.minutes) == 8
    assert read.minutes.quiet_minutes.tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert str(read.minutes.volume[4]) == "0.0"


def test_a_minute_that_has_not_closed_is_refused(tmp_path):
    path = write(tmp_path, rows())
    assert len(read_candle_file(path, now=START + 8).minutes) == 8
    assert "row 9, column time" in error_of(path, now=START + 7)
