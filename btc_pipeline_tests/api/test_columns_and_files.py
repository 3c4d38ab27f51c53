"""`/candles/bulk` and `/export/csv`: the same bars as `/candles`, by column and as a file."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from api.columns import COLUMNS, iso_texts
from api.schemas import BulkCandles
from btc_pipeline_tests.api.conftest import SYMBOL, YOUNG
from btc_pipeline_tests.api.test_candles import every_page

BULK = "/api/v1/candles/bulk"
EXPORT = "/api/v1/export/csv"
ALL_COLUMNS = ",".join(COLUMNS)
SELECTIONS = [
    {"symbol": SYMBOL, "interval": "1m", "start": "2016-01-02", "end": "2016-01-06"},
    {"symbol": SYMBOL, "interval": "37m"},
    {"symbol": SYMBOL, "interval": "37m", "end": "2016-01-05"},
    {"symbol": SYMBOL, "interval": "37m", "start": "2016-01-09T20:00"},
    {"symbol": SYMBOL, "interval": "41m"},
    {"symbol": SYMBOL, "interval": "41m", "start": "2016-01-09", "end": "2016-01-10"},
    {"symbol": SYMBOL, "interval": "1M", "align": "right"},
    {"symbol": YOUNG, "interval": "37m", "align": "right"},
    {"symbol": SYMBOL, "interval": "1d", "start": "2020-01-01"},
    {"symbol": SYMBOL, "interval": "1d", "end": "2010-01-01"},
]


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def rows_of(client: TestClient, selection: dict[str, str]) -> list[dict[str, Any]]:
    direction = "next" if "start" in selection else "previous"
    return every_page(client, direction, **selection, limit=10_000)


def columns_of(client: TestClient, **parameters: object) -> dict[str, Any]:
    answer = client.get(BULK, params={"columns": ALL_COLUMNS, **parameters})  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    BulkCandles.model_validate(content)
    assert {len(column) for column in content["data"].values()} == {content["count"]}
    return content


def as_rows(data: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_columns_hold_the_same_bars_as_rows(client: TestClient, selection: dict[str, str]) -> None:
    rows = [{**row, "time": milliseconds(row["time"])} for row in rows_of(client, selection)]
    content = columns_of(client, **selection)
    assert as_rows(content["data"]) == rows
    assert content["next"] is None
    assert content["previous"] is None


@pytest.mark.parametrize("interval", ["37m", "41m", "1w"])
@pytest.mark.parametrize(("direction", "window"), [("next", {"start": "2015-06-01"}), ("previous", {})])
@pytest.mark.parametrize("limit", [33, 90, 350])
def test_pages_of_columns_put_together_are_the_whole(
    client: TestClient, interval: str, direction: str, window: dict[str, str], limit: int
) -> None:
    whole = columns_of(client, symbol=SYMBOL, interval=interval)["data"]["time"]
    page = columns_of(client, symbol=SYMBOL, interval=interval, limit=limit, **window)
    times = page["data"]["time"]
    while page[direction]:
        page = client.get(page[direction]).json()
        more = page["data"]["time"]
        assert len(more) <= limit
        times = times + more if direction == "next" else more + times
    assert times == whole


def test_arrow_streams_hold_the_same_columns(client: TestClient) -> None:
    parameters = {"symbol": SYMBOL, "interval": "37m", "columns": ALL_COLUMNS}
    answer = client.get(BULK, params=parameters, headers={"Accept": "application/vnd.apache.arrow.stream"})
    assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    table = pa.ipc.open_stream(answer.content).read_all()
    data = columns_of(client, **parameters)["data"]
    assert table.column_names == list(data)
    assert table["close"].to_pylist() == data["close"]
    assert (table["time"].cast(pa.int64()).to_numpy() // 1000).tolist() == data["time"]
    assert table.schema.metadata[b"symbol"] == SYMBOL.encode()
    tag = answer.headers["ETag"]
    again = client.get(BULK, params=parameters, headers={"If-None-Match": tag})
    assert again.status_code == 200, "the JSON of the same bars is another representation"


@pytest.mark.parametrize("selection", SELECTIONS)
def test_files_hold_the_same_bars_as_rows(client: TestClient, selection: dict[str, str]) -> None:
    answer = client.get(EXPORT, params=selection)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    rows = rows_of(client, selection)
    assert answer.text.splitlines()[0] == ALL_COLUMNS
    assert [line["time"] for line in lines] == [row["time"] for row in rows]
    for name in ("open", "close", "volume"):
        assert [float(line[name]) for line in lines] == [row[name] for row in rows]
    assert [line["usable"] for line in lines] == [str(row["usable"]).lower() for row in rows]
    for name in ("quote_volume", "vwap"):
        assert [float(line[name]) if line[name] else None for line in lines] == [row[name] for row in rows]


@pytest.mark.parametrize("what", ["indicators", "decisions"])
def test_files_of_indicators_and_decisions_hold_the_same_rows(client: TestClient, what: str) -> None:
    selection = {"symbol": SYMBOL, "interval": "37m", "start": "2016-01-01"}
    lines = list(csv.DictReader(io.StringIO(client.get(EXPORT, params={**selection, "what": what}).text)))
    rows = client.get(f"/api/v1/{what}", params={**selection, "limit": 10_000}).json()["data"]
    assert [line["time"] for line in lines] == [row["time"] for row in rows]
    name = "value" if what == "indicators" else "confidence"
    assert [float(line[name]) for line in lines] == [row[name] for row in rows]
    assert len(lines) > 100


@pytest.mark.parametrize("align", ["left", "right"])
@pytest.mark.parametrize("what", ["candles", "indicators", "decisions"])
def test_a_file_of_nothing_has_the_header_of_one_of_something(client: TestClient, what: str, align: str) -> None:
    selection = {"symbol": SYMBOL, "interval": "37m", "what": what, "align": align}
    full = client.get(EXPORT, params=selection).text
    empty = client.get(EXPORT, params={**selection, "start": "2020-01-01"})
    assert empty.status_code == 200
    assert empty.text == full.splitlines(keepends=True)[0]


def test_times_become_iso_text_of_every_kind() -> None:
    texts = ["1969-12-31T23:59", "1970-01-01T00:00", "2016-02-29T12:34", "2199-12-31T23:59"]
    moments = pa.array(np.array(texts, "datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    assert iso_texts(pa.chunked_array([moments])).to_pylist() == [f"{text}:00Z" for text in texts]
    odd = pa.chunked_array([pa.array([1, None], pa.timestamp("us", "UTC"))])
    assert iso_texts(odd).to_pylist() == ["1970-01-01T00:00:00.000001Z", None]
