"""Reading a candle file: every row exactly as written, or an error that says which row is wrong.

Belongs here: the order of the steps, and what becomes of offenders. Does not belong here: any single step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from btc_pipeline.errors import UserError
from btc_pipeline.importing.arrow_arrays import to_mask
from btc_pipeline.importing.checks import Checked, check
from btc_pipeline.importing.doubt import doubtful_minutes
from btc_pipeline.importing.layouts import AUTO, BINANCE, BINANCE_NO_QUOTE, PRICES, find_layout
from btc_pipeline.importing.row_errors import RowError, refusal
from btc_pipeline.importing.source import open_source
from btc_pipeline.importing.tables import TextTable, read_table
from btc_pipeline.importing.times import TimeUnit
from btc_pipeline.market.candles import Candles, Scale, minute_candles
from btc_pipeline.market.spans import NO_SPANS, Spans


@dataclass(frozen=True, slots=True)
class CandleFile:
    """What a file holds.

    Attributes:
        minutes: its valid rows, with the smallest scale that holds them all.
        layout: the layout it was read with, found or given.
        time_unit: how it writes times.
        rows_read: rows in the file, wrong ones included; header and blank lines are none.
        skipped: the wrong rows that were left out, ascending; empty unless asked to skip.
        doubtful: minutes that the skipped rows may have meant: not known to be without trades.
        sha256: of the file's bytes as they lie on disk, hexadecimal.
        unheld: minutes whose quote volume is unknown for having too many digits, each with its text; empty unless
            asked for.
    """

    minutes: Candles
    layout: str
    time_unit: TimeUnit
    rows_read: int
    sha256: str
    skipped: list[RowError] = field(default_factory=list)
    doubtful: Spans = NO_SPANS
    unheld: list[tuple[int, str]] = field(default_factory=list)


def read_candle_file(
    path: str | Path,
    *,
    layout: str = AUTO,
    skip_invalid: bool = False,
    without_fine_quotes: bool = False,
    now: int | None = None,
) -> CandleFile:
    """Reads 1m candles from .csv, .csv.gz, .zip (one .csv inside) or .parquet.

    Times are open times: ISO 8601 (UTC where no offset is written) or whole s, ms, µs or ns, one unit a file.
    Values are taken as written or refused; nothing is rounded, nothing is sorted, nothing is filled in.

    Args:
        path: the file.
        layout: a name of `layouts.LAYOUTS`, or `auto` to find out.
        skip_invalid: leave wrong rows out and report them, instead of refusing the file.
        without_fine_quotes: a quote volume of more digits than a double holds is unknown instead of wrong.
        now: the epoch minute now running, the clock's by default; it and later ones are refused.

    Raises:
        UserError: a row is wrong (unless skipped) or the file as a whole is; nothing is returned then.

    Example:
        >>> read_candle_file("BTCUSDT-1m-2024-01.zip").minutes.scale  # doctest: +SKIP
        Scale(price=2, volume=5, quote=8)
    """
    wanted = find_layout(layout)
    source = open_source(Path(path))
    try:
        table = read_table(source, wanted)
        rows_read = len(table) + len(table.broken)
        if not rows_read:
            raise UserError("there is a header but not one row.", field="file")
        minute = int(time.time()) // 60 if now is None else now
        checked = check(table, minute, without_fine_quotes=without_fine_quotes)
    except UserError as error:
        if source.name in str(error):
            raise
        raise UserError(f"{source.name}: {error}", field=error.field) from error
    skipped = _errors(table, checked, skip_invalid=skip_invalid)
    if skipped and not skip_invalid:
        total = len(table.broken) + int(checked.findings.wrong.sum())
        raise refusal(source.name, skipped, total, _advice(table, skipped[0]))
    if len(skipped) == rows_read:
        raise UserError(f"{source.name}: not one row is valid; the first: {skipped[0]}.", field="file")
    return CandleFile(
        _candles(checked),
        table.layout,
        checked.times.unit,
        rows_read,
        source.sha256,
        skipped,
        doubtful_minutes(table, checked),
        _unheld(table, checked),
    )


def _errors(table: TextTable, checked: Checked, *, skip_invalid: bool) -> list[RowError]:
    """All wrong rows, ascending; when they will not be skipped, at least the first."""
    found = [
        RowError(table.row_number(row), table.names[role], table.text(role, row), problem, table.raw(row))
        for row, role, problem in checked.findings.each(first_only=not skip_invalid)
    ]
    return sorted([*table.broken, *found], key=lambda error: error.row)


def _unheld(table: TextTable, checked: Checked) -> list[tuple[int, str]]:
    rows = checked.unheld & checked.findings.right
    if not rows.any():
        return []
    texts = table.columns["quote_volume"].filter(to_mask(rows)).to_pylist()
    return list(zip(checked.times.minutes[rows].tolist(), texts, strict=True))


def _advice(table: TextTable, error: RowError) -> str:
    if table.layout == BINANCE.name and error.column == table.names.get("quote_volume"):
        return f"--layout {BINANCE_NO_QUOTE.name} leaves the quote volumes out and keeps every row"
    return ""


def _candles(checked: Checked) -> Candles:
    right = checked.findings.right
    rows = slice(None) if right.all() else right
    numbers = {role: values[rows] for role, values in checked.numbers.items()}
    open_, high, low, close = (numbers[role] for role in PRICES)
    trades = numbers.get("trades")
    decimals = checked.decimals
    scale = Scale(decimals["price"], decimals["volume"])
    if "quote" in decimals:
        scale = Scale(scale.price, scale.volume, decimals["quote"])
    return minute_candles(
        scale,
        checked.times.minutes[rows],
        (open_, high, low, close),
        numbers["volume"],
        quote_volume=numbers.get("quote_volume"),
        taker_buy_volume=numbers.get("taker_buy_volume"),
        trades=None if trades is None else trades.astype(np.int64),
    )
