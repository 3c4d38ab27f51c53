"""The yardstick: what a person would write who wants the same rows in the same tables, and nothing else.

No digests, no staleness, no locks, no validation, no gaps, no repair: minutes in, rows out, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import psycopg
import pyarrow as pa

from btc_pipeline_tests.bench.market import END_DAY, FIRST_DAY, SYMBOL

MINUTES: Final = "SELECT time, open, high, low, close, volume FROM candles WHERE interval = '1m' ORDER BY time"
VOUCHED: Final = "SELECT DISTINCT ON (day) day, minutes FROM vouched_minutes ORDER BY day, recorded_at DESC"
FIXED: Final = {
    "3m": 3, "5m": 5, "15m": 15, "30m": 30, "37m": 37, "1h": 60, "2h": 120, "4h": 240, "8h": 480, "12h": 720,
    "148m": 148, "1d": 1440, "3d": 4320, "1w": 10080,
}  # fmt: skip
INDICATORS: Final = {"ma44": 44, "ma125": 125}
ON_INTERVALS: Final = ("37m", "148m", "1d")
START, END = FIRST_DAY * 1440, END_DAY * 1440


@dataclass(frozen=True, slots=True)
class Decisions:
    """The rows of the decision log ready-made, as COPY's text, because the yardstick has no strategies."""

    columns: str
    text: bytes


def copy_arrow(uri: str, tables: list[pa.Table]) -> None:
    """COPYs ready candles by ADBC, a transaction a table."""
    for table in tables:
        with adbc.connect(uri) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("candles", table, mode="append")
            connection.commit()


def copy_text(uri: str, columns: str, texts: list[bytes]) -> None:
    """COPYs ready candles as text, a transaction a text."""
    for text in texts:
        with (
            psycopg.connect(uri) as connection,
            connection.cursor().copy(f"COPY candles ({columns}) FROM STDIN") as copy,
        ):
            copy.write(text)


def materialize(uri: str, decisions: Decisions) -> None:
    """Bars of every interval, two moving averages on three of them, and the decisions."""
    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(MINUTES)
        m = cursor.fetch_arrow_table()
        cursor.execute(VOUCHED)
        vouched = cursor.fetch_arrow_table()
        time = m["time"].cast(pa.int64()).to_numpy() // 60_000_000
        prices = [m[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
        known, quiet = _minute_maps(time, vouched)
        bars = {name: _bars(name, time, prices, known, quiet) for name in (*FIXED, "1M")}
        tables = [_bars_table(name, one) for name, one in bars.items()]
        cursor.adbc_ingest("candles", pa.concat_tables(tables), mode="append")
        cursor.adbc_ingest("indicators", pa.concat_tables(_averages(bars)), mode="append")
        connection.commit()
    copy = f"COPY decisions ({decisions.columns}) FROM STDIN"
    with psycopg.connect(uri) as rows, rows.cursor().copy(copy) as out:
        out.write(decisions.text)


def _minute_maps(time, vouched):  # type: ignore[no-untyped-def]
    """Running counts of known and of quiet minutes since the start."""
    quiet = np.zeros(END - START, np.int64)
    for day, bits in zip(vouched["day"].cast(pa.int32()).to_pylist(), vouched["minutes"].to_pylist(), strict=True):
        quiet[day * 1440 - START : day * 1440 - START + 1440] = np.unpackbits(np.frombuffer(bits, np.uint8))
    known = quiet.copy()
    known[time - START] = 1
    return np.concatenate(([0], np.cumsum(known))), np.concatenate(([0], np.cumsum(quiet)))


def _bars(name, time, prices, known, quiet):  # type: ignore[no-untyped-def]
    open_, high, low, close, volume = prices
    if name == "1M":
        months = np.arange("2014-12", "2017-02", dtype="datetime64[M]").astype("datetime64[m]").astype(np.int64)
        slot = np.searchsorted(months, time, side="right") - 1
        edges = lambda s: (months[s], months[s + 1])  # noqa: E731
    else:
        length, origin = FIXED[name], -4320 if name == "1w" else 0
        slot = (time - origin) // length
        edges = lambda s: (s * length + origin, (s + 1) * length + origin)  # noqa: E731
    first = np.flatnonzero(np.diff(slot, prepend=slot[0] - 1))
    start, end = edges(slot[first])
    whole = end <= END  # the last bar may close after the range
    a, b = np.maximum(start - START, 0), np.minimum(end - START, END - START)
    present, still = known[b] - known[a], quiet[b] - quiet[a]
    closing = known[b] - known[b - 1] == 1
    values = {
        "slot": slot[first],
        "time": start,
        "open": open_[first],
        "high": np.maximum.reduceat(high, first),
        "low": np.minimum.reduceat(low, first),
        "close": close[np.append(first[1:], len(close)) - 1],
        "volume": np.add.reduceat(np.rint(volume * 1e8).astype(np.int64), first) / 1e8,
        "minutes": present.astype(np.int32),
        "quiet_minutes": still.astype(np.int32),
        "expected_minutes": (end - start).astype(np.int32),
        "usable": (present * 100 >= 99 * (end - start)) & closing,
    }
    return {column: value[whole] for column, value in values.items()}


def _bars_table(name, bars):  # type: ignore[no-untyped-def]
    n = len(bars["time"])
    columns = {column: pa.array(value) for column, value in bars.items() if column not in ("time", "slot")}
    missing = {"quote_volume": pa.float64(), "taker_buy_volume": pa.float64(), "trades": pa.int64()}
    return pa.table(
        {
            "time": pa.array(bars["time"] * 60_000_000).cast(pa.timestamp("us", "UTC")),
            "symbol": pa.repeat(SYMBOL, n),
            "interval": pa.repeat(name, n),
            **columns,
            **{column: pa.nulls(n, kind) for column, kind in missing.items()},
            "status": pa.repeat("derived", n),
        }
    )


def _averages(bars) -> Iterator[pa.Table]:  # type: ignore[no-untyped-def]
    for interval in ON_INTERVALS:
        one = bars[interval]
        total = np.concatenate(([0], np.cumsum(np.rint(one["close"] * 1e8).astype(np.int64))))
        unusable = np.concatenate(([0], np.cumsum(~one["usable"])))
        for name, period in INDICATORS.items():
            if len(one["time"]) < period:
                continue
            slack = max(2, period // 20)
            span = one["slot"][period - 1 :] - one["slot"][: -period + 1 or None] + 1
            good = (span - period <= slack) & (unusable[period:] - unusable[:-period] <= slack)
            value = ((total[period:] - total[:-period]) / (period * 10**8))[good]
            n = len(value)
            yield pa.table(
                {
                    "time": pa.array(one["time"][period - 1 :][good] * 60_000_000).cast(pa.timestamp("us", "UTC")),
                    "symbol": pa.repeat(SYMBOL, n),
                    "interval": pa.repeat(interval, n),
                    "indicator_name": pa.repeat(name, n),
                    "value": value,
                    "settled": pa.repeat(pa.scalar(value=True), n),
                }
            )
