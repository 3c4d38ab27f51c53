"""What is wrong with a row, and the list of such findings while a file is checked.

Belongs here: the error's shape and wording. Does not belong here: the rules (`checks`, `decimals`, `times`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from btc_pipeline.errors import UserError
from btc_pipeline.market.candles import BoolArray

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class RowError:
    """One rejected row; the first thing wrong with it.

    Attributes:
        row: line number as a text editor counts, the header included; in Parquet the row, from 1.
        column: the column's name in the file, or in the layout when the file has no header.
        value: the offending text as written.
        problem: what is wrong with it or what would be right.
        raw: the whole row as written, the payload for `data_quality`.
    """

    row: int
    column: str
    value: str
    problem: str
    raw: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column}: {quoted(self.value)} {self.problem}"


def quoted(value: str) -> str:
    """A value for a message: quoted, and cut when it is long."""
    return repr(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "...")


class UnreadableFileError(UserError):
    """A file that cannot be taken.

    Attributes:
        problem: the message without the way out: whoever did not choose the file has another.
        row: the first wrong row, if it is for its rows.
    """

    def __init__(self, problem: str, way_out: str, row: RowError | None = None) -> None:
        super().__init__(f"{problem}{way_out}.", field="file")
        self.problem = problem
        self.row = row


def refusal(file_name: str, errors: list[RowError], total: int, advice: str = "") -> UnreadableFileError:
    """The error of a file with bad rows: its first offender and how many more there are.

    Args:
        errors: ascending by row, at least one.
        total: how many rows are wrong; `errors` need not hold them all.
        advice: a way out that suits this error, if there is a better one than the general.
    """
    more = total - 1
    way_out = advice or "mend it, or leave such rows out with --skip-invalid"
    rest = f" (and {more:,} more row{'s' if more > 1 else ''})" if more else ""
    problem = f"{file_name}: {errors[0]}{rest}"
    return UnreadableFileError(problem, f". Nothing was taken from the file: {way_out}", errors[0])


@dataclass(frozen=True, slots=True)
class _Finding:
    rows: BoolArray
    role: str
    problem: Callable[[int], str]


class Findings:
    """Which rows are wrong, and, said only when asked, why. A row keeps its first finding."""

    def __init__(self, n: int) -> None:
        self.wrong: BoolArray = np.zeros(n, dtype=np.bool_)
        self._findings: list[_Finding] = []

    def add(self, rows: BoolArray, role: str, problem: Callable[[int], str] | str) -> None:
        """Marks rows (bool[n]) as wrong in a column; `problem` tells why, given the row's index."""
        fresh = rows & ~self.wrong
        if fresh.any():
            text = problem
            self._findings.append(_Finding(fresh, role, text if callable(text) else lambda _row: text))
            self.wrong |= fresh

    @property
    def right(self) -> BoolArray:
        """Rows without a finding, bool[n]."""
        return ~self.wrong

    def each(self, *, first_only: bool = False) -> list[tuple[int, str, str]]:
        """(row index, role, problem) ascending by row; only the first row's if asked."""
        if not self.wrong.any():
            return []
        last = int(np.argmax(self.wrong)) + 1 if first_only else len(self.wrong)
        told = [
            (row, finding.role, finding.problem(row))
            for finding in self._findings
            for row in np.flatnonzero(finding.rows[:last]).tolist()
        ]
        return sorted(told, key=lambda item: item[0])
