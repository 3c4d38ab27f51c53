"""A hole that a skipped row left is not a hole that the source left."""

from __future__ import annotations

import pytest

from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline_tests.importing.files import START, START_MS, rows, write


def sparse() -> list[list[str]]:
    """Rows at minutes 0, 10, 20, ... and one at 71."""
    table = rows()
    for i, row in enumerate(table):
        row[0] = str(START_MS + (i * 10 + (i == 7)) * 60_000)
    return table


def doubtful(tmp_path, table):
    read = read_candle_file(write(tmp_path, table), skip_invalid=True)
    return [(start - START, end - START) for start, end in read.doubtful.pairs()]


def test_a_clean_file_leaves_no_doubt(tmp_path):
    assert doubtful(tmp_path, sparse()) == []


def test_a_bad_price_puts_its_own_minute_in_doubt(tmp_path):
    table = sparse()
    table[3][1] = "x"
    table[4][1] = "x"
    assert doubtful(tmp_path, table) == [(30, 31), (40, 41)]


@pytest.mark.parametrize("time", ["x", str(START_MS // 1000 + 1800), str(START_MS + 30 * 60_000 + 1), ""])
def test_a_time_that_cannot_be_trusted_puts_the_hole_around_it_in_doubt(time, tmp_path):
    table = sparse()
    table[3][0] = time
    assert doubtful(tmp_path, table) == [(21, 40)]


def test_a_misplaced_time_also_puts_the_minute_it_names_in_doubt(tmp_path):
    table = sparse()
    table[3][0] = str(START_MS + 55 * 60_000)
    assert doubtful(tmp_path, table) == [(21, 40), (55, 56)]


def test_broken_lines_put_the_hole_around_them_in_doubt(tmp_path):
    table = sparse()
    table[3] = ["1"]
    table[4] = table[4][:5]
    table[6][1] = "x"
    assert doubtful(tmp_path, table) == [(21, 50), (60, 61)]


def test_wrong_rows_at_the_ends_touch_nothing_within(tmp_path):
    table = sparse()
    table[0][0] = "x"
    table[7] = ["1"]
    assert doubtful(tmp_path, table) == []
