"""`sweep`: many parameters of a strategy over the same minutes, and what the best did on days they never saw."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from btc_pipeline.cli.console import errors, print_json, say_if_later, say_if_replay
from btc_pipeline.cli.options import (
    CapitalOption,
    DirectionOption,
    EndOption,
    FeeBpsOption,
    FeedOption,
    IntervalOption,
    LeverageOption,
    NotionalOption,
    SizeOption,
    SlippageOption,
    StartOption,
    StopOption,
    StrategyOption,
    SymbolOption,
    TargetOption,
    TrailingOption,
    named_as_options,
)
from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from btc_pipeline.pipeline.sweeps import SweepResult


@named_as_options()
def sweep(
    start: StartOption,
    param: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUES",
            help="period=5..500, period=5..500:5 (a step), slow=20,50,100; several times: all combinations",
            show_default=False,
        ),
    ],
    end: EndOption = None,
    symbol: SymbolOption = "BTC",
    interval: IntervalOption = "37m",
    strategy: StrategyOption = "ma",
    rank: Annotated[str, typer.Option(metavar="METRIC", help="by which the best is chosen")] = "sharpe",
    top: Annotated[int, typer.Option(metavar="ROWS", min=1, help="so many of the best are shown")] = 20,
    walk: Annotated[
        str | None,
        typer.Option("--walk-forward", metavar="180d/60d", help="also choose on so many days, trade the next, roll on"),
    ] = None,
    heatmap: Annotated[bool, typer.Option("--heatmap", help="a map of two parameters")] = False,
    capital: CapitalOption = None,
    size: SizeOption = None,
    notional: NotionalOption = None,
    direction: DirectionOption = None,
    leverage: LeverageOption = None,
    stop: StopOption = None,
    target: TargetOption = None,
    trailing: TrailingOption = None,
    slippage_bps: SlippageOption = None,
    fee_bps: FeeBpsOption = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="every row into this file; a heat map into FILE.heatmap.csv"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="every row, for programs")] = False,
    feed: FeedOption = None,  # noqa: ARG001 its callback does it
) -> None:
    """Simulates a strategy with every combination of parameters, and ranks them by what they did in-sample."""
    given = {
        "symbol": symbol, "interval": interval, "start": start, "end": end, "strategy": strategy, "capital": capital,
        "size": size, "notional": notional, "direction": direction, "leverage": leverage, "stop": stop,
        "target": target, "trailing": trailing, "slippage_bps": slippage_bps, "taker_fee_bps": fee_bps,
    }  # fmt: skip
    from btc_pipeline.cli import sweep_report
    from btc_pipeline.pipeline.backtests import BacktestRequest
    from btc_pipeline.pipeline.sweeps import SweepRequest, parse_walk_forward, run_sweep
    from btc_pipeline.settings import load_settings
    from btc_pipeline.storage.address import open_database
    from btc_pipeline.storage.times import to_date

    windows = None if walk is None else parse_walk_forward(walk)
    request = SweepRequest(BacktestRequest.of(given), tuple(param), rank, windows, two_parameters=heatmap)
    if csv is not None and not os.access(csv.parent, os.W_OK):
        raise UserError(f"--csv {str(csv)!r} cannot be written: use a folder that is there.", field="csv")
    settings = load_settings()
    say_if_replay(settings, as_json=as_json)
    with _shown(f"{symbol} {interval} {strategy}") as progress:
        result = run_sweep(open_database(settings), settings, request, progress)
    say_if_later(request.run.start, to_date(result.prepared.plan.days.start))
    if csv is not None:
        _write(csv, result, heatmap=heatmap)
    if as_json:
        print_json(sweep_report.as_mapping(result))
    else:
        sweep_report.print_sweep(result, top)
        if heatmap:
            sweep_report.print_heatmap(result)


@contextmanager
def _shown(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress as a bar, or nothing where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, advance=done, total=total)


def _write(file: Path, result: SweepResult, *, heatmap: bool) -> None:
    from btc_pipeline.cli import sweep_report

    contents = {file: sweep_report.to_csv(result)}
    if heatmap:
        contents[file.with_name(f"{file.name}.heatmap.csv")] = sweep_report.heatmap_csv(result)
    for path, content in contents.items():
        try:
            path.write_text(content)
        except OSError as error:
            raise UserError(f"--csv {str(path)!r} cannot be written: {error.strerror}.", field="csv") from error
        errors.print(f"written: {path}", markup=False)
