"""Finding out how a CSV file is laid out: delimiter, header, which column is what.

Belongs here: decisions from the header and the first rows. Does not belong here: the layouts themselves (`layouts`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from btc_pipeline.errors import UserError
from btc_pipeline.importing.layouts import (
    BINANCE,
    BITFINEX,
    HEADER,
    OHLCV,
    Layout,
    columns_by_role,
    normalised,
)

_SAMPLE_ROWS: Final = 2000
_SAMPLE_BYTES: Final = 1 << 19
_NUMBER: Final = re.compile(r"[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?")
_SAY_WHICH: Final = (
    "say which it is with --layout (bitfinex: time, open, close, high, low, volume; "
    "ohlcv: time, open, high, low, close, volume)"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read a CSV file.

    Attributes:
        layout: the layout's name.
        delimiter: one character.
        names: the name of every column of the file.
        positions: role -> column.
        body: offset of the first row's byte.
        first_row: the line number of the first row.
    """

    layout: str
    delimiter: str
    names: tuple[str, ...]
    positions: dict[str, int]
    body: int
    first_row: int


def make_plan(data: bytes, wanted: Layout | None) -> Plan:
    """Decides how to read a file.

    Args:
        data: CSV text, not blank.
        wanted: the layout the user named; None to find out.

    Raises:
        UserError: the header does not name what is needed, or nothing tells the columns apart.
    """
    line, number, start, end = _first_line(data)
    delimiter = _delimiter_of(line)
    fields = [field.strip().strip('"') for field in line.split(delimiter)]
    has_header = not any(_NUMBER.fullmatch(field) for field in fields)
    if has_header and (wanted is None or wanted is HEADER or len(wanted.columns) == len(BINANCE.columns)):
        positions = columns_by_role(fields)
        layout = wanted or (BINANCE if _is_binance(fields) else HEADER)
        names = tuple(name or str(position + 1) for position, name in enumerate(fields))
        return Plan(layout.name, delimiter, names, _keep(positions, layout), end, number + 1)
    if wanted is HEADER:
        raise UserError(
            f"row {number}: no header with column names is there; leave --layout out, or name a layout without one.",
            field="file",
        )
    layout = wanted or _headerless(data[start:], delimiter)
    positions = columns_by_role(list(layout.columns))
    return Plan(layout.name, delimiter, layout.columns, _keep(positions, layout), start, number)


def _keep(positions: dict[str, int], layout: Layout) -> dict[str, int]:
    return {role: position for role, position in positions.items() if role not in layout.left_out}


def _first_line(data: bytes) -> tuple[str, int, int, int]:
    """The first line that is not blank: text, line number, offsets of its start and of the next line."""
    start = 0
    for number, line in enumerate(data[:_SAMPLE_BYTES].splitlines(keepends=True), start=1):
        if line.strip():
            return line.decode(errors="replace").strip("\r\n"), number, start, start + len(line)
        start += len(line)
    raise UserError("the file begins with nothing but blank lines.", field="file")


def _delimiter_of(line: str) -> str:
    return max((",", ";", "\t"), key=line.count)


def _is_binance(header: list[str]) -> bool:
    return len(header) == len(BINANCE.columns) and normalised(header[6]) == "close_time"


def _headerless(data: bytes, delimiter: str) -> Layout:
    """The layout of rows without a header, by their width and their prices."""
    rows = list(islice(_rows(data[:_SAMPLE_BYTES], delimiter), _SAMPLE_ROWS))
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    if width == len(BINANCE.columns):
        return BINANCE
    if width != len(OHLCV.columns):
        raise UserError(
            f"row 1: no layout without a header has {width} columns (6: bitfinex, ohlcv; 12: binance); "
            "put a header line with column names on top, or pass --layout.",
            field="file",
        )
    fits = _count_fits(rows)
    if not sum(fits):
        fits = _count_fits(_rows(data, delimiter))
    ohlcv, bitfinex, neither = fits
    if not ohlcv + bitfinex:
        reason = "no row fits either order" if neither else "every row is flat, so both orders fit"
    elif ohlcv > 2 * (bitfinex + neither):
        return OHLCV
    elif bitfinex > 2 * (ohlcv + neither):
        return BITFINEX
    else:
        reason = f"{ohlcv:,} rows fit one order, {bitfinex:,} the other and {neither:,} none"
    raise UserError(
        f"columns without a header cannot be told apart by their prices: {reason}; {_SAY_WHICH}.", field="file"
    )


def _rows(data: bytes, delimiter: str) -> Iterator[list[str]]:
    lines = (line.decode(errors="replace") for line in data.splitlines())
    return (line.split(delimiter) for line in lines if line.strip())


def _count_fits(rows: Iterable[list[str]]) -> tuple[int, int, int]:
    """Rows whose prices fit open-high-low-close, open-close-high-low, neither. Flat ones fit both and tell nothing."""
    ohlcv = bitfinex = neither = 0
    for row in rows:
        try:
            prices = [float(field.strip(' "')) for field in row[1:5]]
        except ValueError:
            continue
        if len(prices) < 4 or not all(map(math.isfinite, prices)) or min(prices) == max(prices):
            continue
        _, second, third, fourth = prices
        if second == max(prices) and third == min(prices):
            ohlcv += 1
        elif third == max(prices) and fourth == min(prices):
            bitfinex += 1
        else:
            neither += 1
    return ohlcv, bitfinex, neither
