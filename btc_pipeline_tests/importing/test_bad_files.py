"""Files that are wrong as a whole: refused with what to do, also under skip_invalid."""

from __future__ import annotations

import gzip
import io
import random
import zipfile

import pytest

from btc_pipeline.errors import UnknownNameError, UserError
from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline_tests.importing.files import HEADER, START_MS, error_of, rows, write


def both_errors(path, **options):
    message = error_of(path, **options)
    assert error_of(path, skip_invalid=True, **options) == message
    assert path.name in message
    return message


def big_csv() -> bytes:
    generator = random.Random(1)
    lines = [
        f"{START_MS + i * 60_000},{100 + generator.random():.4f},200,50,101,{generator.random():.8f}"
        for i in range(3000)
    ]
    return "\n".join([",".join(HEADER), *lines]).encode()


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file(content, tmp_path):
    path = tmp_path / "empty.csv"
    path.write_bytes(content)
    assert "is empty" in both_errors(path)


def test_a_header_without_rows(tmp_path):
    assert "there is a header but not one row" in both_errors(write(tmp_path, []))


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
def test_a_truncated_gzip(kept, tmp_path):
    packed = gzip.compress(big_csv())
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(packed[: int(len(packed) * kept)])
    message = both_errors(path)
    assert "ends in the middle (truncated gzip): re-download it" in message


def test_a_gzip_with_a_flipped_bit(tmp_path):
    packed = bytearray(gzip.compress(big_csv()))
    packed[len(packed) // 2] ^= 4
    path = tmp_path / "bad.csv.gz"
    path.write_bytes(packed)
    assert "re-download it" in both_errors(path)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_a_truncated_zip(kept, tmp_path):
    packed = zip_of(("a.csv", big_csv()))
    path = tmp_path / "cut.zip"
    path.write_bytes(packed[: int(len(packed) * kept)])
    assert "ends in the middle (truncated zip): re-download it" in both_errors(path)


def test_a_zip_with_a_flipped_bit(tmp_path):
    packed = bytearray(zip_of(("a.csv", big_csv())))
    packed[len(packed) // 2] ^= 4
    path = tmp_path / "bad.zip"
    path.write_bytes(packed)
    assert "re-download it" in both_errors(path)


def zip_of(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("members", "found"), [([], "0 .csv files among 0"), (["a.txt"], "0 .csv files among 1"), (["a.csv", "b.csv"], "2")]
)
def test_a_zip_must_hold_one_csv(members, found, tmp_path):
    path = tmp_path / "several.zip"
    path.write_bytes(zip_of(*((name, big_csv()) for name in members)))
    message = both_errors(path)
    assert f"holds {found}" in message
    assert "exactly one .csv" in message


@pytest.mark.parametrize("start", [b"\x89PNG\r\n\x1a\n\x00", b"\x00\x01", b"\x28\xb5\x2f\xfd\xff", b"BZh9\xff\xfe"])
def test_binary_junk(start, tmp_path):
    path = tmp_path / "junk.csv"
    path.write_bytes(start + random.Random(1).randbytes(5000))
    assert "is not a text file" in both_errors(path)


def test_random_bytes_never_pass(tmp_path):
    generator = random.Random(2)
    path = tmp_path / "junk.csv"
    for size in (1, 2, 3, 5, 10, 100, 10_000):
        for _ in range(20):
            path.write_bytes(generator.randbytes(size))
            error_of(path, skip_invalid=True)


def test_utf_16(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(write(tmp_path, rows()).read_text(), encoding="utf-16")
    assert "is UTF-16 text: save it as UTF-8" in both_errors(path)


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    assert "cannot be read" in error_of(tmp_path / "none.csv")
    assert "cannot be read" in error_of(tmp_path)


def test_a_damaged_parquet_file(tmp_path):
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"PAR1" + b"junk" * 100)
    assert "damaged" in both_errors(path)


def test_a_missing_column_is_named_with_the_header(tmp_path):
    path = write(tmp_path, [row[:5] for row in rows()], HEADER[:5])
    message = both_errors(path)
    assert "row 1: column volume is missing; the header has: time, open, high, low, close" in message


def test_two_columns_of_one_meaning(tmp_path):
    path = write(tmp_path, [[*row, "1"] for row in rows()], [*HEADER, "Volume BTC"])
    assert "columns 'volume' and 'Volume BTC' both look like volume" in both_errors(path)


def test_newest_first_is_told_as_such(tmp_path):
    assert "the file runs from new to old; sort it by time" in both_errors(write(tmp_path, rows()[::-1]))


def test_bars_of_five_minutes_are_not_taken_for_minutes(tmp_path):
    message = both_errors(write(tmp_path, rows(300)[::5]))
    assert "look like bars of 5m; candles of 1m belong here" in message


def test_no_valid_row_at_all(tmp_path):
    path = write(tmp_path, [["x", *row[1:]] for row in rows()])
    assert "not one row is valid; the first: row 2, column time: 'x'" in error_of(path, skip_invalid=True)


def test_no_row_with_the_right_number_of_fields(tmp_path):
    path = write(tmp_path, [row[:4] for row in rows()])
    assert "row 2, column close: '' is missing: the row has 4 of 6 fields (and 7 more rows)" in error_of(path)
    assert "not one row is valid" in error_of(path, skip_invalid=True)


@pytest.mark.parametrize(("name", "nearest"), [("bitfinx", "bitfinex"), ("Binance", "binance"), ("headers", "header")])
def test_an_unknown_layout_is_answered_with_the_nearest_name(name, nearest, tmp_path):
    with pytest.raises(UnknownNameError, match=f"layout '{name}' is not known; did you mean {nearest}\\?"):
        read_candle_file(write(tmp_path, rows()), layout=name)


def test_an_unknown_layout_without_a_near_name_lists_all():
    with pytest.raises(UserError, match="layouts are: auto, header, ohlcv, bitfinex, binance, binance-no-quote"):
        read_candle_file("nowhere.csv", layout="zzz")
