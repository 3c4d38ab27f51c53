"""Warm-up: answers say whose bars a symbol's windows reach back to, and which values rest on them."""

from __future__ import annotations

from starlette.testclient import TestClient

from api.app import create_app
from btc_pipeline.market.candles import Scale
from btc_pipeline.pipeline.catalogue import build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument, upsert_instrument
from btc_pipeline.storage.minutes import write_minutes
from btc_pipeline_tests.api.conftest import NOW, START, SYMBOL, made_minutes, settings_for

OWN = "BTCUSD.NEW"
DAY = START // 1440
UNTIL = "2016-01-03"


def test_answers_and_files_mark_what_saw_another_venue_s_bars(database: Database) -> None:
    settings = settings_for(database, warmup={OWN: f"{SYMBOL} until {UNTIL}"})
    chain = Chain(database, build_catalogue(settings), settings.rule)
    with database.arrow() as cursor:
        for symbol, first, days in ((SYMBOL, START, 4), (OWN, START + 2 * 1440, 2)):
            upsert_instrument(cursor, symbol, Scale(2, 3))
            write_minutes(cursor, symbol, made_minutes(first, days * 1440), status="confirmed", reason="test")
    with database.arrow() as cursor:
        instruments = [find_instrument(cursor, symbol) for symbol in (SYMBOL, OWN)]
    for instrument in instruments:
        chain.refresh(instrument, range(DAY, DAY + 4), NOW)
    with TestClient(create_app(settings)) as client:
        warm_up = {"source": SYMBOL, "until": "2016-01-03T00:00:00Z"}
        question = f"symbol={OWN}&interval=37m&limit=5000"
        values = client.get(f"/api/v1/indicators?{question}&name=ma44").json()
        assert values["warm_up"] == warm_up
        marks = [row["warmed"] for row in values["data"]]
        # The bar across `until` is made of its own minutes alone and not usable: a window of 44 bars holds one of it.
        assert marks == sorted(marks, reverse=True)
        assert 40 < sum(marks) < 46 < len(marks)
        decisions = client.get(f"/api/v1/decisions?{question}&strategy=ma44").json()
        assert decisions["warm_up"] == warm_up
        warmed = [row for row in decisions["data"] if row["warmed"]]
        assert {row["time"] for row in warmed} >= {row["time"] for row in values["data"] if row["warmed"]}
        assert all(f"saw bars of {SYMBOL}" in row["reasons"] for row in warmed)
        assert any(row["indicator_snapshot"].get("warmed") for row in warmed)
        others = client.get(f"/api/v1/decisions?symbol={SYMBOL}&interval=37m").json()
        assert others["warm_up"] is None
        assert not any(row["warmed"] for row in others["data"])
        header, *rows = client.get(f"/api/v1/export/csv?symbol={OWN}&interval=37m&what=decisions").text.splitlines()
        at = header.split(",").index("warmed")
        assert {row.split(",")[-(len(header.split(",")) - at)] for row in rows} == {"true", "false"}
