"""`backtest`: what an account would have made of a strategy's decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from btc_pipeline.cli.console import answers, errors, print_json, say_if_later, say_if_replay
from btc_pipeline.cli.options import (
    CapitalOption,
    DirectionOption,
    EndOption,
    FeeBpsOption,
    FeedOption,
    LeverageOption,
    NotionalOption,
    ParamOption,
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
    from btc_pipeline.pipeline.backtests import StoredRun
    from btc_pipeline.settings import Settings
    from btc_pipeline.storage.connection import Database

LAST_TRADES = 5


@named_as_options()
def backtest(
    start: StartOption,
    end: EndOption = None,
    symbol: SymbolOption = "BTC",
    interval: Annotated[
        str,
        typer.Option(
            "--interval",
            "--intervals",
            metavar="INTERVAL",
            help="of the bars, such as 37m; several, comma-separated, are a run each",
        ),
    ] = "37m",
    strategy: StrategyOption = "ma44",
    param: ParamOption = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="the report for programs")] = False,
    feed: FeedOption = None,  # noqa: ARG001 its callback does it
) -> None:
    """Runs a strategy over past minutes and stores the result; the same run again is answered from the store."""
    given = {
        "symbol": symbol, "start": start, "end": end, "strategy": strategy, "parameters": parse_parameters(param or []),
        "capital": capital, "size": size, "notional": notional, "direction": direction, "leverage": leverage,
        "stop": stop, "target": target, "trailing": trailing, "slippage_bps": slippage_bps, "taker_fee_bps": fee_bps,
    }  # fmt: skip
    from btc_pipeline.pipeline.backtests import BacktestRequest
    from btc_pipeline.settings import load_settings
    from btc_pipeline.storage.address import open_database

    asked = [BacktestRequest.of({**given, "interval": one.strip()}) for one in interval.split(",")]
    requests = list({one.interval: one for one in asked}.values())
    settings = load_settings()
    say_if_replay(settings, as_json=as_json)
    runs = _run(open_database(settings), settings, requests)
    say_if_later(requests[0].start, date.fromisoformat(runs[0].run.configuration["start"]))
    if as_json:
        told = [as_mapping(one) for one in runs]
        print_json(told[0] if len(told) == 1 else told)
        return
    for one in runs:
        _print(open_database(settings), one)
        if settings.registry.is_own(one.run.strategy):
            answers.print(f"to prove that it does not look ahead: {_proof_command(one)}", markup=False)


def parse_parameters(texts: list[str]) -> dict[str, int | float]:
    """`period=44` as a mapping.

    Raises:
        UserError: not NAME=NUMBER, or a name that is there twice.
    """
    found: dict[str, int | float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UserError(f"--param {text!r} is not NAME=NUMBER, such as period=44.", field="param")
        if name in found:
            raise UserError(f"--param {name} is given twice.", field="param")
        try:
            found[name] = int(value) if value.lstrip("+-").isdecimal() else float(value)
        except ValueError:
            raise UserError(f"--param {text!r}: {value!r} is not a number.", field="param") from None
    return found


def _proof_command(one: StoredRun) -> str:
    """The command that proves it of this strategy with these parameters."""
    run = one.run
    given = [f"--param {name}={value}" for name, value in run.configuration["parameters"].items()]
    what = [f"--symbol {run.symbol}", f"--interval {run.interval}", f"--strategy {run.strategy}", *given]
    return " ".join(["btc-pipeline verify lookahead", *what])


def as_mapping(one: StoredRun) -> dict[str, Any]:
    """A run as JSON has it."""
    from dataclasses import asdict

    return {**asdict(one.run), "from_store": one.from_store}


def _run(database: Database, settings: Settings, requests: list[Any]) -> list[StoredRun]:
    from btc_pipeline.pipeline.backtests import run_backtest

    group = uuid4() if len(requests) > 1 else None
    found = []
    for request in requests:
        with _shown(f"{request.symbol} {request.interval} {request.strategy}") as progress:
            found.append(run_backtest(database, settings, request, progress, group_id=group))
    return found


@contextmanager
def _shown(what: str) -> Iterator[Callable[[float], None]]:
    """Progress as a bar, or nothing where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _print(database: Database, one: StoredRun) -> None:
    from btc_pipeline.cli.backtest_report import print_run
    from btc_pipeline.storage.backtests import read_last_trades

    print_run(one.run, read_last_trades(database, one.run.id, LAST_TRADES), from_store=one.from_store)
    answers.print()
    answers.print(f"again: btc-pipeline backtests show {one.run.id}")
