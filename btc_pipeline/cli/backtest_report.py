"""A backtest on a terminal: its head, metrics beside stress and buy and hold, monthly returns, last trades."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from btc_pipeline.cli.console import answers

if TYPE_CHECKING:
    from btc_pipeline.storage.backtests import Run

# A table is as wide as what is in it, however narrow the terminal: its lines are sentences, too.
TABLES: Final = Console(highlight=False, width=200)

PERCENT: Final = "{:.2%}"
MONEY: Final = "{:,.2f}"
COUNT: Final = "{:,.0f}"
RATIO: Final = "{:,.3f}"
FORMATS: Final = {
    "final_equity": MONEY,
    "net_profit": MONEY,
    "total_return": PERCENT,
    "cagr": PERCENT,
    "sharpe": RATIO,
    "sortino": RATIO,
    "max_drawdown": PERCENT,
    "calmar": RATIO,
    "volatility": PERCENT,
    "trades": COUNT,
    "win_rate": PERCENT,
    "profit_factor": RATIO,
    "expectancy": MONEY,
    "best_trade": MONEY,
    "worst_trade": MONEY,
    "sqn": RATIO,
    "exposure": PERCENT,
    "turnover": RATIO,
    "fees": MONEY,
    "funding": MONEY,
}
"""How a metric reads; in this order they are shown, others behind them."""
USUAL: Final[dict[str, tuple[object, ...]]] = {
    "direction": (None, "both"),
    "size": (None, 1.0),
    "notional": (None,),
    "compounding": (None, True),
    "leverage": (None, 1.0),
    "capital": (None, 10_000.0),
    "stop": (None, 0.0),
    "target": (None, 0.0),
    "trailing": (None, 0.0),
    "taker_fee_bps": (None,),
}
"""What of an account goes without saying; slippage is in the table's head."""
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

MOST_TIMES: Final = 3
"""Of cancelled orders."""
SIGNIFICANT: Final = 6
"""Digits of a price."""


def print_run(run: Run, trades: Sequence[Mapping[str, Any]], *, from_store: bool) -> None:
    """Everything that a run's row says, and some of its trades."""
    answers.print(f"[bold]{escape(title(run))}[/bold]")
    answers.print(f"  id {run.id}{'  (answered from the store: nothing had changed)' if from_store else ''}")
    if run.results is None:
        answers.print(f"  {run.status}{f' ({run.progress:.0%})' if run.status == 'running' else ''}")
        if run.message:
            answers.print(f"  {run.message}", markup=False)
        return
    answers.print(f"  run key {run.run_key}  result hash {run.result_hash}")
    for line in run.results["head"]:
        answers.print(f"  [yellow]note[/yellow] {escape(line)}")
    answers.print()
    TABLES.print(metrics_table(run.results))
    print_costs(run.results)
    answers.print()
    TABLES.print(months_table(run.results["monthly_returns"]))
    if trades:
        answers.print()
        TABLES.print(trades_table(trades, f"last {len(trades)} of the trades"))


def title(run: Run) -> str:
    """What was run, in one line."""
    asked = run.configuration
    parameters = " ".join(f"{name}={value}" for name, value in asked["parameters"].items())
    strategy = f"{run.strategy} {parameters}".strip()
    account = ", ".join(
        f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"
        for name, value in asked.items()
        if name in USUAL and value not in USUAL[name]
    )
    told = f"{run.symbol} {run.interval} {strategy}, {asked['start']} to {asked['end']}"
    return f"{told}; {account}" if account else told


