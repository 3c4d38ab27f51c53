"""Months of raw trades: which partition a moment is in, and what its statements do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from btc_pipeline.collector.metrics import Metrics
from btc_pipeline.collector.store import MinuteStore
from btc_pipeline.collector.trade_writer import BATCH, TradeWriter
from btc_pipeline.exchanges.base import Trade
from btc_pipeline.market.candles import Scale
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.trades import Month
from btc_pipeline.timing.clock import SystemClock
from btc_pipeline_tests.collector.made_landings import rows

MIDNIGHT = datetime(2027, 1, 1, tzinfo=UTC)


def trade(milliseconds: int, id_: str = "1") -> Trade:
    """So long after 2027 began."""
    time_ms = int(MIDNIGHT.timestamp() * 1000) + milliseconds
    return Trade(time_ms, 84_143.5, 0.00036, taker_buy=True, id=id_, decimals=Scale(1, 5))


@pytest.mark.parametrize(
    ("moment", "name", "end"),
    [
        (MIDNIGHT.timestamp(), "trades_2027_01", datetime(2027, 2, 1, tzinfo=UTC)),
        (MIDNIGHT.timestamp() - 0.001, "trades_2026_12", MIDNIGHT),
        (0.0, "trades_1970_01", datetime(1970, 2, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_is_in_its_calendar_month(moment: float, name: str, end: datetime) -> None:
    month = Month.of(moment)
    assert (month.partition, month.end) == (name, end)
    assert month.start.timestamp() <= moment < month.end.timestamp()
    again = Month.of_partition(name)
    assert again is not None
    assert again.count == month.count


def test_other_tables_are_no_partitions_of_ours() -> None:
    assert [Month.of_partition(name) for name in ("trades", "trades_2026_1", "trades_2026_12_old")] == [None] * 3


@pytest.fixture
def writer(database: Database) -> TradeWriter:
    return TradeWriter(MinuteStore(database.uri), SystemClock(), 30, Metrics(), lambda _: None)


@pytest.mark.timescale
async def test_trades_around_a_month_s_end_go_into_both_partitions_once(
    database: Database, writer: TradeWriter
) -> None:
    around = [trade(-1), trade(0), trade(0, "2"), trade(1)]
    for _ in range(2):
        writer.put("BTC", around)
        await writer.flush()
    found = rows(database, "SELECT tableoid::regclass::text, time, trade_id, price, size, taker_buy FROM trades "
                           "ORDER BY time, trade_id")  # fmt: skip
    assert [row[0] for row in found] == ["trades_2026_12", "trades_2027_01", "trades_2027_01", "trades_2027_01"]
    assert [row[1].timestamp() * 1000 for row in found] == [one.time_ms for one in around]
    assert {row[3:] for row in found} == {(84_143.5, 0.00036, True)}


@pytest.mark.timescale
async def test_a_trade_that_no_column_takes_keeps_no_other_away(database: Database, writer: TradeWriter) -> None:
    writer.put("BTC", [trade(1, "a"), trade(2, "\x00"), trade(3, "c")])
    writer.put("BTC", [trade(10 + n) for n in range(BATCH)])
    await writer.flush()
    assert rows(database, "SELECT count(*) FROM trades") == [(BATCH + 2,)]
