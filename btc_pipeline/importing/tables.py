"""The rows of a file as columns of text, each row with its place in the file.

Belongs here: CSV and Parquet to Arrow string columns, rows with a wrong number of fields. Does not belong here: what
the texts mean (`decimals`, `times`, `checks`). Text, because only text shows how a number was written; Arrow casts it
later as fast as it would have while reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from btc_pipeline.errors import UserError
from btc_pipeline.importing.arrow_arrays import to_numpy
from btc_pipeline.importing.layouts import HEADER, OPTIONAL, Layout, columns_by_role
from btc_pipeline.importing.row_errors import RowError
from btc_pipeline.importing.sniffing import Plan, make_plan
from btc_pipeline.importing.source import Source

_LONGEST_LINE: Final = 4096
_QUOTED: Final = r'^\s*"\s*(.*?)\s*"\s*$'


@dataclass(frozen=True)
class TextTable:
    """Columns of text by role; n rows that have the right number of fields.

    Attributes:
        layout: the layout's name.
        names: role -> the column's name in messages.
        columns: role -> Arrow strings, trimmed.
        broken: the rows that are not among the n.
    """

    layout: str
    names: dict[str, str]
    columns: dict[str, Any]
    broken: list[RowError]
    _lines: _Lines | None = None

    def __len__(self) -> int:
        return len(self.columns["time"])

    def text(self, role: str, row: int) -> str:
        """A cell's text."""
        return str(self.columns[role][row].as_py())

    def row_number(self, row: int) -> int:
        """Where a row stands in the file: its line, or its place in Parquet; from 1."""
        return self._lines.numbers[row] if self._lines else row + 1

    def raw(self, row: int) -> str:
        """The whole row as written; of Parquet, the columns that are read."""
        if self._lines:
            return self._lines.raw[row]
        return ",".join(self.text(role, row) for role in self.columns)


@dataclass(frozen=True)
class _Lines:
    """The good lines of a CSV file, split only when somebody asks: that is, when a row is wrong."""

    body: bytes
    first_row: int

    @cached_property
    def _numbered(self) -> list[tuple[int, bytes]]:
        return [
            (number, line) for number, line in enumerate(self.body.splitlines(), start=self.first_row) if line.strip()
        ]

    @cached_property
    def numbers(self) -> list[int]:
        return [number for number, _ in self._numbered]

    @cached_property
    def raw(self) -> list[str]:
        return [line.decode(errors="replace") for _, line in self._numbered]


def read_table(source: Source, wanted: Layout | None) -> TextTable:
    """The text columns of a file.

    Raises:
        UserError: the layout cannot be made out, a column is missing, the Parquet file is damaged.
    """
    table = (
        _read_parquet(source, wanted) if source.is_parquet else _read_csv(source.data, make_plan(source.data, wanted))
    )
    for role in OPTIONAL:
        if role in table.columns and len(table) and pc.max(pc.binary_length(table.columns[role])).as_py() == 0:
            del table.columns[role]  # a column in which every field is empty says what a missing one says
    return table


def _read_csv(data: bytes, plan: Plan) -> TextTable:
    body = data[plan.body :]
    broken: list[RowError] = []
    try:
        columns = _parse(body, plan)
    except pa.ArrowInvalid:
        body, broken = _without_broken_lines(body, plan)
        columns = _parse(body, plan)
    if b'"' in body:
        columns = {role: pc.replace_substring_regex(c, _QUOTED, "\\1") for role, c in columns.items()}
    if any(blank in body for blank in (b" ", b"\t", b"\v", b"\f")):
        columns = {role: pc.utf8_trim_whitespace(column) for role, column in columns.items()}
    names = {role: plan.names[position] for role, position in plan.positions.items()}
    return TextTable(plan.layout, names, columns, broken, _Lines(body, plan.first_row))


def _parse(body: bytes, plan: Plan) -> dict[str, Any]:
    """Role -> strings. Blank lines are left out; a line with a wrong number of fields is an ArrowInvalid."""
    if not body or body.isspace():
        return {role: pa.chunked_array([], pa.string()) for role in plan.positions}
    names = [str(position) for position in range(len(plan.names))]
    wanted = [str(position) for position in plan.positions.values()]
    table = pa_csv.read_csv(
        pa.py_buffer(body),
        read_options=pa_csv.ReadOptions(column_names=names),
        parse_options=pa_csv.ParseOptions(delimiter=plan.delimiter, quote_char=False),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted),
    )
    return {role: table.column(str(position)) for role, position in plan.positions.items()}


def _without_broken_lines(body: bytes, plan: Plan) -> tuple[bytes, list[RowError]]:
    """The body with broken lines blanked, so that all others keep their number; and what was wrong with those."""
    lines = body.splitlines()
    broken = []
    for index, line in enumerate(lines):
        if not line.strip():
            lines[index] = b""
            continue
        error = _broken(line, plan.first_row + index, plan)
        if error:
            broken.append(error)
            lines[index] = b""
    return b"\n".join(lines) + b"\n", broken


def _broken(line: bytes, number: int, plan: Plan) -> RowError | None:
    fields = line.split(plan.delimiter.encode())
    raw = line[:_LONGEST_LINE].decode(errors="replace")
    width = len(plan.names)
    if len(line) > _LONGEST_LINE:
        return RowError(number, plan.names[0], raw, f"begins a line of {len(line):,} characters", raw)
    if len(fields) < width:
        problem = f"is missing: the row has {len(fields)} of {width} fields"
        return RowError(number, plan.names[len(fields)], "", problem, raw)
    if len(fields) > width:
        surplus = fields[width].decode(errors="replace")
        problem = f"is one field too many: the row has {len(fields)}, {width} belong there"
        return RowError(number, str(width + 1), surplus, problem, raw)
    for name, field in zip(plan.names, fields, strict=True):
        try:
            field.decode()
        except UnicodeDecodeError:
            return RowError(number, name, field.decode(errors="replace"), "is not UTF-8 text", raw)
    return None


def _read_parquet(source: Source, wanted: Layout | None) -> TextTable:
    if wanted not in (None, HEADER):
        raise UserError(
            f"layout {wanted.name!r} is for CSV; Parquet files name their columns: leave --layout out.", field="layout"
        )
    try:
        file = pa_parquet.ParquetFile(pa.BufferReader(source.data))
        header = list(file.schema_arrow.names)
        positions = columns_by_role(header)
        table = file.read(columns=[header[position] for position in positions.values()])
        columns = {role: _as_text(table.column(header[position])) for role, position in positions.items()}
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{source.name} is damaged, cut short, or holds types that are no candles ({reason}): re-download it.",
            field="file",
        ) from error
    names = {role: header[position] for role, position in positions.items()}
    return TextTable(HEADER.name, names, columns, broken=[])


def _as_text(column: Any) -> Any:
    """A typed column as it would be written: doubles by their shortest digits, timestamps in UTC, null as nothing."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64()).cast(pa.timestamp(column.type.unit))
    if pa.types.is_floating(column.type) and _is_whole(column):
        column = column.cast(pa.int64())
    return pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))


def _is_whole(column: Any) -> bool:
    """Whether floats are integers all through: their digits are then written out, not as 1.42e+12."""
    if column.null_count:
        return False
    values = to_numpy(column)
    return bool(np.all(np.isfinite(values) & (np.rint(values) == values) & (np.abs(values) < 2.0**53)))
