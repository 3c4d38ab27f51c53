"""The same candles in every kind of file."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from btc_pipeline.importing.reader import read_candle_file
from btc_pipeline_tests.importing.files import HEADER, START_MS, error_of, rows, spoilt, write

DOUBLE = pa.float64()


def assert_same(read, expected):
    for column in ("time", *HEADER[1:]):
        assert np.array_equal(getattr(read.minutes, column), getattr(expected.minutes, column)), column
    assert read.minutes.scale == expected.minutes.scale
    assert read.rows_read == expected.rows_read


@pytest.mark.parametrize("name", ["a.csv.gz", "a.zip", "misnamed.csv", "misnamed.gz"])
def test_gzip_and_zip_are_known_by_their_content(name, tmp_path):
    plain = write(tmp_path, rows())
    path = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/BTCUSDT-1m-2024-01.csv", plain.read_bytes())
            archive.writestr("__MACOSX/folder/._BTCUSDT-1m-2024-01.csv", b"x")
    elif name == "misnamed.gz":
        path.write_bytes(plain.read_bytes())
    else:
        path.write_bytes(gzip.compress(plain.read_bytes()))
    read = read_candle_file(path)
    assert_same(read, read_candle_file(plain))
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_path_may_be_text(tmp_path):
    assert read_candle_file(str(write(tmp_path, rows()))).rows_read == 8


def parquet(folder, time, kind=DOUBLE, table=None):
    table = table or rows()
    numbers = list(zip(*table, strict=True))[1:]
    columns = {"time": time}
    for name, texts in zip(HEADER[1:], numbers, strict=True):
        convert = Decimal if pa.types.is_decimal(kind) else str if pa.types.is_string(kind) else float
        columns[name] = pa.array([None if text == "" else convert(text) for text in texts]).cast(kind)
    path = folder / "candles.parquet"
    pq.write_table(pa.table(columns), path)
    return path


MS = [START_MS + i * 60_000 for i in range(8)]
TIMES = {
    "ms": pa.array(MS),
    "float ms": pa.array([float(ms) for ms in MS]),
    "timestamp s": pa.array([ms // 1000 for ms in MS]).cast(pa.timestamp("s")),
    "timestamp ns with a zone": pa.array([ms * 10**6 for ms in MS]).cast(pa.timestamp("ns", "Asia/Tokyo")),
    "text": pa.array([datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in MS]),
}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.decimal128(18, 8), pa.string()], ids=str)
def test_parquet(time, kind, tmp_path):
    read = read_candle_file(parquet(tmp_path, TIMES[time], kind))
    assert_same(read, read_candle_file(write(tmp_path, rows())))
    assert read.layout == "header"


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("high", "7.1", "is below low '102.75'"),
        ("open", "nan", "is not a finite number"),
        ("close", "", "is an empty field"),
        ("volume", "0.30000000000000004", "has 17 significant digits"),
    ],
)
def test_a_wrong_row_of_parquet_is_counted_from_one(column, value, problem, tmp_path):
    path = parquet(tmp_path, TIMES["ms"], table=spoilt(3, column, value))
    assert f"row 4, column {column}: {value!r} {problem}" in error_of(path)
    [error] = read_candle_file(path, skip_invalid=True).skipped
    assert error.row == 4
    assert error.raw.startswith(f"{MS[3]},")


def test_parquet_takes_no_headerless_layout(tmp_path):
    assert "leave --layout out" in error_of(parquet(tmp_path, TIMES["ms"]), layout="bitfinex")


def test_parquet_without_rows_or_with_strange_types(tmp_path):
    path = tmp_path / "none.parquet"
    pq.write_table(pa.table({name: pa.array([], pa.float64()) for name in HEADER}), path)
    assert "not one row" in error_of(path)
    pq.write_table(pa.table({name: pa.array([[1.0]]) for name in HEADER}), path)
    assert "holds types that are no candles" in error_of(path)


def test_reading_does_not_import_pandas(tmp_path):
    code = (
        "import sys; from btc_pipeline.importing.reader import read_candle_file; "
        f"read_candle_file({str(write(tmp_path, rows()))!r}); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