def metrics_table(results: Mapping[str, Any]) -> Table:
    """The metrics at both slippages, and those of buy and hold."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("metric")
    slippage, stress = (f"{results[name]:g} bps" for name in ("slippage_bps", "stress_slippage_bps"))
    columns = {"metrics": f"slippage {slippage}", "stress": f"stress {stress}", "buy_and_hold": "buy and hold"}
    if slippage == stress:
        columns = {"metrics": f"slippage {slippage}, the stress value", "buy_and_hold": "buy and hold"}
    for name in columns.values():
        table.add_column(name, justify="right")
    for name in in_order(results["metrics"]):
        row = (results[which].get(name) for which in columns)
        table.add_row(name.replace("_", " "), *(shown(name, one) for one in row))
    return table


def print_costs(results: Mapping[str, Any]) -> None:
    """What costs the run bears, its result in coins, orders that were not filled."""
    even = results["break_even_bps"]
    answers.print(f"break-even cost a side: {'none' if even is None else f'{even:.2f} bps, fee and slippage together'}")
    base = results["base"]
    if base["start"] is not None and base["end"] is not None:
        answers.print(f"in coins: {base['start']:.8f} became {base['end']:.8f} ({base['total_return']:+.2%})")
    for reason, count in results["cancelled"].items():
        answers.print(f"cancelled orders, {reason.replace('_', ' ')}: {count:,}{_when(results, reason)}")


def _when(results: Mapping[str, Any], reason: str) -> str:
    # Runs of earlier versions do not say.
    times = [one["time"] for one in results.get("cancelled_orders", []) if one["reason"] == reason][:MOST_TIMES]
    shown_as = (f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M}" for time in times)
    more = ", ..." if results["cancelled"][reason] > len(times) else ""
    return f" (decided at the bars of {', '.join(shown_as)}{more})" if times else ""


def months_table(months: Sequence[Mapping[str, Any]]) -> Table:
    """A row a year, a column a month; percent."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("monthly %")
    for name in MONTHS:
        table.add_column(name, justify="right")
    by_year: dict[int, dict[int, float | None]] = {}
    for one in months:
        by_year.setdefault(one["year"], {})[one["month"]] = one["value"]
    for year, values in by_year.items():
        table.add_row(str(year), *(_percent(values.get(month)) for month in range(1, 13)))
    return table


def _percent(share: float | None) -> str:
    """A month's return; what rounds to nothing has no sign."""
    if share is None:
        return ""
    percent = round(share * 100, 1)
    return f"{percent:+.1f}" if percent else "0.0"


def trades_table(trades: Sequence[Mapping[str, Any]], name: str) -> Table:
    """Trades, a row each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(name)
    for column in ("entry", "exit", "quantity", "entry price", "exit price", "fees", "profit", "reason"):
        table.add_column(column, justify="left" if column in {"entry", "exit", "reason"} else "right")
    for one in trades:
        table.add_row(
            f"{one['number']} {'long' if one['side'] > 0 else 'short'}",
            f"{one['entry_time']:%Y-%m-%d %H:%M}",
            f"{one['exit_time']:%Y-%m-%d %H:%M}",
            f"{one['quantity']:.8f}",
            _price(one["entry_price"]),
            _price(one["exit_price"]),
            f"{one['fees']:,.2f}",
            f"{one['profit']:+,.2f}",
            one["reason"],
        )
    return table


def _price(price: float) -> str:
    """A price to six digits, and to two decimals at least: 61,234.56, 245.255, 0.123456."""
    decimals = SIGNIFICANT - 1 - math.floor(math.log10(price)) if price > 0 else 0
    return f"{price:,.{max(2, decimals)}f}"


def runs_table(runs: Sequence[Run]) -> Table:
    """Runs, a row each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "created (UTC)", "status", "what", "total return", "sharpe", "max drawdown", "trades"):
        table.add_column(
            column, justify="right" if column in {"total return", "sharpe", "max drawdown", "trades"} else "left"
        )
    for run in runs:
        metrics = (run.results or {}).get("metrics", {})
        figures = [shown(name, metrics.get(name)) for name in ("total_return", "sharpe", "max_drawdown", "trades")]
        status = f"running {run.progress:.0%}" if run.status == "running" else run.status
        table.add_row(str(run.id), f"{run.created_at:%Y-%m-%d %H:%M:%S}", status, escape(title(run)), *figures)
    return table


def comparison_table(runs: Sequence[Run]) -> Table:
    """Metrics of several runs side by side; one that is not done has none, and its head says so."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("metric")
    for run in runs:
        status = "" if run.status == "done" else f" ({run.status})"
        table.add_column(f"{escape(title(run))}\n{str(run.id)[:8]}{status}", justify="right", max_width=36)
    metrics = [(run.results or {}).get("metrics", {}) for run in runs]
    for name in in_order({name: None for one in metrics for name in one}):
        table.add_row(name.replace("_", " "), *(shown(name, one.get(name)) for one in metrics))
    return table


def shown(name: str, value: float | None) -> str:
    """A figure as people read it."""
    return "-" if value is None else FORMATS.get(name, RATIO).format(value)


def in_order(metrics: Mapping[str, Any]) -> list[str]:
    """The names of metrics in the order in which they are shown."""
    return [name for name in FORMATS if name in metrics] + [name for name in metrics if name not in FORMATS]


def plain_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """Rows as they are."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column)
    for row in rows:
        cells = (row[column] for column in columns)
        table.add_row(
            *(
                escape("" if cell is None else f"{cell:%Y-%m-%d %H:%M}" if isinstance(cell, datetime) else str(cell))
                for cell in cells
            )
        )
    return table
