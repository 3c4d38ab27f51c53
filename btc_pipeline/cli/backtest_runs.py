"""`backtests`: stored runs, one of them, its trades, equity and decisions, several side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from btc_pipeline.cli.console import answers, print_json, say_if_replay
from btc_pipeline.cli.options import JsonOption, named_as_options
from btc_pipeline.errors import UserError

if TYPE_CHECKING:
    from btc_pipeline.storage.connection import Database

app = typer.Typer(help="Stored backtests.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(metavar="ID", help="a run's id, or its first 8 characters", show_default=False)]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="write them to this file instead", show_default=False)]
LAST_TRADES = 10


@app.command("list")
@named_as_options()
def list_runs(
    symbol: Annotated[str | None, typer.Option(help="of this symbol alone")] = None,
    status: Annotated[
        str | None, typer.Option(metavar="queued|running|done|failed", help="those alone, such as failed")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="so many of the newest")] = 20,
    as_json: JsonOption = False,
) -> None:
    """The newest runs."""
    from btc_pipeline.cli.backtest_report import TABLES, runs_table
    from btc_pipeline.market.instruments import canonical_symbol
    from btc_pipeline.problems import unknown_name
    from btc_pipeline.storage.backtests import STATUSES, read_runs

    wanted = None if symbol is None else canonical_symbol(symbol)
    if status is not None and status not in STATUSES:
        raise UserError(unknown_name("--status", status, STATUSES), field="status")
    runs = read_runs(_database(as_json=as_json), limit=limit, symbol=wanted, status=status)
    if as_json:
        print_json([asdict(run) for run in runs])
    elif runs:
        TABLES.print(runs_table(runs))
    elif symbol is None and status is None:
        answers.print("there are none yet: btc-pipeline backtest --start 2025-01-01")
    else:
        answers.print("there are none of that symbol or status: btc-pipeline backtests list")


@app.command()
def show(run: RunId, as_json: JsonOption = False) -> None:
    """A run's report; of a failed one its words, with exit code 1."""
    from btc_pipeline.cli.backtest_report import print_run
    from btc_pipeline.storage.backtests import find_id, read_last_trades, read_run

    database = _database(as_json=as_json)
    found = read_run(database, find_id(database, run))
    if as_json:
        print_json(asdict(found))
    else:
        print_run(found, read_last_trades(database, found.id, LAST_TRADES), from_store=False)
    if found.status == "failed":
        raise typer.Exit(1)


@app.command()
def trades(run: RunId, csv: CsvFile = None, as_json: JsonOption = False) -> None:
    """A run's trades."""
    _rows(run, "trades", csv, as_json=as_json)


@app.command()
def equity(run: RunId, csv: CsvFile = None, as_json: JsonOption = False) -> None:
    """A run's equity at the start and at midnights."""
    _rows(run, "equity", csv, as_json=as_json)


@app.command()
def decisions(run: RunId, csv: CsvFile = None, as_json: JsonOption = False) -> None:
    """A run's decisions where the target changes."""
    _rows(run, "decisions", csv, as_json=as_json)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="ID ID ...", help="two or more", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Metrics of several runs side by side."""
    from btc_pipeline.cli.backtest_report import TABLES, comparison_table
    from btc_pipeline.storage.backtests import find_id, read_run

    database = _database(as_json=as_json)
    ids = list(dict.fromkeys(find_id(database, run) for run in runs))
    if len(ids) < 2:
        raise UserError("compare takes two different ids or more: btc-pipeline backtests list tells them.", field="id")
    found = [read_run(database, run) for run in ids]
    if as_json:
        print_json([asdict(run) for run in found])
    else:
        TABLES.print(comparison_table(found))


@app.command()
def delete(
    runs: Annotated[list[str], typer.Argument(metavar="ID ...", help="one or more", show_default=False)],
) -> None:
    """Removes runs with their trades, equity and decisions; none of them, if an id is unknown."""
    from btc_pipeline.storage.backtests import delete_run, find_id

    database = _database(as_json=False)
    for found in dict.fromkeys([find_id(database, run) for run in runs]):
        delete_run(database, found)
        answers.print(f"{found} is deleted")


def _rows(run: str, what: str, csv: Path | None, *, as_json: bool) -> None:
    from btc_pipeline.cli.backtest_report import TABLES, plain_table, trades_table
    from btc_pipeline.storage.backtests import find_id, read_part, read_run, why_nothing

    database = _database(as_json=as_json)
    found = read_run(database, find_id(database, run))
    nothing = why_nothing(found.id, found.status, found.message)
    if nothing is not None:
        raise UserError(nothing, field="id")
    table = read_part(database, found.id, what)
    if csv is not None:
        from pyarrow.csv import write_csv

        try:
            write_csv(table, csv)
        except OSError as error:
            raise UserError(f"--csv {str(csv)!r} cannot be written: {error.strerror or error}.", field="csv") from error
        answers.print(f"{len(table):,} rows in {csv}", markup=False)
    elif as_json:
        print_json(table.to_pylist())
    elif what == "trades":
        TABLES.print(trades_table(table.to_pylist(), "trade"))
    else:
        TABLES.print(plain_table(table.to_pylist(), table.column_names))


def _database(*, as_json: bool) -> Database:
    from btc_pipeline.settings import read_settings
    from btc_pipeline.storage.address import open_database

    settings = read_settings()
    say_if_replay(settings, as_json=as_json)
    return open_database(settings)
