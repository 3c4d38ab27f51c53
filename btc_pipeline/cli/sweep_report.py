"""A sweep on a terminal, as JSON and as CSV: in-sample beside out-of-sample, walk-forward, a map of two parameters."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from btc_pipeline.backtest.metrics import LOWER_IS_BETTER, NAMES, metrics_of
from btc_pipeline.backtest.sweep import column_of
from btc_pipeline.cli.backtest_report import TABLES, shown
from btc_pipeline.cli.console import answers
from btc_pipeline.market.candles import Float64Array
from btc_pipeline.storage.times import to_date

if TYPE_CHECKING:
    from btc_pipeline.pipeline.sweeps import SweepResult

BESIDE: Final = ("total_return", "sharpe", "max_drawdown", "trades")
"""Metrics that a row shows beside the one it is ranked by."""
MOST_COLUMNS: Final = 16
MOST_LINES: Final = 40
"""Cells of a heat map; of more values several share one."""
SHADES: Final = ("on grey11", "on grey23", "on dark_blue", "on blue", "on dark_cyan", "on green4", "on green3")


def print_sweep(result: SweepResult, top: int) -> None:
    """Head, the best rows, walk-forward."""
    prepared, request = result.prepared, result.prepared.request
    days, rank = prepared.plan.days, request.rank
    ranked_by = rank.replace("_", " ")
    answers.print(
        f"[bold]{escape(request.run.symbol)} {request.run.interval} {escape(request.run.strategy)} "
        f"{escape(' '.join(request.grid))}[/bold], {_span(days)}: {len(prepared.grid):,} sets"
    )
    for line in result.head:
        answers.print(f"  [yellow]note[/yellow] {escape(line)}")
    if result.split is None:
        answers.print(f"  ranked by {ranked_by} of all days")
    else:
        answers.print(
            f"  ranked by {ranked_by} in-sample, {_span(result.split.train)}; out-of-sample, begun flat with the same "
            f"capital, is {_span(result.split.test)}"
        )
    answers.print()
    TABLES.print(_best(result, top))
    if result.walk_forward is not None:
        answers.print()
        TABLES.print(_windows(result))
        answers.print(
            f"All test days, {_span(result.walk_forward.days)}: each window begins flat with what the one before left; "
            "what is open at its end is closed at the last price, costs included."
        )


def _best(result: SweepResult, top: int) -> Table:
    rank = result.prepared.request.rank
    names = list(dict.fromkeys((rank, *BESIDE)))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in result.prepared.grid.sets[0]:
        table.add_column(name, justify="right")
    sides = _sides(result)
    for side, name in product(sides, names):
        table.add_column(f"{side}\n{name.replace('_', ' ')}", justify="right")
    for row in result.order[:top].tolist():
        figures = [shown(name, _told(of[row, column_of(name)])) for of, name in product(sides.values(), names)]
        table.add_row(*(f"{value:g}" for value in result.prepared.grid.sets[row].values()), *figures)
    return table


def _windows(result: SweepResult) -> Table:
    walked, asked, rank = result.walk_forward, result.prepared.request.walk_forward, result.prepared.request.rank
    assert walked is not None  # noqa: S101 asked by the caller
    assert asked is not None  # noqa: S101 there is none without the other
    names = list(dict.fromkeys((rank, *BESIDE)))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("walk-forward: chosen on")
    table.add_column("traded on")
    table.add_column("chosen")
    table.add_column(f"in-sample\n{rank.replace('_', ' ')}", justify="right")
    for name in names:
        table.add_column(f"out-of-sample\n{name.replace('_', ' ')}", justify="right")
    for window in walked.windows:
        days = window.split.test
        fewer = "" if len(days) == asked[1] else f" ({len(days)} of {asked[1]} days)"
        chosen = "none" if window.chosen is None else _words(result.prepared.grid.sets[window.chosen])
        table.add_row(
            _span(window.split.train),
            f"{_span(days)}{fewer}",
            chosen,
            shown(rank, _told(window.train[column_of(rank)])),
            *(shown(name, _told(window.test[column_of(name)])) for name in names),
        )
    table.add_row(
        "all", _span(walked.days), "", "", *(shown(name, _told(walked.figures[column_of(name)])) for name in names)
    )
    return table


def as_mapping(result: SweepResult) -> dict[str, Any]:
    """Everything, every row, the best first."""
    prepared, request, split, walked = result.prepared, result.prepared.request, result.split, result.walk_forward
    return {
        **{name: value for name, value in request.run.given().items() if name not in {"parameters", "start", "end"}},
        "start": to_date(prepared.plan.days.start),
        "end": to_date(prepared.plan.days.stop),
        "grid": list(request.grid),
        "rank": request.rank,
        "head": result.head,
        "refused": prepared.grid.refused,
        "split": split and {"in_sample": _dates(split.train), "out_of_sample": _dates(split.test)},
        "rows": [
            {
                "parameters": dict(prepared.grid.sets[row]),
                **{_key(side): _named(of[row]) for side, of in _sides(result).items()},
            }
            for row in result.order.tolist()
        ],
        "walk_forward": walked
        and {
            "windows": [
                {
                    "train": _dates(window.split.train),
                    "test": _dates(window.split.test),
                    "test_days": len(window.split.test),
                    "parameters": None if window.chosen is None else dict(prepared.grid.sets[window.chosen]),
                    "in_sample": _named(window.train),
                    "out_of_sample": _named(window.test),
                }
                for window in walked.windows
            ],
            "days": _dates(walked.days),
            "equity": walked.equity.tolist(),
            "out_of_sample": _named(walked.figures),
        },
    }


def to_csv(result: SweepResult) -> str:
    """Every row, the best first; figures are named by the days they are of."""
    sides = _sides(result)
    names = list(result.prepared.grid.sets[0])
    header = [*names, *(f"{_key(side)}.{name}" for side in sides for name in NAMES)]
    return _csv(
        [
            header,
            *(
                [
                    *result.prepared.grid.sets[row].values(),
                    *(value for of in sides.values() for value in metrics_of(of[row])),
                ]
                for row in result.order.tolist()
            ),
        ]
    )


def print_heatmap(result: SweepResult) -> None:
    """The metric by two parameters, over the days that choose."""
    rank = result.prepared.request.rank
    across, down, cells = _map(result)
    wide, high = -(-len(across) // MOST_COLUMNS), -(-len(down) // MOST_LINES)
    blocks = [
        [_mean(cells[i : i + high, j : j + wide]) for j in range(0, len(across), wide)]
        for i in range(0, len(down), high)
    ]
    defined = sorted(value for line in blocks for value in line if not np.isnan(value))
    axis, other = result.prepared.grid.pair
    shared = f"; a cell is the mean of {high} x {wide}" if wide * high > 1 else ""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    for value in across[::wide]:
        table.add_column(f"{value:g}", justify="right")
    for value, line in zip(down[::high], blocks, strict=True):
        table.add_row(f"{value:g}", *(_cell(rank, one, defined) for one in line))
    answers.print()
    days = "of all days" if result.split is None else "in-sample"
    answers.print(f"{rank} {days}, {axis.name} down, {other.name} across{shared}", markup=False)
    TABLES.print(table)


def heatmap_csv(result: SweepResult) -> str:
    """The map with every value: the first parameter down, the second across."""
    across, down, cells = _map(result)
    first, second = result.prepared.grid.pair
    return _csv(
        [
            [f"{first.name}/{second.name}", *across],
            *([value, *map(_told, line)] for value, line in zip(down, cells, strict=True)),
        ]
    )


def _map(result: SweepResult) -> tuple[list[float], list[float], Float64Array]:
    """(second parameter's values, first one's, float64[first, second]), NaN where a combination is left out."""
    grid, column = result.prepared.grid, column_of(result.prepared.request.rank)
    down, across = grid.pair
    cells = np.full((len(down.values), len(across.values)), np.nan)
    rows = {value: at for at, value in enumerate(down.values)}
    columns = {value: at for at, value in enumerate(across.values)}
    for one, figures in zip(grid.sets, result.chosen_by, strict=True):
        cells[rows[one[down.name]], columns[one[across.name]]] = figures[column]
    return list(across.values), list(down.values), cells


def _mean(block: Float64Array) -> float:
    defined = block[~np.isnan(block)]
    return float(defined.mean()) if len(defined) else np.nan


def _cell(rank: str, value: float, defined: list[float]) -> Text:
    if np.isnan(value):
        return Text("")
    share = np.searchsorted(defined, value) / max(len(defined) - 1, 1)
    share = 1.0 - share if rank in LOWER_IS_BETTER else share
    shade = SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]
    return Text(shown(rank, value), style=f"bold white {shade}")


def _sides(result: SweepResult) -> dict[str, Float64Array]:
    """Tables by the name of the days that they are of."""
    if result.in_sample is None or result.out_of_sample is None:
        return {"all days": result.whole}
    return {"in-sample": result.in_sample, "out-of-sample": result.out_of_sample, "all days": result.whole}


def _key(side: str) -> str:
    return side.replace("-", "_").replace(" ", "_")


def _named(figures: Float64Array) -> dict[str, float | None]:
    return metrics_of(figures)._asdict()


def _told(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _words(parameters: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in parameters.items())


def _span(days: range) -> str:
    return f"{to_date(days.start)} to {to_date(days.stop)}"


def _dates(days: range) -> dict[str, Any]:
    return {"start": to_date(days.start), "end": to_date(days.stop)}


def _csv(lines: list[list[Any]] | Iterator[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
