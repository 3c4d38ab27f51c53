"""ETags, compression, the description, and a database that goes away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from starlette.testclient import TestClient

from api.app import create_app
from api.database import MAX_LARGE_READS, Connections
from api.errors import BusyError
from api.schemas import Home
from btc_pipeline.market.intervals import MINUTE
from btc_pipeline.settings import Settings
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.queries import BAR_COLUMNS, stream_bars
from btc_pipeline_tests.api.conftest import MINUTES, START, SYMBOL, settings_for

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

PAGE = f"/api/v1/candles?symbol={SYMBOL}&interval=37m"
BULK = f"/api/v1/candles/bulk?symbol={SYMBOL}&interval=37m"
PLAIN = {"Accept-Encoding": "identity"}
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("path", [PAGE, BULK, "/api/v1/instruments", "/openapi.json", "/"])
def test_a_known_answer_is_not_sent_again(client: TestClient, path: str) -> None:
    for headers in (PLAIN, {"Accept-Encoding": "gzip"}):
        first = client.get(path, headers=headers)
        tag = first.headers["ETag"]
        assert tag.startswith('"')
        again = client.get(path, headers={**headers, "If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={**headers, "If-None-Match": '"other"'}).content == first.content


def test_different_content_has_different_tags(client: TestClient) -> None:
    paths = [PAGE, f"{PAGE}&limit=5", BULK, f"{BULK}&limit=5", f"{BULK}&align=right", f"{BULK}&columns=time"]
    assert len({client.get(path).headers["ETag"] for path in paths}) == len(paths)
    compressed, plain = client.get(PAGE), client.get(PAGE, headers=PLAIN)
    assert compressed.headers["ETag"] != plain.headers["ETag"]


def test_large_answers_are_compressed_for_who_asks(client: TestClient) -> None:
    for path in (PAGE, BULK, f"/api/v1/export/csv?symbol={SYMBOL}&interval=1m"):
        compressed, plain = client.get(path), client.get(path, headers=PLAIN)
        assert compressed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert compressed.content == plain.content
        assert "Accept-Encoding" in plain.headers["Vary"]
    assert "Content-Encoding" not in client.get("/").headers


def test_home_says_what_this_is_and_its_links_work(client: TestClient) -> None:
    home = Home.model_validate(client.get("/").json())
    assert home.name == "btc_pipeline"
    for address in home.links.values():
        assert client.get(address).status_code in {200, 422}, address


def test_the_description_has_examples_and_every_error(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        responses = methods["get"]["responses"]
        assert responses["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody"), path
        if path != "/":
            assert {"404", "503"} <= set(responses)
    parameters = description["paths"]["/api/v1/candles"]["get"]["parameters"]
    assert {one["name"] for one in parameters} >= {"symbol", "interval", "start", "end", "limit", "align", "fill"}
    assert parameters[0]["examples"]


def test_monitors_may_ask_for_the_head_of_health(client: TestClient) -> None:
    whole, head = (client.request(method, "/api/v1/health", headers=PLAIN) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    assert len(head.headers["Content-Length"]) == len(whole.headers["Content-Length"])
    assert set(head.headers) == set(whole.headers)
    assert client.head("/api/v1/instruments").status_code == 405


@contextmanager
def running(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def test_a_database_that_is_away_at_the_start_is_a_503_and_comes_back(database: Database) -> None:
    settings = settings_for(database)
    with running(settings.model_copy(update={"db_port": 1})) as client:
        assert client.get("/").status_code == 200
        for path in (PAGE, BULK, "/api/v1/health", f"/api/v1/export/csv?symbol={SYMBOL}&interval=1m"):
            answer = client.get(path)
            assert answer.status_code == 503, answer.text
            assert "does not answer" in answer.json()["detail"][0]["message"]
            assert answer.headers["Retry-After"] == "5"
        object.__setattr__(client.app.state.context.connections, "_settings", settings)  # type: ignore[attr-defined]
        assert client.get("/api/v1/health").status_code == 200


def test_connections_that_break_are_made_again(database: Database, server_uri: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database.uri)["dbname"]
    with running(settings_for(database)) as client:
        assert client.get("/api/v1/instruments").status_code == 200
        with psycopg.connect(server_uri, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            assert client.get("/api/v1/instruments").status_code == 200
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(str(name))))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            for path in ("/api/v1/instruments", "/api/v1/health", PAGE):
                assert client.get(path).status_code == 503
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(str(name))))
        assert client.get("/api/v1/instruments").status_code == 200


ORIGIN = "http://127.0.0.1:5173"


def test_pages_of_other_origins_are_told_nothing_by_default(client: TestClient) -> None:
    answer = client.get(PAGE, headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert client.options(PAGE, headers=asked).status_code == 405


def test_pages_of_a_named_origin_may_read_order_and_delete(filled: Database) -> None:
    settings = settings_for(filled, api_origins=(ORIGIN,)).model_copy(update={"feed": "replay"})
    with running(settings) as client:
        answer = client.get(PAGE, headers={"Origin": ORIGIN})
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert {"X-Feed", "ETag"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert set(answer.headers["Vary"].split(", ")) == {"Accept-Encoding", "Origin"}
        again = client.get(PAGE, headers={"Origin": ORIGIN, "If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.headers["Access-Control-Allow-Origin"]) == (304, ORIGIN)
        assert client.get("/nowhere", headers={"Origin": ORIGIN}).headers["Access-Control-Allow-Origin"] == ORIGIN
        for method, status in {"GET": 200, "HEAD": 200, "POST": 200, "DELETE": 200, "PUT": 400}.items():
            asked = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
            allowed = client.options(PAGE, headers={**asked, "Access-Control-Request-Headers": "content-type"})
            assert (allowed.status_code, allowed.headers["X-Feed"]) == (status, "REPLAY")
        other = {"Origin": "http://127.0.0.1:5174"}
        assert "Access-Control-Allow-Origin" not in client.get(PAGE, headers=other).headers
        assert client.options(PAGE, headers={**other, "Access-Control-Request-Method": "GET"}).status_code == 400


def test_an_empty_database_answers_everywhere(database: Database) -> None:
    with running(settings_for(database)) as client:
        for name in ("instruments", "strategies", "data-quality", "health"):
            assert client.get(f"/api/v1/{name}").status_code == 200
        answer = client.get(PAGE)
        assert answer.status_code == 404
        assert "import-candles" in answer.json()["detail"][0]["message"]


async def test_a_stream_that_is_left_gives_its_connection_back(filled: Database) -> None:
    connections = Connections(settings_for(filled))

    def read(cursor: Cursor) -> Iterator[pa.RecordBatch]:
        yield from stream_bars(cursor, SYMBOL, MINUTE, BAR_COLUMNS, START, START + MINUTES, 10**9)

    try:
        for _ in range(MAX_LARGE_READS + 1):
            first, second = [await connections.stream(read) for _ in range(MAX_LARGE_READS)]
            assert next(first).num_rows < MINUTES, "more is to come"
            with pytest.raises(BusyError, match="already"):
                await connections.stream(read)
            first.close()
            assert sum(batch.num_rows for batch in second) > 2 * 1440
            second.close()
    finally:
        await connections.close()
    with filled.rows() as connection:
        row = connection.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' "
            "AND state = 'active'"
        ).fetchone()
    assert row == {"n": 0}


def test_the_application_imports_nothing_heavy() -> None:
    code = "import sys, api.app; heavy = {'pandas', 'dagster', 'duckdb', 'pandera', 'adbc_driver_manager', 'yoyo'}"
    code += "; assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
