"""The rules a row must keep, applied to whole columns.

Belongs here: what a valid minute is. Does not belong here: how texts are read (`decimals`, `times`), what happens to
offenders (`reader`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from btc_pipeline.errors import UserError
from btc_pipeline.importing.decimals import (
    count_decimals,
    count_integer_digits,
    explain_number,
    most_decimals,
    parse_numbers,
)
from btc_pipeline.importing.layouts import PRICES
from btc_pipeline.importing.row_errors import Findings, quoted
from btc_pipeline.importing.tables import TextTable
from btc_pipeline.importing.times import NOT_A_TIME, Times, parse_times, text_of_minute
from btc_pipeline.market.candles import MAX_SIGNIFICANT_DIGITS, BoolArray, Float64Array
from btc_pipeline.market.intervals import Int64Array

BITCOIN_BEGAN: Final = int(datetime(2009, 1, 1, tzinfo=UTC).timestamp()) // 60

_SCALES: Final = {"price": PRICES, "volume": ("volume", "taker_buy_volume"), "quote": ("quote_volume",)}
"""Which columns share a number of decimals (`market.candles.Scale`)."""

_ENOUGH_TO_TELL_THE_INTERVAL: Final = 12


@dataclass(frozen=True, slots=True)
class Checked:
    """A file's columns after every check; only rows without a finding are to be used.

    Attributes:
        times: the parsed times.
        numbers: role -> float64[n].
        decimals: `price`, `volume`, `quote` -> the decimals that the right rows need; absent without such a column.
        findings: what is wrong.
        unheld: bool[n], rows whose quote volume is NaN for having more digits than a double holds.
    """

    times: Times
    numbers: dict[str, Float64Array]
    decimals: dict[str, int]
    findings: Findings
    unheld: BoolArray


def check(table: TextTable, now: int, *, without_fine_quotes: bool = False) -> Checked:
    """Parses and checks every row.

    Args:
        table: n rows of text.
        now: the epoch minute now running; it and later ones have not closed.
        without_fine_quotes: a quote volume with too many digits is unknown, and its row right all the same.

    Raises:
        UserError: the file as a whole cannot be meant: newest row first, or bars longer than a minute.
    """
    findings = Findings(len(table))
    times = parse_times(table.columns["time"])
    _check_times(times, findings, now)
    unheld = np.zeros(len(table), np.bool_)
    forgone = {"quote_volume": unheld} if without_fine_quotes else {}
    numbers = {
        role: _check_number(table, role, findings, forgone.get(role)) for role in table.columns if role != "time"
    }
    _check_prices(table, numbers, findings)
    _check_scales(numbers, findings, forgone)
    _check_order(table, times.minutes, findings)
    right = findings.right
    _check_interval(times.minutes[right])
    kept = numbers if right.all() else {role: values[right] for role, values in numbers.items()}
    decimals = {scale: max(_most_decimals(kept[role]) for role in roles) for scale, roles in _scales_of(numbers)}
    return Checked(times, numbers, decimals, findings, unheld)


def _check_times(times: Times, findings: Findings, now: int) -> None:
    minutes = times.minutes

    def with_time(problem: str) -> Callable[[int], str]:
        return lambda row: problem.format(text_of_minute(int(minutes[row])))

    findings.add(times.unreadable, "time", NOT_A_TIME)
    findings.add(times.other_unit, "time", times.explain_unit)
    findings.add(times.uneven, "time", "is not on a whole minute; a candle opens at second 0")
    findings.add(minutes < BITCOIN_BEGAN, "time", with_time("({}) is before 2009, when Bitcoin began"))
    findings.add(minutes >= now, "time", with_time("({}) is in the future: this minute has not closed yet"))


def _check_number(table: TextTable, role: str, findings: Findings, unheld: BoolArray | None) -> Float64Array:
    """The values of a column; those with too many digits are NaN and marked as unheld, where that is allowed."""
    values, wrong = parse_numbers(table.columns[role])
    if unheld is not None and wrong.any():
        too_fine = wrong & (values > 0) & np.isfinite(values)
        unheld |= too_fine
        wrong &= ~too_fine
        values = np.where(too_fine, np.nan, values)
    findings.add(wrong, role, lambda row: explain_number(table.text(role, row)) or "is not a number")
    if role in PRICES:
        findings.add(values <= 0, role, "is not a price; prices are above 0")
    else:
        findings.add(values < 0, role, f"is negative; {role} is 0 or more")
    if role == "trades":
        findings.add(values != np.rint(values), role, "is not a whole number of trades")
    return values


def _check_prices(table: TextTable, numbers: dict[str, Float64Array], findings: Findings) -> None:
    def compared(word: str, other: str) -> Callable[[int], str]:
        return lambda row: f"is {word} {other} {quoted(table.text(other, row))}"

    for other in ("low", "open", "close"):
        findings.add(numbers["high"] < numbers[other], "high", compared("below", other))
    for other in ("open", "close"):
        findings.add(numbers["low"] > numbers[other], "low", compared("above", other))


def _scales_of(numbers: dict[str, Float64Array]) -> list[tuple[str, list[str]]]:
    """The scales that a file has, each with the roles present."""
    present = [(scale, [role for role in roles if role in numbers]) for scale, roles in _SCALES.items()]
    return [(scale, roles) for scale, roles in present if roles]


def _most_decimals(values: Float64Array) -> int:
    unknown = np.isnan(values)
    return most_decimals(values[~unknown] if unknown.any() else values)


def _check_scales(numbers: dict[str, Float64Array], findings: Findings, forgone: dict[str, BoolArray]) -> None:
    """Marks values that cannot share 15 digits with the rest of their scale; of forgone roles they become NaN."""
    for _, roles in _scales_of(numbers):
        right = findings.right
        for role in roles:
            if role in forgone:
                right = right & ~forgone[role]
        usable = {role: numbers[role] if right.all() else np.where(right, numbers[role], 0.0) for role in roles}
        largest = np.array([values.max(initial=0) for values in usable.values()])
        most = max(most_decimals(values) for values in usable.values())
        if most + count_integer_digits(largest).max() <= MAX_SIGNIFICANT_DIGITS:
            continue
        decimals = {role: count_decimals(values) for role, values in usable.items()}
        digits = {role: count_integer_digits(values) for role, values in usable.items()}
        limit = _fairest_decimals(list(decimals.values()), list(digits.values()))
        for role in roles:
            if role in forgone:
                misfit = (decimals[role] > limit) | (digits[role] > MAX_SIGNIFICANT_DIGITS - limit)
                forgone[role][misfit] = True
                numbers[role] = np.where(misfit, np.nan, numbers[role])
                continue
            _mark_too_fine(role, decimals[role], limit, findings)
            _mark_too_large(role, digits[role], limit, findings)


def _fairest_decimals(decimals: list[Int64Array], digits: list[Int64Array]) -> int:
    """The number of decimals under which the fewest values are too fine or too large."""
    too_fine = [sum(int((d > limit).sum()) for d in decimals) for limit in range(MAX_SIGNIFICANT_DIGITS + 1)]
    too_large = [
        sum(int((n > MAX_SIGNIFICANT_DIGITS - limit).sum()) for n in digits)
        for limit in range(MAX_SIGNIFICANT_DIGITS + 1)
    ]
    return int(np.argmin(np.add(too_fine, too_large)))


def _mark_too_fine(role: str, decimals: Int64Array, limit: int, findings: Findings) -> None:
    findings.add(
        decimals > limit,
        role,
        lambda row: (
            f"has {decimals[row] if decimals[row] <= MAX_SIGNIFICANT_DIGITS else 'too many'} decimals; beside "
            f"the other rows' values {limit} fit into {MAX_SIGNIFICANT_DIGITS} digits"
        ),
    )


def _mark_too_large(role: str, digits: Int64Array, limit: int, findings: Findings) -> None:
    findings.add(
        digits > MAX_SIGNIFICANT_DIGITS - limit,
        role,
        lambda row: (
            f"has {digits[row]} digits before the point; beside the {limit} decimals of other rows "
            f"{MAX_SIGNIFICANT_DIGITS - limit} fit into {MAX_SIGNIFICANT_DIGITS}"
        ),
    )


def _check_order(table: TextTable, minutes: Int64Array, findings: Findings) -> None:
    """Times must ascend. Of rows that do not, the fewest are blamed, so that one wrong time is one wrong row."""
    rows = np.flatnonzero(findings.right)
    times = minutes[rows]
    steps = np.diff(times)
    if np.all(steps > 0):
        return
    if len(rows) > 2 and np.all(steps <= 0):
        raise UserError(
            f"row {table.row_number(int(rows[1]))}, column {table.names['time']}: "
            f"{quoted(table.text('time', int(rows[1])))} is earlier than the row before it, and so is every row: "
            "the file runs from new to old; sort it by time, oldest first.",
            field="file",
        )
    kept = _longest_ascent(times)
    kept_rows, kept_times = rows[kept], times[kept]
    wrong = np.zeros(len(minutes), dtype=np.bool_)
    wrong[rows] = True
    wrong[kept_rows] = False

    def problem(row: int) -> str:
        time = minutes[row]
        twin = int(np.searchsorted(kept_times, time))
        if twin < len(kept_times) and kept_times[twin] == time:
            return f"is a duplicate: row {table.row_number(int(kept_rows[twin]))} has the same time"
        after = int(np.searchsorted(kept_rows, row))
        if after and kept_times[after - 1] > time:
            other, word = int(kept_rows[after - 1]), "earlier than that of row {} before it"
        else:
            other, word = int(kept_rows[after]), "later than that of row {} after it"
        return f"is {word.format(table.row_number(other))} ({quoted(table.text('time', other))}); times must ascend"

    findings.add(wrong, "time", problem)


def _longest_ascent(times: Int64Array) -> Int64Array:
    """Indices of a longest strictly ascending subsequence; of equal times the first."""
    ends: list[int] = []
    end_rows: list[int] = []
    before: list[int] = []
    for row, time in enumerate(times.tolist()):
        at = bisect_left(ends, time)
        before.append(end_rows[at - 1] if at else -1)
        if at == len(ends):
            ends.append(time)
            end_rows.append(row)
        elif ends[at] != time:
            ends[at] = time
            end_rows[at] = row
    kept: list[int] = []
    row = end_rows[-1] if end_rows else -1
    while row >= 0:
        kept.append(row)
        row = before[row]
    return np.array(kept[::-1], dtype=np.int64)


def _check_interval(minutes: Int64Array) -> None:
    """Bars of 5 minutes pass every rule for a row; only together do they give themselves away."""
    if len(minutes) < _ENOUGH_TO_TELL_THE_INTERVAL:
        return
    step = int(np.gcd.reduce(np.diff(minutes)))
    if step > 1:
        raise UserError(
            f"column time: every row lies a multiple of {step} minutes after the one before, so these look like bars "
            f"of {step}m; candles of 1m belong here.",
            field="file",
        )
