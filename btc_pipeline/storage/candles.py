"""The `candles` table as Candle frames: reads by Arrow, writes by COPY."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from btc_pipeline.market.candles import UNKNOWN_TRADES, Candles, Float64Array, Scale
from btc_pipeline.market.intervals import Int64Array, Interval
from btc_pipeline.storage.reading import read_table
from btc_pipeline.storage.times import from_timestamps, to_datetime, to_timestamps

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

READ_WINDOW: Final = """
SELECT time, open, high, low, close, volume, quote_volume, taker_buy_volume, trades,
       minutes, quiet_minutes, expected_minutes, usable
FROM candles
WHERE symbol = $1 AND interval = $2 AND time >= $3 AND time < $4
ORDER BY time
"""
DELETE_WINDOW: Final = "DELETE FROM candles WHERE symbol = $1 AND interval = $2 AND time >= $3 AND time < $4"
FIRST_AND_LAST: Final = """
SELECT (SELECT time FROM candles WHERE symbol = $1 AND interval = '1m' ORDER BY time LIMIT 1) AS first,
       (SELECT time FROM candles WHERE symbol = $1 AND interval = '1m' ORDER BY time DESC LIMIT 1) AS last
"""


def read_candles(cursor: Cursor, symbol: str, interval: Interval, scale: Scale, start: int, end: int) -> Candles:
    """The stored bars of a symbol that open in the epoch minutes [start, end)."""
    window = (symbol, interval.name, to_datetime(start), to_datetime(end))
    return from_arrow(read_table(cursor, READ_WINDOW, window), interval, scale)


def first_and_last_minute(cursor: Cursor, symbol: str) -> tuple[int, int] | None:
    """The epoch minutes of a symbol's first and last stored 1m candle."""
    cursor.execute(FIRST_AND_LAST, (symbol,))
    table = cursor.fetch_arrow_table()
    if table["first"].null_count:
        return None
    return int(from_timestamps(table["first"])[0]), int(from_timestamps(table["last"])[0])


def delete_window(cursor: Cursor, symbol: str, interval: Interval, start: int, end: int) -> None:
    """Removes a symbol's bars that open in the epoch minutes [start, end)."""
    cursor.execute(DELETE_WINDOW, (symbol, interval.name, to_datetime(start), to_datetime(end)))


def append_candles(cursor: Cursor, symbol: str, *candles: Candles, status: str) -> None:
    """COPYs bars of one or several intervals into the table; none of them may be there."""
    tables = [to_arrow(one, symbol, status=status) for one in candles if len(one)]
    if tables:
        cursor.adbc_ingest("candles", pa.concat_tables(tables), mode="append")


def to_arrow(candles: Candles, symbol: str, *, status: str) -> pa.Table:
    """Candles as rows of the table, `recorded_at` left to the database."""
    n = len(candles)
    return pa.table(
        {
            "time": to_timestamps(candles.time),
            "symbol": pa.repeat(symbol, n),
            "interval": pa.repeat(candles.interval.name, n),
            "open": candles.open,
            "high": candles.high,
            "low": candles.low,
            "close": candles.close,
            "volume": candles.volume,
            "quote_volume": pa.array(candles.quote_volume, from_pandas=True),
            "taker_buy_volume": pa.array(candles.taker_buy_volume, from_pandas=True),
            "trades": pa.array(candles.trades, mask=candles.trades == UNKNOWN_TRADES),
            "minutes": candles.minutes.astype(np.int32),
            "quiet_minutes": candles.quiet_minutes.astype(np.int32),
            "expected_minutes": candles.expected_minutes.astype(np.int32),
            "usable": candles.usable,
            "status": pa.repeat(status, n),
        }
    )


def from_arrow(table: pa.Table, interval: Interval, scale: Scale) -> Candles:
    """Rows of `READ_WINDOW` as Candles."""
    return Candles(
        interval,
        scale,
        time=from_timestamps(table["time"]),
        open=table["open"].to_numpy(),
        high=table["high"].to_numpy(),
        low=table["low"].to_numpy(),
        close=table["close"].to_numpy(),
        volume=table["volume"].to_numpy(),
        quote_volume=_floats(table["quote_volume"]),
        taker_buy_volume=_floats(table["taker_buy_volume"]),
        trades=table["trades"].fill_null(UNKNOWN_TRADES).to_numpy(),
        minutes=_integers(table["minutes"]),
        quiet_minutes=_integers(table["quiet_minutes"]),
        expected_minutes=_integers(table["expected_minutes"]),
        usable=table["usable"].to_numpy(),
    )


def _floats(column: pa.ChunkedArray) -> Float64Array:
    values: Float64Array = column.fill_null(np.nan).to_numpy()
    return values


def _integers(column: pa.ChunkedArray) -> Int64Array:
    values: Int64Array = column.to_numpy().astype(np.int64)
    return values
